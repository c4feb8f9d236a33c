"""Statements that decide between rivals, run at once on a database of their own, without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.ticketing.pricing import FrozenStatus, Grade, Price, PriceState
from contracts.ticketing.reservations import Reservation, ReservationStatus, ReserveTicket
from contracts.ticketing.tickets import RegisterTicket, TicketState, TicketStatus
from storage.database import Database
from storage.ticketing import pricing, reservations, tickets
from tests.support import servers as support
from tests.support.servers import Servers
from tests.support.system import STAFF, customer

AT_ONCE = 40
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Statements:
    """Statements of ticketing, each in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, statement: Callable[..., Awaitable[Any]], *arguments: Any, **more: Any) -> Any:
        async with self._database.transaction() as session:
            return await statement(session, *arguments, **more)

    async def ticket(self, seconds: float = 3600) -> UUID:
        now = datetime.now(UTC)
        command = RegisterTicket(
            name="ferry", starts_at=now, ends_at=now + timedelta(seconds=seconds), base_price=1000, caller=STAFF
        )
        return (await self.run(tickets.register, uuid4(), command)).ticket_id  # type: ignore[no-any-return]

    async def take(self, ticket_id: UUID, reservation_id: UUID) -> TicketState | None:
        async with self._database.transaction() as session:
            await tickets.lock(session, ticket_id)
            return await tickets.take(session, ticket_id, reservation_id)

    async def state_of(self, ticket_id: UUID) -> TicketState:
        return (await self.run(tickets.lock, ticket_id))[0]  # type: ignore[no-any-return]

    async def reserved(self) -> Reservation:
        """A reservation that has its ticket."""
        ticket_id, reservation_id = uuid4(), uuid4()
        await self.run(reservations.project_price, price_state(ticket_id))
        command = ReserveTicket(ticket_id=ticket_id, caller=customer())
        await self.run(reservations.begin, reservation_id, command)
        settled = await self.run(reservations.settle, reservation_id, ReservationStatus.RESERVED, None)
        assert isinstance(settled, Reservation)
        return settled


def price_state(ticket_id: UUID, version: int = 1, base: int = 1000) -> PriceState:
    standard, vip = (Price(base=base, lines=[], total=base, grade=grade) for grade in Grade)
    return PriceState(
        price_id=uuid4(),
        ticket_id=ticket_id,
        base=base,
        standard=standard,
        vip=vip,
        created_at=NOW,
        modified_at=NOW,
        version=version,
    )


@pytest.fixture(scope="module")
async def site(servers: Servers, templates: None) -> AsyncIterator[Statements]:
    url = await support.create_database(servers, f"ticketing_{uuid4().hex[:12]}", support.TEMPLATE)
    database = Database(url, size=AT_ONCE)
    await database.start()
    yield Statements(database)
    await database.close()


async def test_of_forty_takes_at_once_one_has_the_ticket(site: Statements) -> None:
    ticket_id = await site.ticket()

    outcomes = await asyncio.gather(*(site.take(ticket_id, uuid4()) for _ in range(AT_ONCE)))

    (taken,) = [outcome for outcome in outcomes if outcome is not None]
    assert await site.state_of(ticket_id) == taken
    held = "select count(*) from ticketing_tickets.holds where ticket_id = $1"
    assert await site.run(lambda session: session.connection.fetchval(held, ticket_id)) == 1


async def test_of_a_take_and_its_release_at_once_the_ticket_is_free_in_the_end(site: Statements) -> None:
    pairs = [(await site.ticket(), uuid4()) for _ in range(20)]

    outcomes = await asyncio.gather(
        *(asyncio.gather(site.take(ticket_id, id), site.run(tickets.release, id, ticket_id)) for ticket_id, id in pairs)
    )

    for (ticket_id, _), (taken, (_, freed)) in zip(pairs, outcomes, strict=True):
        assert (await site.state_of(ticket_id)).status is TicketStatus.AVAILABLE
        assert (taken is None) == (freed is None)


async def test_a_release_that_came_first_refuses_the_take_for_ever(site: Statements) -> None:
    ticket_id, early = await site.ticket(), uuid4()

    first = await site.run(tickets.release, early, ticket_id)
    again = await site.run(tickets.release, early, ticket_id)

    assert first == again == (1, None)
    assert await site.take(ticket_id, early) is None
    assert await site.take(ticket_id, uuid4()) is not None


async def test_a_release_frees_only_what_that_reservation_holds(site: Statements) -> None:
    ticket_id, first, second = await site.ticket(), uuid4(), uuid4()
    await site.take(ticket_id, first)
    await site.run(tickets.release, first, ticket_id)
    held = await site.take(ticket_id, second)

    outcomes = await asyncio.gather(*(site.run(tickets.release, first, ticket_id) for _ in range(10)))

    assert {freed for _, freed in outcomes} == {None}
    assert await site.state_of(ticket_id) == held


