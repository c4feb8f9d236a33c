"""Contexts that share a process: each can be stopped, started, scaled and given settings by itself."""

import dataclasses
import os
import signal
import textwrap

import psutil
import pytest

from ops.stack.process_specs import Commands, StartFailed, are_shared
from tests.ops.stack.test_supervisor import PYTHON, here, is_ready, process, supervised, system, until

__all__ = ["here"]  # a fixture

SHARING = textwrap.dedent(
    """
    import http.server, json, os, signal, sys
    contexts = []
    def read(*_):
        contexts[:] = open(sys.argv[1]).read().split()
    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"contexts": dict.fromkeys(contexts)}).encode())
        def log_message(self, *_):
            pass
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, read)
    read()
    http.server.HTTPServer(("127.0.0.1", int(os.environ["YEYAK_HEALTH_PORT"])), Ready).serve_forever()
    """
)


def sharing() -> Commands:
    return dataclasses.replace(system(), shared=[*PYTHON, SHARING])


def layout(supervisor):
    return {one["name"]: one["contexts"] for one in supervisor.describe()["processes"]}


TOGETHER = {"workers": ["cafe.menu", "payments"], "gateway": []}
APART = {"workers": ["payments"], "gateway": [], "cafe.menu": ["cafe.menu"]}


async def test_contexts_share_a_process_and_one_is_stopped_without_the_others(here):
    async with supervised(here, sharing()) as supervisor:
        await until(lambda: is_ready(supervisor))
        assert layout(supervisor) == TOGETHER
        pid = process(supervisor, "workers")["pid"]

        stopped = await supervisor.handle_command("stop", "cafe.menu")

        assert stopped["ok"], stopped
        assert layout(supervisor) == APART
        assert process(supervisor, "cafe.menu")["state"] == "stopped"
        assert here.shared_contexts.read_text().split() == ["payments"]
        await supervisor.handle_command("start", "cafe.menu")
        assert layout(supervisor) == TOGETHER
        assert process(supervisor, "workers")["pid"] == pid
        assert here.read_state()["processes"] == supervisor.describe()["processes"]


async def test_up_starts_a_context_again_that_was_stopped(here):
    async with supervised(here, sharing()) as supervisor:
        await until(lambda: is_ready(supervisor))
        await supervisor.handle_command("stop", "cafe.menu")

        await supervisor.handle_command("ensure", "")

        assert layout(supervisor) == TOGETHER
        assert here.read_state()["processes"] == supervisor.describe()["processes"]


async def test_a_context_with_settings_has_a_process_of_its_own_until_they_are_gone(here):
    async with supervised(here, sharing()) as supervisor:
        await until(lambda: is_ready(supervisor))

        await supervisor.handle_command("restart", "cafe.menu", {"YEYAK_DELAY_MS": "cafe.menu=1"})

        assert layout(supervisor) == APART
        pid = process(supervisor, "cafe.menu")["pid"] or 0
        await until(lambda: psutil.Process(process(supervisor, "cafe.menu")["pid"]).environ().get("YEYAK_DELAY_MS"))
        await until(lambda: is_ready(supervisor))
        await supervisor.handle_command("restart", "cafe.menu", {})
        assert layout(supervisor) == TOGETHER
        assert not pid or not psutil.pid_exists(pid)


async def test_a_context_is_scaled_out_of_the_shared_process_and_back(here):
    async with supervised(here, sharing()) as supervisor:
        await until(lambda: is_ready(supervisor))

        grown = await supervisor.handle_command("scale", "cafe.menu=2")

        assert grown["ok"], grown
        assert layout(supervisor) == APART | {"cafe.menu-2": ["cafe.menu"]}
        await until(lambda: is_ready(supervisor))
        await supervisor.handle_command("scale", "cafe.menu=1")
        assert layout(supervisor) == TOGETHER


async def test_a_shared_process_that_dies_comes_back_without_what_was_stopped(here):
    async with supervised(here, sharing()) as supervisor:
        await until(lambda: is_ready(supervisor))
        await supervisor.handle_command("stop", "cafe.menu")
        pid = process(supervisor, "workers")["pid"]

        os.kill(pid, signal.SIGKILL)

        await until(lambda: process(supervisor, "workers")["pid"] not in (None, pid))
        await until(lambda: process(supervisor, "workers")["ready"])
        assert layout(supervisor) == APART


async def test_with_replicas_a_context_leaves_every_shared_process(here):
    async with supervised(here, sharing(), replicas=2) as supervisor:
        await until(lambda: is_ready(supervisor))
        assert layout(supervisor)["workers-2"] == ["cafe.menu", "payments"]

        await supervisor.handle_command("stop", "cafe.menu")

        there = layout(supervisor)
        assert there["workers"] == there["workers-2"] == ["payments"]
        assert there["cafe.menu"] == there["cafe.menu-2"] == ["cafe.menu"]


async def test_a_process_that_does_not_follow_is_named(here, monkeypatch):
    monkeypatch.setattr("ops.stack.shared.CHANGED_WITHIN", 0.5)
    deaf = SHARING.replace("signal.signal(signal.SIGHUP, read)", "signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    async with supervised(here, dataclasses.replace(system(), shared=[*PYTHON, deaf])) as supervisor:
        await until(lambda: is_ready(supervisor))

        answer = await supervisor.handle_command("stop", "cafe.menu")

        assert not answer["ok"]
        assert "workers.log" in answer["error"]


def test_the_layout_is_shared_unless_the_environment_says_each(monkeypatch):
    monkeypatch.delenv("YEYAK_PROCESSES", raising=False)
    assert are_shared()
    monkeypatch.setenv("YEYAK_PROCESSES", "each")
    assert not are_shared()
    monkeypatch.setenv("YEYAK_PROCESSES", "many")
    with pytest.raises(StartFailed, match="shared or each, not many"):
        are_shared()
