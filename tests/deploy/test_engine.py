"""`yeyak` uses a container engine that answers, and private servers otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.cli import STACK_COMMANDS
from ops.deployment import compose
from ops.deployment.contexts import name_of
from ops.stack import compose_engine
from ops.stack.local import Local
from workers.registry import CONTEXTS

Yeyak = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def yeyak(tmp_path: Path) -> Yeyak:
    """Run `yeyak` with a `docker` that records its arguments; `away` names the command that it fails at."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(
        f'#!/bin/sh\necho "$*" >>{tmp_path}/calls\ncase "$*" in "$AWAY") exit 1;; esac\n',
    )
    docker.chmod(0o755)

    def run(*words: str, away: str = "nothing", **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "calls").write_text("")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("YEYAK_")}
        own = {
            "PATH": f"{docker.parent}:{os.environ['PATH']}",
            "YEYAK_LOCAL": str(tmp_path / "local"),
            "AWAY": away,
            **environment,
        }
        return subprocess.run(
            [sys.executable, "-m", "ops.cli", *words],
            env=inherited | own,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def docker_calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


def test_a_new_system_uses_containers_where_an_engine_answers_and_keeps_using_them(
    yeyak: Yeyak, tmp_path: Path
) -> None:
    yeyak("up")
    assert docker_calls(tmp_path)[:2] == ["compose version", "info"]
    assert docker_calls(tmp_path)[2].endswith("up --detach --build --wait --wait-timeout 300")

    yeyak("audit", "--json")
    assert [line.partition("directory ")[2].partition(" ")[2] for line in docker_calls(tmp_path)] == [
        "run --rm operator yeyak audit --json"
    ]


def test_after_a_reset_the_engine_is_chosen_again(yeyak: Yeyak, tmp_path: Path) -> None:
    yeyak("up")
    yeyak("reset", "--yes")

    ended = yeyak("stop", "payments", away="info")

    assert docker_calls(tmp_path) == []
    assert "the system is not up" in ended.stderr


@pytest.mark.parametrize(
    ("away", "environment", "taken_over"),
    [
        ("nothing", {}, True),
        ("compose version", {}, False),
        ("info", {}, False),
        ("info", {"YEYAK_ENGINE": "compose"}, True),
        ("nothing", {"YEYAK_ENGINE": "private"}, False),
        ("nothing", {"YEYAK_AMQP_URL": "amqp://elsewhere/"}, False),
    ],
)
def test_a_new_system_uses_private_servers_without_an_engine_or_with_servers_of_its_own(
    yeyak: Yeyak,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    away: str,
    environment: dict[str, str],
    taken_over: bool,
) -> None:
    monkeypatch.delenv("YEYAK_ENGINE")
    for name, value in {**environment, "AWAY": away, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}.items():
        monkeypatch.setenv(name, value)

    assert compose_engine.is_chosen(Local(tmp_path / "local"), ["up"]) is taken_over


def test_a_system_with_private_servers_keeps_them(
    yeyak: Yeyak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("YEYAK_ENGINE")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    Local(tmp_path).write_env({"YEYAK_GATEWAY_PORT": "8088"})

    assert not compose_engine.is_chosen(Local(tmp_path), ["up"])


def test_an_unknown_engine_is_refused(yeyak: Yeyak) -> None:
    ended = yeyak("up", YEYAK_ENGINE="podman")

    assert ended.returncode == 1
    assert "YEYAK_ENGINE is compose or private, not podman" in ended.stderr


def test_a_context_is_scaled_by_its_service_and_unsupported_options_are_refused() -> None:
    assert compose_engine.arguments(["scale", "cafe.menu=3"])[-2:] == ["--scale", "cafe-menu=3"]
    with pytest.raises(SystemExit, match="--replicas is for a private system"):
        compose_engine.arguments(["up", "--replicas", "2"])


def test_the_engine_has_every_command_of_the_stack() -> None:
    assert set(STACK_COMMANDS) == compose_engine.COMPOSE_COMMANDS.keys()


def test_every_name_that_can_be_stopped_or_followed_is_a_service() -> None:
    services = compose.services()

    for name in (*CONTEXTS, "gateway", "gateway_api", "rabbitmq", "postgres", "postgresql"):
        assert compose_engine.arguments(["stop", name])[-1] in services
    assert [compose_engine.arguments(["logs", context])[-1] for context in CONTEXTS] == [
        name_of(name) for name in CONTEXTS
    ]