async def test_a_ticket_is_expired_from_its_very_end_on(site: Statements) -> None:
    """Half-open: at `ends_at` it cannot be had any more; before it, it does not expire."""
    ticket_id, held = await site.ticket(), await site.ticket()
    reservation_id = uuid4()
    await site.take(held, reservation_id)
    assert await site.run(tickets.expire, ticket_id) is None
    await _end_now(site, ticket_id, held)

    taken = await site.take(ticket_id, uuid4())
    outcomes = await asyncio.gather(*(site.run(tickets.expire, ticket_id) for _ in range(10)))

    assert taken is None
    assert sum(outcome is not None for outcome in outcomes) == 1
    assert await site.run(tickets.expire, held) is None
    _, freed = await site.run(tickets.release, reservation_id, held)
    assert freed.status is TicketStatus.EXPIRED


async def _end_now(site: Statements, *ticket_ids: UUID) -> None:
    async def end(session: Any) -> None:
        query = "update ticketing_tickets.tickets set starts_at = now() - interval '1 day', ends_at = now()"
        await session.connection.execute(f"{query} where ticket_id = any($1::uuid[])", ticket_ids)

    await site.run(end)


async def test_a_hold_is_unconfirmed_until_it_is_confirmed_or_over(site: Statements) -> None:
    ticket_id, reservation_id = await site.ticket(), uuid4()
    await site.take(ticket_id, reservation_id)
    before = await site.run(tickets.holds.unconfirmed, reservation_id)

    await site.run(tickets.holds.confirm, reservation_id)
    after = await site.run(tickets.holds.unconfirmed, reservation_id)
    await site.run(tickets.release, reservation_id, ticket_id)
    await site.run(tickets.holds.confirm, reservation_id)

    assert (before is not None, after) == (True, None)
    assert await site.take(ticket_id, reservation_id) is None


async def test_a_cancellation_ends_once_whichever_part_is_last(site: Statements) -> None:
    made = [await site.reserved() for _ in range(10)]
    for reservation in made:
        assert await site.run(reservations.record_compensation, reservation.reservation_id, ticket_freed=True) is None
        await site.run(reservations.cancel, reservation.reservation_id, "no time")

    for reservation in made:
        id = reservation.reservation_id
        outcomes = await asyncio.gather(
            *(site.run(reservations.record_compensation, id, ticket_freed=True) for _ in range(5)),
            *(site.run(reservations.record_compensation, id, price_restored=True) for _ in range(5)),
        )
        (cancelled,) = [outcome for outcome in outcomes if outcome is not None]
        assert (cancelled.status, cancelled.version) == (ReservationStatus.CANCELLED, 4)


async def test_of_an_answer_and_a_timeout_at_once_one_decides(site: Statements) -> None:
    ticket_id, id = uuid4(), uuid4()
    await site.run(reservations.project_price, price_state(ticket_id))
    await site.run(reservations.begin, id, ReserveTicket(ticket_id=ticket_id, caller=customer()))

    ends = [(ReservationStatus.RESERVED, None), (ReservationStatus.REJECTED, "ticket_unavailable")] * 5
    outcomes = await asyncio.gather(*(site.run(reservations.settle, id, *end) for end in ends))

    (won,) = [outcome for outcome in outcomes if outcome is not None]
    assert await site.run(reservations.find, id) == won


async def test_a_reservation_that_was_given_up_before_it_began_never_begins(site: Statements) -> None:
    ticket_id, id = uuid4(), uuid4()
    await site.run(reservations.project_price, price_state(ticket_id))
    assert await site.run(reservations.status_or_tombstone, id) is None

    begun = await site.run(reservations.begin, id, ReserveTicket(ticket_id=ticket_id, caller=customer()))

    assert (begun.price is not None, begun.reservation) == (True, None)
    assert await site.run(reservations.status_or_tombstone, id) is None


async def test_an_older_price_never_replaces_a_newer_one(site: Statements) -> None:
    ticket_id, id = uuid4(), uuid4()

    for version, base in ((1, 1000), (3, 3000), (2, 2000)):
        await site.run(reservations.project_price, price_state(ticket_id, version, base))

    begun = await site.run(reservations.begin, id, ReserveTicket(ticket_id=ticket_id, caller=customer()))
    assert begun.reservation.price.base == 3000


async def test_a_price_is_frozen_once_and_not_after_it_was_restored(site: Statements) -> None:
    first, second = await site.reserved(), await site.reserved()

    frozen = [await site.run(pricing.freeze, first) for _ in range(2)]
    restored = [await site.run(pricing.restore, first.reservation_id, first.ticket_id) for _ in range(2)]
    early = await site.run(pricing.restore, second.reservation_id, second.ticket_id)
    late = await site.run(pricing.freeze, second)

    assert (frozen[0].price, frozen[0].version, frozen[1]) == (first.price, 1, None)
    assert restored[0] == restored[1]
    assert (restored[0].status, restored[0].price, restored[0].version) == (FrozenStatus.RESTORED, first.price, 2)
    assert (early.status, early.price, early.version, late) == (FrozenStatus.RESTORED, None, 1, None)
