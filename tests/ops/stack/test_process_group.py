"""Replicas of a context are scaled, restarted one by one, and replaced when frozen or leaking."""

import asyncio
import dataclasses
import os
import signal

import psutil

from ops.stack import monitor
from tests.ops.stack.test_supervisor import CHILD, PYTHON, here, is_ready, process, supervised, system, until

__all__ = ["here"]  # a fixture

EXPORTER = CHILD.replace('os.environ.get("YEYAK_HEALTH_PORT") or os.environ["YEYAK_GATEWAY_PORT"]', "sys.argv[1]")


def replicas(supervisor, of):
    return [one for one in supervisor.describe()["processes"] if one["contexts"] == [of]]


async def test_a_context_is_scaled_up_and_down(here):
    async with supervised(here, system()) as supervisor:
        await until(lambda: is_ready(supervisor))

        grown = await supervisor.handle_command("scale", "cafe.menu=3")

        assert grown["ok"]
        assert [one["name"] for one in replicas(supervisor, "cafe.menu")] == ["cafe.menu", "cafe.menu-2", "cafe.menu-3"]
        assert all(one["ready"] for one in replicas(supervisor, "cafe.menu"))
        pids = [one["pid"] for one in replicas(supervisor, "cafe.menu")]
        await supervisor.handle_command("scale", "cafe.menu=1")
        assert [one["pid"] for one in replicas(supervisor, "cafe.menu")] == pids[:1]
        assert not any(psutil.pid_exists(pid) for pid in pids[1:])


async def test_the_exporter_has_its_port_and_is_restarted(here):
    commands = dataclasses.replace(system(), exporter=[*PYTHON, EXPORTER])
    async with supervised(here, commands) as supervisor:
        await until(lambda: is_ready(supervisor))
        before = process(supervisor, "exporter")

        os.kill(before["pid"], signal.SIGKILL)

        await until(lambda: process(supervisor, "exporter")["pid"] not in (None, before["pid"]))
        assert not (await supervisor.handle_command("scale", "exporter=2"))["ok"]


async def test_scaling_that_is_not_possible_gives_a_reason(here):
    async with supervised(here, system()) as supervisor:
        await until(lambda: is_ready(supervisor))

        for order, reason in (("cafe.bar=2", "cafe.bar"), ("cafe.menu=0", "1 to 10"), ("gateway=2", "--replicas")):
            answer = await supervisor.handle_command("scale", order)

            assert not answer["ok"]
            assert reason in answer["error"]


async def test_one_replica_is_always_ready_during_a_rolling_restart(here):
    async with supervised(here, system()) as supervisor:
        await until(lambda: is_ready(supervisor))
        await supervisor.handle_command("scale", "cafe.menu=2")
        before = {one["name"]: one["pid"] for one in replicas(supervisor, "cafe.menu")}
        restarting = asyncio.create_task(
            supervisor.handle_command("restart", "cafe.menu", {"YEYAK_DELAY_MS": "cafe.menu=1"})
        )
        there = []

        while not restarting.done():
            there.append(sum(one["ready"] for one in replicas(supervisor, "cafe.menu")))
            await asyncio.sleep(0.01)

        assert min(there) == 1
        for one in replicas(supervisor, "cafe.menu"):
            assert one["pid"] != before[one["name"]]
            assert psutil.Process(one["pid"]).environ()["YEYAK_DELAY_MS"] == "cafe.menu=1"


async def test_a_frozen_process_is_replaced(here, monkeypatch):
    monkeypatch.setattr(monitor, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(monitor, "FROZEN_GRACE", 0.1)
    async with supervised(here, system()) as supervisor:
        await until(lambda: is_ready(supervisor))
        frozen = process(supervisor, "payments")["pid"]

        os.kill(frozen, signal.SIGSTOP)

        await until(lambda: process(supervisor, "payments")["pid"] not in (frozen, None), 20)
        await until(lambda: is_ready(supervisor))
        assert "not answered" in process(supervisor, "payments")["replaced"]
        assert process(supervisor, "cafe.menu")["replaced"] is None


async def test_leaking_replicas_are_replaced_one_after_the_other(here, monkeypatch):
    async with supervised(here, system()) as supervisor:
        await until(lambda: is_ready(supervisor))
        await supervisor.handle_command("scale", "cafe.menu=2")
        leaking = {one["pid"] for one in replicas(supervisor, "cafe.menu")}
        monkeypatch.setattr(monitor, "resident", lambda pid: 1000 * 2**20 if pid in leaking else 0)
        there = []

        async with asyncio.timeout(20):
            while leaking & {one["pid"] for one in replicas(supervisor, "cafe.menu")}:
                there.append(sum(one["pid"] is not None for one in replicas(supervisor, "cafe.menu")))
                await asyncio.sleep(0.01)

        assert min(there) == 1
        assert "1000 MiB" in process(supervisor, "cafe.menu-2")["replaced"]


BUSY = CHILD.replace(
    "port = int(",
    "import threading\ndef busy(*_):\n    while True: pass\nsignal.signal(signal.SIGUSR1, busy)\nport = int(",
)


async def test_a_busy_process_is_not_replaced_as_frozen_until_it_has_been_silent_for_long(here, monkeypatch):
    monkeypatch.setattr(monitor, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(monitor, "BUSY_SECONDS", 8.0)
    monkeypatch.setattr(monitor, "FROZEN_GRACE", 0.1)
    commands = dataclasses.replace(system(), workers={"payments": [*PYTHON, BUSY], "cafe.menu": [*PYTHON, CHILD]})
    async with supervised(here, commands) as supervisor:
        await until(lambda: is_ready(supervisor))
        busy = process(supervisor, "payments")["pid"]

        os.kill(busy, signal.SIGUSR1)

        await until(lambda: process(supervisor, "payments")["pid"] not in (busy, None), 60)
        why = process(supervisor, "payments")["replaced"]
        assert int(why.split()[4]) >= 8, why


async def test_processes_that_freeze_together_are_replaced_one_after_the_other(here, monkeypatch):
    monkeypatch.setattr(monitor, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(monitor, "FROZEN_GRACE", 0.1)
    async with supervised(here, system()) as supervisor:
        await until(lambda: is_ready(supervisor))
        frozen = {process(supervisor, name)["pid"] for name in ("payments", "cafe.menu")}
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        at_once = []

        async with asyncio.timeout(60):
            while frozen & {one["pid"] for one in supervisor.describe()["processes"]}:
                children = supervisor.processes.children
                at_once.append(sum(one.is_being_replaced or bool(one.replaced and not one.ready) for one in children))
                await asyncio.sleep(0.01)

        await until(lambda: is_ready(supervisor), 20)
        assert max(at_once) == 1
