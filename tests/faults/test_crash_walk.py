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
from workers.runtime.messaging.rpc import RpcReply
from workers.runtime.processing import failpoints

TOWNS = int(os.environ.get("CRASH_TOWNS", "6"))
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))
"""How many passes of one failpoint of one context are crashed in one scenario."""


@dataclass(frozen=True)
class Scenario:
    """Some members who book one video at the same time; each posts the same request `posts` times."""

    copies: int
    tokens: tuple[str, ...]
    posts: int = 1


SCENARIOS = {
    "approved": Scenario(1, ("tok_visa",)),
    "declined": Scenario(1, ("tok_declined",)),
    "silent": Scenario(1, ("tok_slow",)),
    "nothing free": Scenario(0, ("tok_visa",)),
    "posted four times": Scenario(1, ("tok_visa",), posts=4),
    "two rivals": Scenario(1, ("tok_visa", "tok_visa")),
}


@dataclass
class Run:
    """The result of one run: replies and rows."""

    video_id: UUID
    copies: int
    answers: list[tuple[UUID, RpcReply]]
    plan: Plan


async def play(system: System, plans: list[Plan], scenario: Scenario, plan: Plan) -> Run:
    """Book under a plan of crashes, and wait until the system is idle."""
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


async def discrepancies(system: System, run: Run) -> list[str]:
    """List every discrepancy after a run."""
    rentals = await checks.rentals_of(system, run.video_id)
    wrong = await checks.discrepancies(system, run.video_id)
    by_id = {row["rental_id"]: row for row in rentals}
    return wrong + [problem for id, reply in run.answers if (problem := checks.untrue(reply, by_id.get(id)))]

    await walk.run(make_settings, "video_rental", CONTEXTS, systems=6)

async def walk(
    make_settings: MakeSettings, work: asyncio.Queue[tuple[str, Plan]], found: list[str], seen: Counter[str]
) -> None:
    """Run the remaining plans on one system."""
    system = await System(await make_settings(), "video_rental").open()
    plans = follow(system)
    await system.start("payments", "video_rental.videos", "video_rental.rentals", "video_rental.my_page")
    try:
        while not work.empty():
            name, plan = work.get_nowait()
            run = await play(system, plans, SCENARIOS[name], plan)
            seen[name] += 1
            if problems := await discrepancies(system, run):
                found.append(f"{name}, {'lost commit' if plan.lost else 'kill'} at {plan.at} {plan.where}: {problems}")
    finally:
        plans.append(Plan())
        await system.close()


async def trace_of(make_settings: MakeSettings, name: str) -> list[tuple[str, str]]:
    """Return the failpoints that a scenario passes when nothing crashes."""
    found: list[str] = []
    plan = Plan()
    work: asyncio.Queue[tuple[str, Plan]] = asyncio.Queue()
    work.put_nowait((name, plan))
    await walk(make_settings, work, found, Counter())
    assert not found
    return plan.trace


@pytest.fixture(autouse=True)
def _no_failpoints_afterwards() -> Any:
    yield
    failpoints.hook = None


async def test_every_kill_and_every_lost_commit_ends_in_a_consistent_state(make_settings: MakeSettings) -> None:
    traces = dict(
        zip(SCENARIOS, await asyncio.gather(*(trace_of(make_settings, name) for name in SCENARIOS)), strict=True)
    )
    work: asyncio.Queue[tuple[str, Plan]] = asyncio.Queue()
    for name, trace in traces.items():
        met: Counter[tuple[str, str]] = Counter()
        for at, reached in enumerate(trace, start=1):
            met[reached] += 1
            if met[reached] > ROUNDS:
                continue
            work.put_nowait((name, Plan(at)))
            if reached[1] == COMMIT:
                work.put_nowait((name, Plan(at, lost=True)))
    found: list[str] = []
    seen: Counter[str] = Counter()

    await asyncio.gather(*(asyncio.create_task(walk(make_settings, work, found, seen)) for _ in range(TOWNS)))

    assert found == []
    assert seen.total() > 100
    assert {place for trace in traces.values() for _, place in trace} >= {
        "written",
        "claimed",
        COMMIT,
        "started",
        "heard",
        "committed",
        "replied",
        "said",
        "publish",
        "confirmed",
    }
