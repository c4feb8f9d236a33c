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
from tests.support.town import STAFF, Town, customer
from tests.ticketing.words import ALL, RESERVATIONS, TICKETS, Box, box_with, discrepancies
from workers.runtime import failpoints
from workers.runtime.asking import Reply

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))
SCENARIOS = {"one member": (1, False), "two rivals": (2, False), "reserved and cancelled": (1, True)}
WALKED = frozenset({TICKETS, RESERVATIONS})


async def play(box: Box, plans: list[Plan], members: int, cancels: bool, plan: Plan) -> list[str]:
    """Reserve, and perhaps cancel, under a plan of crashes; what is wrong when the town is quiet."""
    town, ticket = box.town, await box.ticket()
    wishes = [(uuid4(), ReserveTicket(ticket_id=ticket["ticket_id"], caller=customer())) for _ in range(members)]
    if not cancels:
        plans.append(plan)
    replies = await asyncio.gather(*(town.until_done(wish, id=id) for id, wish in wishes))
    if cancels:
        plans.append(plan)
        replies = [await town.until_done(CancelReservation(reservation_id=wishes[0][0], caller=STAFF), id=uuid4())]
    await asyncio.gather(*plan.crashes)
    await town.quiet(within=40)
    plans.append(Plan())
    wrong = [await _untrue(town, id, reply) for (id, _), reply in zip(wishes, replies, strict=True)]
    return [problem for problem in wrong if problem] + await discrepancies(town)


async def _untrue(town: Town, id: UUID, reply: Reply) -> str | None:
    """An answer that does not agree with its row."""
    query = "select status, reason from ticketing_reservations.reservations where reservation_id = $1"
    row: Any = await town.one(RESERVATIONS, query, id)
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
        box_with(make_settings, ticketing_take_ms=400) as three,
    ):
        yield [one, two, three]
        failpoints.hook = None


async def test_whatever_is_killed_and_whichever_commit_is_lost_the_story_ends_well(boxes: list[Box]) -> None:
    traces = await asyncio.gather(
        *(asyncio.create_task(_trace(box, *scenario)) for box, scenario in zip(boxes, SCENARIOS.values(), strict=True))
    )
    work: asyncio.Queue[tuple[str, Plan]] = asyncio.Queue()
    for name, trace in zip(SCENARIOS, traces, strict=True):
        met: Counter[tuple[str, str]] = Counter()
        for at, reached in enumerate(trace, start=1):
            met[reached] += 1
            if met[reached] > ROUNDS:
                continue
            work.put_nowait((name, Plan(at, only=WALKED)))
            if reached[1] == COMMIT:
                work.put_nowait((name, Plan(at, lost=True, only=WALKED)))
    found: list[str] = []
    played: list[str] = []

    await asyncio.gather(*(asyncio.create_task(_walk(box, work, found, played)) for box in boxes))

    assert found == []
    assert len(played) > 40
    places = {place for trace in traces for _, place in trace}
    assert places >= {"written", "claimed", COMMIT, "started", "heard", "committed", "replied", "said"}


async def _followed(box: Box) -> list[Plan]:
    """Contexts started anew, so that they obey the plans of this task."""
    plans = follow(box.town)
    await box.town.stop(*ALL)
    await box.town.start(*ALL)
    return plans


async def _trace(box: Box, members: int, cancels: bool) -> list[tuple[str, str]]:
    """The places that a scenario reaches when nothing crashes."""
    plan = Plan(only=WALKED)
    assert await play(box, await _followed(box), members, cancels, plan) == []
    return plan.trace


async def _walk(box: Box, work: asyncio.Queue[tuple[str, Plan]], found: list[str], played: list[str]) -> None:
    plans = await _followed(box)
    while not work.empty():
        name, plan = work.get_nowait()
        problems = await play(box, plans, *SCENARIOS[name], plan)
        played.append(name)
        if problems:
            found.append(f"{name}, {'lost commit' if plan.lost else 'kill'} at {plan.at} {plan.where}: {problems}")
