"""Kills, and lost answers to a COMMIT, in both steps that send requests: a ride's start and a top-up.

After each the member has an answer that agrees with the row; in the end the audit finds nothing.
"""

from __future__ import annotations

from uuid import UUID, uuid4

from tests.bike_sharing.helpers import (
    BIKES,
    CONTEXTS,
    DEPOSITS,
    RIDES,
    credit,
    discrepancies,
    end_ride,
    known_bike,
    start_ride,
    top_up,
)
from tests.conftest import MakeSettings
from tests.support.crash import COMMIT, Plan
from tests.support.crash_walk import ROUNDS, Crashes, CrashWalk
from tests.support.system import System, customer

SCENARIOS = {"start": frozenset({RIDES, BIKES}), "top-up": frozenset({DEPOSITS})}
WALKED = frozenset({RIDES, BIKES, DEPOSITS})
TIMES = {"bike_sharing_payment_ms": 700, "bike_sharing_take_ms": 500, "bike_sharing_holder_check_seconds": 3600}
RIDE = "select status, bike_id from bike_sharing_rides.rides where ride_id = $1"
TOP_UP = "select status from bike_sharing_deposits.top_ups where top_up_id = $1"
AGREE = {
    ("done", "RIDING"),
    ("bike_unavailable", "NOT_STARTED"),
    ("done", "COMPLETED"),
    ("payment_unavailable", "CANCELLED"),
}
"""Codes of answers, and the status of a row that agrees with each."""


async def play(system: System, crashes: Crashes, name: str, plan: Plan) -> list[str]:
    """Start a ride or top up under a plan of crashes; returns what is wrong."""
    kim, request_id = customer(), uuid4()
    if name == "start":
        bike_id = await known_bike(system)
        await credit(system, kim)
    await system.wait_until_idle()
    crashes.begin(plan)
    code, _ = await system.outcome(start_ride(bike_id, kim) if name == "start" else top_up(kim), id=request_id)
    await crashes.end(plan)
    await system.wait_until_idle(within=40)
    row = await system.one(*((RIDES, RIDE) if name == "start" else (DEPOSITS, TOP_UP)), request_id)
    problems = [] if (code, row["status"]) in AGREE else [f"answered {code}, and it is {row['status']}"]
    if name != "start":
        return problems
    if row["status"] == "NOT_STARTED":
        code = "bike_unavailable"
        while code == "bike_unavailable":  # a busy machine may not answer in time: a new try is another ride
            code, ride = await system.outcome(start_ride(row["bike_id"], kim))
        if code != "done":
            return [*problems, f"the bike cannot be ridden: {code}"]
        request_id = UUID(ride["ride_id"])
    code, _ = await system.outcome(end_ride({"ride_id": request_id}))
    return problems if code == "done" else [*problems, f"the ride cannot be ended: {code}"]


async def test_the_books_balance_after_any_kill_and_any_lost_commit(make_settings: MakeSettings) -> None:
    walk = CrashWalk(
        play,
        SCENARIOS,
        visits=lambda _, place: ROUNDS + (place[1] in ("written", COMMIT)),  # each step has these
        check=discrepancies,
    )

    await walk.run(make_settings, "bike_sharing", CONTEXTS, systems=4, **TIMES)

    assert walk.problems == []
    assert walk.played.total() > 20
    assert walk.place_names() >= {"written", COMMIT, "started", "outcome_known", "handed_over"}
