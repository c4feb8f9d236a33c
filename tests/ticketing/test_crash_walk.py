"""A kill, and a lost COMMIT answer, at every await of reserving and cancelling, over the real runtime.

After each, the member has an answer that is true, the ticket has one holder or none, and everything was said.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.ticketing.reservations import CancelReservation, ReserveTicket
from tests.conftest import MakeSettings
from tests.support.crash import COMMIT, Plan, follow
from tests.support.system import STAFF, System, customer
from tests.ticketing.words import ALL, RESERVATIONS, TICKETS, Box, box_with, discrepancies
from workers.runtime.messaging.rpc import RpcReply
from workers.runtime.processing import failpoints

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))
TOLD = frozenset({COMMIT, "committed", "publish", "confirmed"})
"""Where it matters to what is told; the rest of a handling is walked with the step that asks."""
SCENARIOS = {"two rivals": (2, False), "reserved and cancelled": (1, True)}
WALKED = frozenset({TICKETS, RESERVATIONS})


async def play(box: Box, plans: list[Plan], members: int, cancels: bool, plan: Plan) -> list[str]:
    """Reserve, and perhaps cancel, under a plan of crashes; what is wrong when the system is quiet."""
    system, ticket = box.system, await box.ticket()
    wishes = [(uuid4(), ReserveTicket(ticket_id=ticket["ticket_id"], caller=customer())) for _ in range(members)]
    if not cancels:
        plans.append(plan)
    replies = await asyncio.gather(*(system.until_done(wish, id=id) for id, wish in wishes))
    if cancels:
        plans.append(plan)
        replies = [await system.until_done(CancelReservation(reservation_id=wishes[0][0], caller=STAFF), id=uuid4())]
    await asyncio.gather(*plan.crashes)
    await system.wait_until_idle(within=40)
    plans.append(Plan())
    wrong = [await _untrue(system, id, reply) for (id, _), reply in zip(wishes, replies, strict=True)]
    return [problem for problem in wrong if problem] + await discrepancies(system)


async def _untrue(system: System, id: UUID, reply: RpcReply) -> str | None:
    """An answer that does not agree with its row."""
    query = "select status, reason from ticketing_reservations.reservations where reservation_id = $1"
    row: Any = await system.one(RESERVATIONS, query, id)
    body = json.loads(reply.body)
    if reply.kind == "refused":
        fits = row["status"] == "REJECTED" and body["code"] == row["reason"]
    else:
        fits = {"RESERVED": "RESERVED", "CANCELLING": "CANCELLED"}.get(body.get("status")) == row["status"]
    return None if fits else f"answered {reply.kind} {body}, and it is {row['status']}"


@pytest.fixture
async def boxes(make_settings: MakeSettings) -> AsyncIterator[list[Box]]:
    async with (
        box_with(make_settings, ticketing_take_ms=400) as one,
        box_with(make_settings, ticketing_take_ms=400) as two,
    ):
        yield [one, two]
        failpoints.hook = None


async def test_whatever_is_killed_and_whichever_commit_is_lost_the_story_ends_well(boxes: list[Box]) -> None:
    walk = Walk(len(boxes))

    await asyncio.gather(*(asyncio.create_task(walk.run(*pair)) for pair in zip(boxes, SCENARIOS, strict=True)))

    assert walk.found == []
    assert walk.played > 20
    assert walk.places >= {"written", "claimed", COMMIT, "started", "heard", "committed", "replied", "said"}


class Walk:
    """Each system traces a scenario of its own; then they share the plans."""

    def __init__(self, towns: int) -> None:
        self.found: list[str] = []
        self.places: set[str] = set()
        self.played = 0
        self._work: asyncio.Queue[tuple[str, Plan]] = asyncio.Queue()
        self._traced = asyncio.Barrier(towns)

    async def run(self, box: Box, name: str) -> None:
        plans = follow(box.system)
        await box.system.stop(*ALL)
        await box.system.start(*ALL)  # anew, so that they obey the plans of this task
        plan = Plan(only=WALKED)
        assert await play(box, plans, *SCENARIOS[name], plan) == []
        self._plan(name, plan.trace)
        await self._traced.wait()
        while not self._work.empty():
            name, plan = self._work.get_nowait()
            problems = await play(box, plans, *SCENARIOS[name], plan)
            self.played += 1
            if problems:
                how = "lost commit" if plan.lost else "kill"
                self.found.append(f"{name}, {how} at {plan.at} {plan.where}: {problems}")

    def _plan(self, name: str, trace: list[tuple[str, str]]) -> None:
        met: Counter[tuple[str, str]] = Counter()
        for at, reached in enumerate(trace, start=1):
            met[reached] += 1
            self.places.add(reached[1])
            if met[reached] > ROUNDS or (SCENARIOS[name][1] and reached[1] not in TOLD):
                continue
            self._work.put_nowait((name, Plan(at, only=WALKED)))
            if reached[1] == COMMIT:
                self._work.put_nowait((name, Plan(at, lost=True, only=WALKED)))
