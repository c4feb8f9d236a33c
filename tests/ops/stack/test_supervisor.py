"""The supervisor with small child processes instead of workers, and without servers."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from ops.stack import control, process_specs
from ops.stack.local import PROCESS_MARK, AlreadySupervised, Local
from ops.stack.ports import free_port
from ops.stack.process_specs import Commands, Preparation, ProcessSpecs
from ops.stack.processes import marked
from ops.stack.supervisor import Supervisor

CHILD = textwrap.dedent(
    """
    import http.server, os, signal, sys
    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
        def log_message(self, *_):
            pass
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = int(os.environ.get("YEYAK_HEALTH_PORT") or os.environ["YEYAK_GATEWAY_PORT"])
    http.server.HTTPServer(("127.0.0.1", port), Ready).serve_forever()
    """
)
PYTHON = [sys.executable, "-c"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("YEYAK_AMQP_URL", "amqp://somewhere/")
    monkeypatch.setenv("YEYAK_DATABASE_URL", "postgresql://somewhere/yeyak")
    return Local(tmp_path)


@contextlib.asynccontextmanager
async def supervised(here, commands, replicas=1):
    supervisor = Supervisor(here, commands, replicas=replicas)
    running = asyncio.create_task(supervisor.run())
    try:
        yield supervisor
    finally:
        await supervisor.handle_command("shutdown", "")
        await running


def system(prepare=()):
    return Commands(
        prepare=[Preparation("prepare", [*PYTHON, program]) for program in prepare],
        workers={"cafe.menu": [*PYTHON, CHILD], "payments": [*PYTHON, CHILD]},
        gateway=[*PYTHON, CHILD],
    )


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def process(supervisor, name):
    return next(entry for entry in supervisor.describe()["processes"] if entry["name"] == name)


def is_ready(supervisor):
    entries = supervisor.describe()["processes"]
    return bool(entries) and all(entry["ready"] for entry in entries)


def knows_the_key(here, pid):
    return here.jwt_key.encode() in Path(f"/proc/{pid}/environ").read_bytes()


async def test_only_the_gateway_has_the_key_that_signs_tokens(here):
    async with supervised(here, system()) as supervisor:
        await until(lambda: is_ready(supervisor))

        knows = [entry["name"] for entry in supervisor.describe()["processes"] if knows_the_key(here, entry["pid"])]

    assert knows == ["gateway"]
    assert here.read_env()["YEYAK_JWT_KEY"] == here.jwt_key


async def test_a_child_that_dies_is_restarted(here):
    async with supervised(here, system()) as supervisor:
        await until(lambda: is_ready(supervisor))
        first = process(supervisor, "payments")["pid"]

        os.kill(first, signal.SIGKILL)

        await until(lambda: process(supervisor, "payments")["pid"] not in (first, None))
        await until(lambda: is_ready(supervisor))
        assert process(supervisor, "payments")["restarts"] == 1
        assert process(supervisor, "cafe.menu")["restarts"] == 0
        assert here.read_state()["processes"] == supervisor.describe()["processes"]


async def test_a_context_that_an_operator_stopped_stays_stopped(here):
    async with supervised(here, system()) as supervisor:
        await until(lambda: is_ready(supervisor))

        answer = await asyncio.to_thread(control.send_command, here.root, "stop", "cafe.menu")
        payments = psutil.Process(process(supervisor, "payments")["pid"])
        payments.kill()
        await until(lambda: process(supervisor, "payments")["restarts"] == 1)
        await until(lambda: process(supervisor, "payments")["ready"])

        assert answer["ok"]
        assert process(supervisor, "cafe.menu")["state"] == "stopped"
        await asyncio.to_thread(control.send_command, here.root, "start", "cafe.menu")
        await until(lambda: is_ready(supervisor))
        unknown = await asyncio.to_thread(control.send_command, here.root, "stop", "cafe.bar")
        assert "cafe.bar" in unknown["error"]


async def test_no_process_is_left_when_the_system_ends(here):
    async with supervised(here, system()) as supervisor:
        await until(lambda: is_ready(supervisor))
        assert len(marked(PROCESS_MARK, str(here.root))) == 3

    assert marked(PROCESS_MARK, str(here.root)) == []
    assert here.read_state()["phase"] == "stopped"


async def test_no_process_starts_before_the_preparation_succeeded(here):
    supervisor = Supervisor(here, system(prepare=["raise SystemExit('no such table')"]))

    code = await supervisor.run()

    assert code == 1
    assert "no such table" in supervisor.problem
    assert supervisor.describe()["processes"] == []


async def test_children_end_with_a_supervisor_that_is_killed(here):
    program = textwrap.dedent(
        f"""
        import asyncio, pathlib
        from ops.stack.local import Local
        from ops.stack.process_specs import Commands
        from ops.stack.supervisor import Supervisor
        commands = Commands(prepare=[], workers={{"payments": {[*PYTHON, CHILD]!r}}}, gateway=None)
        async def main():
            await Supervisor(Local(pathlib.Path({str(here.root)!r})), commands).run()
        asyncio.run(main())
        """
    )
    supervisor = await asyncio.create_subprocess_exec(*PYTHON, program, stdout=asyncio.subprocess.DEVNULL)
    await until(lambda: any(entry["ready"] for entry in here.read_state().get("processes", [])))
    child = psutil.Process(here.read_state()["processes"][0]["pid"])

    supervisor.kill()
    await supervisor.wait()

    def has_ended() -> bool:
        return not child.is_running() or child.status() == psutil.STATUS_ZOMBIE

    await until(has_ended)
    assert has_ended()


def test_a_system_has_one_supervisor(tmp_path):
    with Local(tmp_path).only_supervisor():
        assert Local(tmp_path).supervisor_pid() == os.getpid()
        with pytest.raises(AlreadySupervised), Local(tmp_path).only_supervisor():
            pass

    assert Local(tmp_path).supervisor_pid() is None


def test_the_address_stays_the_same_from_one_start_to_the_next(tmp_path, monkeypatch):
    monkeypatch.delenv("YEYAK_GATEWAY_PORT", raising=False)
    here, taken, commands = Local(tmp_path), free_port(), Commands([], {"payments": []}, gateway=["gateway"])
    monkeypatch.setattr(process_specs, "GATEWAY_PORT", taken)
    with socket.create_server(("127.0.0.1", taken)):
        first = ProcessSpecs(commands, here, {}, accounts=None, balanced=False)
    again = ProcessSpecs(commands, here, {}, accounts=None, balanced=False)
    balanced = ProcessSpecs(commands, here, {}, accounts=None, balanced=True)

    assert first.gateway_port != taken
    assert again.gateway_port == balanced.gateway_port == first.gateway_port
    assert "YEYAK_GATEWAY_PORT" in str(again.note)
    monkeypatch.setenv("YEYAK_GATEWAY_PORT", str(taken))
    assert ProcessSpecs(commands, here, {}, accounts=None, balanced=False).gateway_port == taken
