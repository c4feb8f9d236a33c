"""Settings: defaults, wrong and unknown names, and secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway_api.settings import GatewaySettings
from ops.settings import SystemSettings
from workers.runtime.settings import Settings
from workers.settings import WorkerSettings


def in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.env"
    path.write_text(text)
    monkeypatch.setenv("YEYAK_SETTINGS_FILE", str(path))


def test_every_setting_has_a_default() -> None:
    assert WorkerSettings.read() == WorkerSettings()


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YEYAK_PREFETCH", "7")

    assert Settings.read().prefetch == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREFETCH", "0"),
        ("PREFETCH", "many"),
        ("LOG_LEVEL", "LOUD"),
        ("RETRY_SECONDS", "soon"),
        ("SCHEDULER_SECONDS", "0"),
        ("HEALTH_PORT", "65536"),
    ],
)
def test_a_wrong_value_fails_with_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"YEYAK_{name}", value)

    with pytest.raises(ValueError, match=name.lower()):
        Settings.read()


def test_an_unknown_name_in_a_settings_file_fails_with_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_a_file(monkeypatch, tmp_path, "YEYAK_PREFTECH=7\n")

    with pytest.raises(ValueError, match=r"(?i)preftech"):
        Settings.read()


def test_the_environment_overrides_the_settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_a_file(monkeypatch, tmp_path, "YEYAK_PREFETCH=7\nYEYAK_BATCH=9\n")
    monkeypatch.setenv("YEYAK_PREFETCH", "8")

    found = Settings.read()

    assert (found.prefetch, found.batch) == (8, 9)


def test_an_unknown_name_in_the_environment_is_only_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YEYAK_PREFTECH", "7")
    monkeypatch.setenv("YEYAK_LOCAL", "/tmp/x")

    assert Settings.read() == Settings()
    assert Settings.unknown(os.environ) == ["YEYAK_PREFTECH"]


def test_settings_of_other_processes_are_known_to_a_worker_and_to_the_gateway() -> None:
    names = ["YEYAK_GATEWAY_PORT", "YEYAK_PAYMENTS_SLOW_SECONDS", "YEYAK_PREFETCH", "YEYAK_NONSENSE"]

    for kind in (WorkerSettings, GatewaySettings):
        assert kind.unknown(names) == ["YEYAK_NONSENSE"]


def test_the_whole_system_has_every_setting_of_its_processes_and_no_other() -> None:
    assert set(SystemSettings.model_fields) == set(WorkerSettings.model_fields) | set(GatewaySettings.model_fields)
    assert SystemSettings.unknown(["YEYAK_GATEWAY_NONSENSE"]) == ["YEYAK_GATEWAY_NONSENSE"]


def test_a_secret_may_be_in_a_file_and_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "YEYAK_AMQP_URL").write_text("amqp://kim:hush@broker/\n")
    monkeypatch.setenv("YEYAK_SECRETS_DIR", str(tmp_path))

    assert Settings.read().amqp_url.get_secret_value() == "amqp://kim:hush@broker/"
    assert "hush" not in repr(Settings.read())


def test_a_context_has_the_common_database_or_one_of_its_own() -> None:
    chosen = WorkerSettings(
        database_url="postgresql://common/yeyak",
        context_database_urls={"video_rental.my_page": "sqlite+aiosqlite:///x"},
    )

    assert chosen.database_of("payments") == "postgresql://common/yeyak"
    assert chosen.database_of("video_rental.my_page") == "sqlite+aiosqlite:///x"
    assert chosen.provider_database == "postgresql://common/yeyak_provider"
