"""The private servers keep their addresses and data across restarts, and never use another system's."""

import socket
import subprocess
import threading
import urllib.request
from pathlib import Path

import aio_pika
import asyncpg
import psutil
import pytest

from ops.stack.ports import free_port, is_free, read_or_choose_ports
from ops.stack.servers import PostgresServer, RabbitServer, start_all, stop_all


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def servers(root):
    rabbit = RabbitServer(root, die_with_parent=True)
    postgres = PostgresServer(root, die_with_parent=True)
    start_all(rabbit, postgres)
    yield rabbit, postgres
    rabbit.destroy()
    postgres.destroy()


async def test_both_servers_accept_their_user_and_nobody_else(servers):
    rabbit, postgres = servers

    connection = await asyncpg.connect(postgres.database_url)
    channel = await aio_pika.connect(rabbit.amqp_url)

    assert await connection.fetchval("SELECT current_database()") == "yeyak"
    assert await connection.fetchval("SHOW fsync") == "on"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.database_url.replace(postgres.password, "guess"))
    with pytest.raises(aio_pika.exceptions.ProbableAuthenticationError):
        await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{rabbit.ports['amqp']}/")
    await connection.close()
    await channel.close()


def test_both_servers_listen_on_this_machine_only(servers):
    ours = {port for server in servers for port in server.ports.values()}

    listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout.splitlines()
    places = {line.split()[3] for line in listening}

    found = {place for place in places if int(place.rsplit(":", 1)[1]) in ours}
    assert {int(place.rsplit(":", 1)[1]) for place in found} == ours
    assert all(place.startswith(("127.0.0.1:", "[::1]:")) for place in found)


@pytest.mark.parametrize("kind", [RabbitServer, PostgresServer])
def test_a_process_that_ends_during_the_search_is_ignored(kind, tmp_path, monkeypatch):
    ended = subprocess.Popen(["true"])
    process = psutil.Process(ended.pid)
    ended.wait()
    server = kind(tmp_path)
    monkeypatch.setattr(server, "_find_all", lambda: [process])

    assert server.pid is None


def test_a_second_start_has_no_effect(servers, root):
    rabbit, postgres = servers
    pids = rabbit.pid, postgres.pid

    start_all(RabbitServer(root), PostgresServer(root))

    assert (RabbitServer(root).pid, PostgresServer(root).pid) == pids


async def test_a_killed_server_keeps_its_address_and_its_data(servers):
    rabbit, postgres = servers
    places = rabbit.ports, postgres.ports
    connection = await asyncpg.connect(postgres.database_url)
    await connection.execute("CREATE TABLE kept (n int)")
    await connection.execute("INSERT INTO kept VALUES (7)")

    rabbit.kill()
    postgres.kill()
    (postgres.data / "postmaster.pid").write_text("1\n")

    assert not rabbit.is_running()
    assert not postgres.is_running()
    start_all(rabbit, postgres)
    assert (rabbit.ports, postgres.ports) == places
    again = await asyncpg.connect(postgres.database_url)
    assert await again.fetchval("SELECT n FROM kept") == 7
    await again.close()


async def test_a_server_whose_port_was_taken_moves_to_another(servers):
    _, postgres = servers
    before = postgres.ports["sql"]
    stop_all(postgres)

    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", before))
        thief.listen()
        postgres.start()

    assert postgres.ports["sql"] != before
    connection = await asyncpg.connect(postgres.database_url)
    await connection.close()


def test_the_management_console_answers_its_user(servers):
    rabbit, _ = servers
    scheme, rest = rabbit.api_url.split("://")
    login, place = rest.split("@")
    manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    manager.add_password(None, f"{scheme}://{place}", *login.split(":"))

    console = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))

    assert console.open(f"{scheme}://{place}/api/whoami").status == 200


def test_ports_are_kept_unless_taken_or_damaged(tmp_path):
    file = tmp_path / "ports.json"
    first = read_or_choose_ports(file, ["a", "b"], {"a": free_port()})

    assert read_or_choose_ports(file, ["a", "b"], {}) == first
    file.write_text("{")
    assert set(read_or_choose_ports(file, ["a", "b"], {})) == {"a", "b"}


def test_a_kept_port_is_waited_for(tmp_path):
    """The port is kept because clients know it; a process that was just killed may still listen for a moment."""
    file = tmp_path / "ports.json"
    port = read_or_choose_ports(file, ["a"], {})["a"]
    listener = socket.create_server(("127.0.0.1", port))
    ending = threading.Timer(0.2, listener.close)
    ending.start()

    assert read_or_choose_ports(file, ["a"], {}) == {"a": port}
    ending.join()


def test_a_kept_port_that_stays_in_use_is_replaced(tmp_path):
    file = tmp_path / "ports.json"
    port = read_or_choose_ports(file, ["a"], {})["a"]
    with socket.create_server(("127.0.0.1", port)):
        assert read_or_choose_ports(file, ["a"], {}, patience=0.05)["a"] != port


def test_a_port_with_a_listener_is_not_free():
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()

        assert not is_free(listener.getsockname()[1])
