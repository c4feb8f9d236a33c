"""`yeyak secrets` writes the files of every service; `ops.probe` reads the health of a container."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway_api.tokens import SHORTEST_KEY
from ops import probe
from ops.commands.secrets import written
from ops.settings import SystemSettings


def test_the_preparation_uses_the_passwords_that_the_servers_accept(tmp_path: Path) -> None:
    files = written(tmp_path, "broker.example", "database.example")

    broker = (tmp_path / "rabbitmq" / "90-system.conf").read_text()
    settings = SystemSettings(_secrets_dir=tmp_path / "administrator")
    amqp = urlsplit(settings.amqp_url.get_secret_value())
    sql = urlsplit(settings.database_url.get_secret_value())
    assert f"default_user = {amqp.username}\ndefault_pass = {amqp.password}\n" in broker
    assert (amqp.hostname, sql.hostname, sql.path) == ("broker.example", "database.example", "/yeyak")
    assert (tmp_path / "postgres" / "password").read_text() == sql.password
    assert all(file.is_file() for file in files)


def test_gateway_and_operator_have_one_key_that_is_long_enough(tmp_path: Path) -> None:
    written(tmp_path, "rabbitmq", "postgres")

    keys = {(tmp_path / account / "yeyak_jwt_key").read_text() for account in ("gateway", "operator")}
    assert len(keys) == 1
    assert len(keys.pop()) >= SHORTEST_KEY


def test_only_the_files_of_the_servers_are_readable_by_others_than_their_owner(tmp_path: Path) -> None:
    modes = {file.relative_to(tmp_path).as_posix(): file.stat().st_mode & 0o777 for file in written(tmp_path, "r", "p")}

    assert {name for name, mode in modes.items() if mode == 0o644} == {"rabbitmq/90-system.conf", "postgres/password"}
    assert set(modes.values()) == {0o600, 0o644}


def test_existing_files_are_kept(tmp_path: Path) -> None:
    before = {file: file.read_text() for file in written(tmp_path, "rabbitmq", "postgres")}

    assert {file: file.read_text() for file in written(tmp_path, "rabbitmq", "postgres")} == before


@pytest.fixture
def served() -> Iterator[str]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/ready" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_container_is_as_healthy_as_its_process_reports(served: str) -> None:
    assert [probe.status(f"{served}/{path}") for path in ("ready", "live")] == [200, 503]
    assert probe.status("http://127.0.0.1:1/ready") is None
