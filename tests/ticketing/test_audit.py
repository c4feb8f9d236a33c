"""The audit names each discrepancy of tickets, prices and reservations."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

import ops.audit.runner
from ops.audit import audit
from ops.settings import SystemSettings
from tests.conftest import MakeSettings

T, R, P = (UUID(int=n) for n in (1, 2, 3))
PRICE = """'{"base": 1, "lines": [], "total": 1, "grade": "STANDARD"}'"""
TICKET = f"""
    insert into ticketing_tickets.tickets (ticket_id, name, starts_at, ends_at, base_price, registered_by, status,
      reservation_id) values ('{T}', 'ferry', now(), now() + interval '1 day', 1, 'kim', """
RESERVATION = f"""
    insert into ticketing_reservations.reservations (reservation_id, ticket_id, member_id, price, status)
    values ('{R}', '{T}', 'minji', {PRICE}, """
HOLD = f"insert into ticketing_tickets.holds (reservation_id, ticket_id, status) values ('{R}', '{T}', "
ANSWER = f"""
    insert into ticketing_reservations.inbox (id, topic, digest, owner, state, story_id, actor, answer, refused)
    values ('{R}', 'ticketing.reservations.reserve_ticket', '', '{R}', 'done', '{R}', '', """

CASES = [
    ("I1", TICKET + "'AVAILABLE', null)", f"ticket {T} is AVAILABLE, and no timer would expire it"),
    ("I1", RESERVATION + "'PENDING')", f"reservation {R} is PENDING, and no step settles it"),
    ("I1", HOLD + "'HELD')", f"the hold of reservation {R} is not confirmed, and no step will check it"),
    ("I3", TICKET + f"'RESERVED', '{R}')", f"ticket {T} is RESERVED for {R}, and reserved by nobody"),
    ("I3", f"{TICKET}'AVAILABLE', null); {RESERVATION}'RESERVED')", f"for nobody, and reserved by {R}"),
    ("I5", TICKET + "'EXPIRED', null)", f"board has not received ticket {T}, version 1"),
    ("I5", TICKET + "'EXPIRED', null)", f"pricing has not received ticket {T}, version 1"),
    ("I5", TICKET + "'EXPIRED', null)", f"the journal has 0 of 1 versions of ticket {T}"),
    (
        "I8",
        f"""{TICKET}'EXPIRED', null);
        insert into ticketing_pricing.tickets (ticket_id, base_price, status, version)
        values ('{T}', 2, 'EXPIRED', 1)""",
        f"ticket {T}: pricing does not have the base_price of its writer",
    ),
    (
        "I7",
        f"""insert into ticketing_board.frozen_prices values (1, '{P}', 2, '{R}', 'RESTORED')""",
        f"board shows version 2 of frozen_price {P}, and its timeline has 0 versions",
    ),
    (
        "I6",
        f"""insert into ticketing_board.timeline values (1, '{T}', 1, 'TicketTaken', now(), ''),
        (1, '{T}', 1, 'TicketFreed', now(), '')""",
        f"version 1 of {T} was published by TicketFreed, TicketTaken",
    ),
    ("I9", ANSWER + "'{}', false)", f"reservation {R} was answered RESERVED, and is not there"),
    (
        "I9",
        f"""{RESERVATION}'RESERVED'); {ANSWER}'{{"code": "ticket_expired"}}', true)""",
        f"reservation {R} was answered ticket_expired, and is RESERVED",
    ),
]


@pytest.fixture(autouse=True)
def _no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing changes in these stores, so the audit need not wait and read again."""
    monkeypatch.setattr(ops.audit.runner, "RECHECK_SECONDS", 0.0)


@pytest.fixture(scope="module")
async def settings(make_settings: MakeSettings) -> SystemSettings:
    made: SystemSettings = await make_settings()
    return made


async def test_the_audit_of_an_undamaged_system_finds_nothing(settings: SystemSettings) -> None:
    assert not any((await audit(settings)).values())


SCHEMAS = ("ticketing_tickets", "ticketing_reservations", "ticketing_pricing", "ticketing_board")


@pytest.mark.parametrize(("invariant", "damage", "part"), CASES, ids=[f"{case[0]} {i}" for i, case in enumerate(CASES)])
async def test_each_discrepancy_is_named(settings: SystemSettings, invariant: str, damage: str, part: str) -> None:
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    try:
        await connection.execute(damage)

        found = await audit(settings)

        assert [line for line in found[invariant] if part in line], found
    finally:
        for schema in SCHEMAS:
            tables = await connection.fetch(
                "select tablename from pg_tables where schemaname = $1 and tablename not in"
                " ('generations', 'pricing_turn', 'alembic_version')",
                schema,
            )
            await connection.execute("truncate " + ", ".join(f"{schema}.{row['tablename']}" for row in tables))
        await connection.close()
