"""Data of a local system is backed up and restored, and a password is changed, while people use it."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from ops.accounts.files import AMQP, DATABASE, Folder
from tests.laptop.conftest import LocalYeyak

VIDEOS = "/v1/video-rental/videos"


@pytest.fixture(scope="module")
def yeyak(make_yeyak: Callable[..., LocalYeyak]) -> LocalYeyak:
    made = make_yeyak()
    made.run("up")
    return made


class Staff:
    """A member of the staff at the gateway."""

    def __init__(self, yeyak: LocalYeyak) -> None:
        token = yeyak.run("token", "--role", "staff", "--subject", "lee").stdout.strip()
        self._http = httpx.Client(
            base_url=yeyak.here.read_state()["gateway_url"],
            headers={"authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=30,
        )

    def register(self, title: str) -> None:
        video = {"title": title, "daily_price": 1500, "copies": 2}
        assert self._http.post(VIDEOS, json=video).status_code == 201

    def titles(self) -> set[str]:
        return {video["title"] for video in self._http.get(VIDEOS, params={"limit": 100}).json()["items"]}


def test_a_backup_brings_back_what_was_there_and_nothing_later(yeyak: LocalYeyak, tmp_path: Path) -> None:
    file = tmp_path / "monday.backup"
    yeyak.run("demo")
    Staff(yeyak).register("Before")
    yeyak.run("audit", "--wait", "60")

    yeyak.run("backup", str(file))
    Staff(yeyak).register("After")
    refused = yeyak.run("restore", str(file), check=False)
    restored = yeyak.run("restore", str(file), "--yes")

    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert "The system is up." in restored.stdout
    assert "Before" in (titles := Staff(yeyak).titles())
    assert "After" not in titles
    assert file.stat().st_mode & 0o077 == 0
    assert json.loads(yeyak.run("audit", "--json", "--wait", "60").stdout)["passed"]
    assert "every step ended as expected" in yeyak.run("demo").stdout


def test_a_file_that_is_no_backup_changes_nothing(yeyak: LocalYeyak, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "other.tar", "w"):
        pass

    missing = yeyak.run("restore", str(tmp_path / "missing"), "--yes", check=False)
    other = yeyak.run("restore", str(tmp_path / "other.tar"), "--yes", check=False)
    again = yeyak.run("backup", str(tmp_path / "other.tar"), check=False)

    assert (missing.returncode, other.returncode, again.returncode) == (1, 1, 1)
    assert "yeyak.dump" in other.stderr
    assert "exists already" in again.stderr
    assert yeyak.here.supervisor_pid() is not None


@pytest.mark.parametrize("account", ["payments", "gateway", "operator"])
def test_an_account_gets_another_password_while_the_system_runs(yeyak: LocalYeyak, account: str) -> None:
    folder = Folder(yeyak.here.accounts)
    before = folder.read(account)

    yeyak.run("accounts", "rotate", account)

    after = folder.read(account)
    assert after[AMQP] != before[AMQP]
    assert after.get(DATABASE) != before.get(DATABASE) or account == "gateway"
    yeyak.wait_ready()
    assert "every step ended as expected" in yeyak.run("demo", "cafe").stdout
    yeyak.run("audit", "--wait", "60")


def test_an_account_that_is_none_is_named(yeyak: LocalYeyak) -> None:
    assert "there is no account cafe.bar" in yeyak.run("accounts", "rotate", "cafe.bar", check=False).stderr
    assert "cafe" in yeyak.run("demo", "bar", check=False).stderr
