"""Kills, and lost answers to a COMMIT, at every await of both handler forms.

After each the customer has an answer, row and money agree with it, and every event was published.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import uuid4

from tests.conftest import MakeSettings
from tests.flows.helpers import CONTEXTS
from tests.support import checks
from tests.support.crash import COMMIT, Plan
from tests.support.crash_walk import Crashes, CrashWalk
from tests.support.system import System, customer


@dataclass(frozen=True)
class Scenario:
    """Some members who want one video at the same instant; each posts the same request `posts` times."""

    copies: int
    tokens: tuple[str, ...]
    posts: int = 1


WALKED = frozenset({"payments", "video_rental.rentals"})
SCENARIOS = {
    "approved": Scenario(1, ("tok_visa",)),
    "declined": Scenario(1, ("tok_declined",)),
    "silent": Scenario(1, ("tok_slow",)),
    "nothing free": Scenario(0, ("tok_visa",)),
    "posted four times": Scenario(1, ("tok_visa",), posts=4),
    "two rivals": Scenario(1, ("tok_visa", "tok_visa")),
}


async def play(system: System, crashes: Crashes, name: str, plan: Plan) -> list[str]:
    """Book under a plan of crashes; returns what is wrong."""
    scenario = SCENARIOS[name]
    video_id = await system.video(copies=scenario.copies)
    crashes.begin(plan)
    bookings = [(uuid4(), system.booking(video_id, customer(), token)) for token in scenario.tokens]
    posts = bookings * scenario.posts
    replies = await asyncio.gather(*(system.until_done(booking, id=id) for id, booking in posts))
    await crashes.end(plan)
    await system.wait_until_idle(within=40)
    problems = await checks.discrepancies(system, video_id)
    rows = {row["rental_id"]: row for row in await checks.rentals_of(system, video_id)}
    lines = (checks.untrue(reply, rows.get(id)) for (id, _), reply in zip(posts, replies, strict=True))
    return problems + [line for line in lines if line]


async def test_a_booking_ends_well_after_any_kill_and_any_lost_commit(make_settings: MakeSettings) -> None:
    walk = CrashWalk(play, dict.fromkeys(SCENARIOS, WALKED))

    await walk.run(make_settings, "video_rental", CONTEXTS, systems=6)

    assert walk.problems == []
    assert walk.played.total() > 100
    assert walk.place_names() >= {
        "written", "claimed", COMMIT, "started", "outcome_known", "committed", "replied", "handed_over", "publish",
        "confirmed",
    }  # fmt: skip
