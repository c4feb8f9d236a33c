"""The folder of the accounts: passwords are generated once and kept."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.accounts.files import AMQP, API, DATABASE, PROVIDER_DATABASE, Addresses, Credentials, Folder
from ops.cli import app
from ops.settings import SystemSettings

HERE = Addresses(
    amqp="amqp://{user}:{password}@here:5672/",
    database="postgresql://{user}:{password}@here/yeyak",
    provider_database="postgresql://{user}:{password}@here/yeyak_provider",
    api="http://{user}:{password}@here:15672",
)
THERE = Addresses(
    amqp="amqp://{user}:{password}@there:5672/",
    database="postgresql://{user}:{password}@there/yeyak",
    provider_database="postgresql://{user}:{password}@there/yeyak_provider",
)
NAMES = ("payments", "cafe.menu")


def test_each_account_has_what_it_needs_and_no_more(tmp_path: Path) -> None:
    folder = Folder(tmp_path)

    folder.write(NAMES, HERE)

    assert set(folder.read("cafe.menu")) == {AMQP, DATABASE}
    assert set(folder.read("payments")) == {AMQP, DATABASE, PROVIDER_DATABASE}
    assert set(folder.read("gateway")) == {AMQP, API}
    assert set(folder.read("operator")) == {AMQP, DATABASE, PROVIDER_DATABASE, API}
    assert Credentials.of(folder.read("payments")[PROVIDER_DATABASE]).user == "provider"
    passwords = {
        Credentials.of(url).password for name in ("payments", "cafe.menu") for url in folder.read(name).values()
    }
    assert len(passwords) == 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.rglob("yeyak_*")} == {0o600}


def test_existing_files_are_kept(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(NAMES, HERE)
    before = folder.read("cafe.menu")

    assert folder.write(NAMES, THERE) == 0
    assert folder.read("cafe.menu") == before


def test_a_changed_address_keeps_the_password(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(NAMES, HERE)
    before = Credentials.of(folder.read("cafe.menu")[AMQP])

    folder.write(NAMES, THERE, move=True)

    assert Credentials.of(folder.read("cafe.menu")[AMQP]) == before
    assert "@there:" in folder.read("cafe.menu")[AMQP]
    assert folder.write(NAMES, THERE, move=True) == 0


def test_a_context_with_a_server_of_its_own_keeps_it_when_the_others_move(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(NAMES, HERE)
    own = "postgresql://cafe.menu:secret@own:5432/menu"
    (folder.of("cafe.menu") / DATABASE).write_text(own)
    former = {AMQP: "amqp://administrator:x@here:5672/", DATABASE: "postgresql://administrator:x@here/yeyak"}

    folder.write(NAMES, THERE, move=True, former=former)

    assert folder.read("cafe.menu")[DATABASE] == own
    assert "@there:" in folder.read("cafe.menu")[AMQP]
    assert "@there/" in folder.read("payments")[DATABASE]
    assert json.loads(folder.read("system")["yeyak_context_database_urls"])["cafe.menu"] == own


def test_where_a_context_has_its_own_server_is_read_from_a_file_too(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (folder.of("administrator")).mkdir()
    (folder.of("administrator") / "yeyak_context_database_urls").write_text('{"cafe.menu": "postgresql://own/menu"}')

    settings = SystemSettings.read(**folder.settings_of("administrator"))

    assert settings.database_of("cafe.menu") == "postgresql://own/menu"


def test_an_address_of_the_same_server_has_the_same_password(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(NAMES, HERE)
    before = folder.read("gateway")
    (folder.of("gateway") / API).unlink()

    folder.write(NAMES, HERE)

    assert folder.read("gateway") == before


def test_a_deleted_file_gets_another_password(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(NAMES, HERE)
    before = folder.read("cafe.menu")
    for name in before:
        (folder.of("cafe.menu") / name).unlink()

    folder.write(NAMES, HERE)

    assert set(folder.read("cafe.menu")) == set(before)
    assert Credentials.of(folder.read("cafe.menu")[AMQP]).password != Credentials.of(before[AMQP]).password


def test_settings_read_an_accounts_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path)
    folder.write(NAMES, HERE)
    monkeypatch.setenv("YEYAK_SECRETS_DIR", str(folder.of("cafe.menu")))

    settings = SystemSettings.read()

    assert settings.amqp_url.get_secret_value() == folder.read("cafe.menu")[AMQP]
    assert settings.database_of("cafe.menu") == folder.read("cafe.menu")[DATABASE]


def test_contexts_of_one_process_keep_their_own_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path)
    folder.write(NAMES, HERE)
    monkeypatch.setenv("YEYAK_SECRETS_DIR", str(folder.of("system")))

    settings = SystemSettings.read()

    for name in NAMES:
        assert settings.of(name).amqp_url.get_secret_value() == folder.read(name)[AMQP]
        assert settings.database_of(name) == folder.read(name)[DATABASE]
    assert settings.provider_database == folder.read("payments")[PROVIDER_DATABASE]


def test_the_command_writes_for_the_whole_system(tmp_path: Path) -> None:
    amqp, database = "amqp://{user}:{password}@broker/", "postgresql://{user}:{password}@db/yeyak"

    done = CliRunner().invoke(app, ["accounts", "write", str(tmp_path), "--amqp", amqp, "--database", database])
    refused = CliRunner().invoke(
        app, ["accounts", "write", str(tmp_path), "--amqp", "amqp://b/", "--database", database]
    )

    assert done.exit_code == 0, done.output
    assert Folder(tmp_path).read("payments")[PROVIDER_DATABASE].endswith("@db/yeyak_provider")
    assert refused.exit_code == 1


def test_an_export_has_hashes_and_no_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path)
    folder.write(NAMES, HERE)
    monkeypatch.setenv("YEYAK_ACCOUNTS_DIR", str(tmp_path))

    printed = CliRunner().invoke(app, ["topology", "export"]).output

    users = {user["name"]: user for user in json.loads(printed)["users"]}
    assert users["cafe.menu"]["password_hash"] != ""
    assert users["cafe.orders"]["password_hash"] == ""
    assert Credentials.of(folder.read("cafe.menu")[AMQP]).password not in printed


def test_a_rotated_account_has_one_new_password_everywhere(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(NAMES, HERE)
    others, before = folder.read("cafe.menu"), folder.read("payments")

    folder.rotate("payments", NAMES)

    after = folder.read("payments")
    passwords = {Credentials.of(url).password for url in after.values()}
    assert len(passwords) == 1
    assert passwords.isdisjoint({Credentials.of(url).password for url in before.values()})
    assert [Credentials.of(url).user for url in after.values()] == [Credentials.of(url).user for url in before.values()]
    assert folder.read("cafe.menu") == others
    assert json.loads(folder.read("system")["yeyak_context_amqp_urls"])["payments"] == after[AMQP]
    assert folder.read("system")[PROVIDER_DATABASE] == after[PROVIDER_DATABASE]
    with pytest.raises(KeyError):
        folder.rotate("cafe.bar", NAMES)
