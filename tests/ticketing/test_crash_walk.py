"""Kills, and lost answers to a COMMIT, at every await of reserving and cancelling.

After each the member has an answer that agrees with the row, the ticket is held by one reservation or by none, and
every event was published.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from contracts.ticketing.reservations import CancelReservation, ReserveTicket
from contracts.ticketing.tickets import RegisterTicket
from tests.conftest import MakeSettings
from tests.support.crash import COMMIT, Plan
from tests.support.crash_walk import ROUNDS, Crashes, CrashWalk
from tests.support.system import STAFF, Json, System, customer
from tests.ticketing.helpers import CONTEXTS, RESERVATIONS, SETTINGS, TICKETS, discrepancies

SCENARIOS = {"two rivals": (2, False), "reserved and cancelled": (1, True)}
"""How many members want the ticket, and whether the reservation is cancelled."""
WALKED = frozenset({TICKETS, RESERVATIONS})
AFTER_COMMIT = frozenset({COMMIT, "committed", "publish", "confirmed"})
"""Places that matter to what is published; the other places are crashed while a ticket is reserved."""


async def priced_ticket(system: System) -> UUID:
    now = datetime.now(UTC)
    command = RegisterTicket(
        name="ferry", starts_at=now, ends_at=now + timedelta(days=1), base_price=10_000, caller=STAFF
    )
    ticket_id = UUID((await system.done(command))["ticket_id"])
    await system.wait_for_rows(
        RESERVATIONS, "select 1 from ticketing_reservations.prices where ticket_id = $1", ticket_id
    )
    return ticket_id


async def can_reserve(system: System) -> bool:
    command = ReserveTicket(ticket_id=await priced_ticket(system), caller=customer())
    return (await system.outcome(command))[0] == "done"


async def play(system: System, crashes: Crashes, name: str, plan: Plan) -> list[str]:
    """Reserve, and perhaps cancel, under a plan of crashes; returns what is wrong."""
    members, cancels = SCENARIOS[name]
    ticket_id, ids = await priced_ticket(system), [uuid4() for _ in range(members)]
    if not cancels:
        crashes.begin(plan)
    commands = [(ReserveTicket(ticket_id=ticket_id, caller=customer()), id) for id in ids]
    answers = await asyncio.gather(*(system.outcome(command, id=id) for command, id in commands))
    if cancels:
        crashes.begin(plan)
        answers = [await system.outcome(CancelReservation(reservation_id=ids[0], caller=STAFF))]
    await crashes.end(plan)
    await system.wait_until_idle(within=40)
    lines = [await _contradiction(system, id, *answer) for id, answer in zip(ids, answers, strict=True)]
    return [line for line in lines if line] + await discrepancies(system)


async def _contradiction(system: System, id: UUID, code: str, body: Json) -> str | None:
    """An answer that does not agree with its row."""
    query = "select status, reason from ticketing_reservations.reservations where reservation_id = $1"
    row = await system.one(RESERVATIONS, query, id)
    if code == "done":
        agrees = {"RESERVED": "RESERVED", "CANCELLING": "CANCELLED"}.get(body["status"]) == row["status"]
    else:
        agrees = row["status"] == "REJECTED" and code == row["reason"]
    return None if agrees else f"answered {code} {body}, and it is {row['status']}"


async def test_a_reservation_ends_well_after_any_kill_and_any_lost_commit(make_settings: MakeSettings) -> None:
    walk = CrashWalk(
        play,
        dict.fromkeys(SCENARIOS, WALKED),
        ready=can_reserve,
        visits=lambda name, place: ROUNDS if not SCENARIOS[name][1] or place[1] in AFTER_COMMIT else 0,
    )

    await walk.run(make_settings, "ticketing", CONTEXTS, systems=2, **SETTINGS | {"ticketing_take_ms": 400})

    assert walk.problems == []
    assert walk.played.total() > 20
    assert walk.place_names() >= {
        "written",
        "claimed",
        COMMIT,
        "started",
        "outcome_known",
        "committed",
        "replied",
        "handed_over",
    }
