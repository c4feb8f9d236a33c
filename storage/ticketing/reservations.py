"""Ticketing: reservations, and projections of tickets and prices.

`holders` has the id of each reservation that was started; an id without a reservation row is a tombstone.
"""

from __future__ import annotations

import json
from uuid import UUID

from contracts.base import Page
from contracts.ticketing.pricing import Price, PriceState
from contracts.ticketing.reservations import ListReservations, Reservation, ReservationStatus, ReserveTicket
from storage import paging
from storage.database import Row, Session, Statement


def reservation_of(row: Row) -> Reservation:
    return Reservation.model_validate({**row, "price": json.loads(row["price"])})


# -- projections

_NOTE_TICKET = Statement(
    "insert into ticketing_reservations.tickets (ticket_id) values (:ticket_id) on conflict do nothing"
)


async def note_ticket(session: Session, ticket_id: UUID) -> None:
    """Record that a ticket exists."""
    await session.one(_NOTE_TICKET, ticket_id=ticket_id)


_PROJECT_PRICE = Statement("""
    insert into ticketing_reservations.prices as existing (ticket_id, standard, vip, version)
    values (:ticket_id, cast(:standard as jsonb), cast(:vip as jsonb), :version)
    on conflict (ticket_id) do update set standard = excluded.standard, vip = excluded.vip,
      version = excluded.version where existing.version < excluded.version""")


async def project_price(session: Session, price: PriceState) -> None:
    """Project the newest price of a ticket; an older version never replaces it."""
    await session.one(
        _PROJECT_PRICE,
        ticket_id=price.ticket_id,
        standard=price.standard.model_dump_json(),
        vip=price.vip.model_dump_json(),
        version=price.version,
    )


_NOTE_ENDED = Statement("""
    insert into ticketing_reservations.ended_policies (policy_id) values (:policy_id) on conflict do nothing""")


async def note_ended(session: Session, policy_id: UUID) -> None:
    """Record that a policy has ended."""
    await session.one(_NOTE_ENDED, policy_id=policy_id)


# -- reserving

_BEGIN = Statement("""
    with priced as (
      select case when cast(:grade as text) = 'VIP' then vip else standard end as price
      from ticketing_reservations.prices where ticket_id = :ticket_id),
    ended as (
      select (line ->> 'policy_id')::uuid as policy_id from priced, jsonb_array_elements(price -> 'lines') line
      where (line ->> 'valid_until')::timestamptz <= clock_timestamp()
        or exists (select from ticketing_reservations.ended_policies e
          where e.policy_id = (line ->> 'policy_id')::uuid)),
    offer as (
      select coalesce(cast(:price as jsonb), price) as price from priced
      where cast(:price as jsonb) is not null or not exists (select from ended)),
    holder as (
      insert into ticketing_reservations.holders (reservation_id)
      select cast(:reservation_id as uuid) from offer
      where cast(:expected_price as bigint) is null or (price ->> 'total')::bigint = :expected_price
      on conflict do nothing returning reservation_id),
    inserted as (
      insert into ticketing_reservations.reservations (reservation_id, ticket_id, member_id, status, price)
      select reservation_id, :ticket_id, :member_id, 'PENDING', price from holder, offer returning *)
    select inserted.*, (select price from priced) as price_now, array(select policy_id from ended) as ended,
      exists (select from ticketing_reservations.tickets where ticket_id = :ticket_id) as known
    from (select 1) one left join inserted on true""")


class BeginResult:
    """The result of `begin`: the reservation, or None with the reasons.

    `known`: the ticket exists; `price`: as pricing has assigned it; `ended`: its policies that have ended since.
    """

    __slots__ = ("ended", "known", "price", "reservation")

    def __init__(self, row: Row) -> None:
        self.known: bool = row["known"]
        self.price = Price.model_validate_json(row["price_now"]) if row["price_now"] else None
        self.ended: list[UUID] = row["ended"]
        self.reservation = reservation_of(row) if row["reservation_id"] else None


async def begin(
    session: Session, reservation_id: UUID, command: ReserveTicket, price: Price | None = None
) -> BeginResult:
    """Insert a PENDING reservation at the projected price for the member's grade, or at `price` if it is given.

    Nothing is inserted at a projected price with a policy that has ended.
    """
    row = await session.one(
        _BEGIN,
        reservation_id=reservation_id,
        ticket_id=command.ticket_id,
        member_id=command.caller.member_id,
        grade=command.caller.grade,
        expected_price=command.expected_price,
        price=price.model_dump_json() if price else None,
    )
    assert row is not None
    return BeginResult(row)


_SETTLE = Statement("""
    update ticketing_reservations.reservations set status = :to, reason = :reason, modified_at = now(),
      version = version + 1
    where reservation_id = :reservation_id and status = 'PENDING' returning *""")


async def settle(
    session: Session, reservation_id: UUID, to: ReservationStatus, reason: str | None
) -> Reservation | None:
    """Set the outcome of a PENDING reservation; None when it is not PENDING."""
    row = await session.one(_SETTLE, reservation_id=reservation_id, to=to, reason=reason)
    return reservation_of(row) if row else None


_TOMBSTONE = Statement("""
    insert into ticketing_reservations.holders (reservation_id) values (:reservation_id) on conflict do nothing""")


async def status_or_tombstone(session: Session, reservation_id: UUID) -> ReservationStatus | None:
    """The status of a reservation. For an unknown id a tombstone is written, so that it can never start; returns None.

    These are two statements because the second one must see a reservation that the first one had to wait for.
    """
    await session.one(_TOMBSTONE, reservation_id=reservation_id)
    reservation = await find(session, reservation_id)
    return reservation.status if reservation else None


# -- cancelling

_LOCK = Statement("""
    select * from ticketing_reservations.reservations where reservation_id = :reservation_id for update""")


async def lock(session: Session, reservation_id: UUID) -> Reservation | None:
    """A reservation locked until this transaction ends."""
    row = await session.one(_LOCK, reservation_id=reservation_id)
    return reservation_of(row) if row else None


_CANCEL = Statement("""
    update ticketing_reservations.reservations set status = 'CANCELLING', reason = :reason, modified_at = now(),
      version = version + 1
    where reservation_id = :reservation_id and status = 'RESERVED' returning *""")


async def cancel(session: Session, reservation_id: UUID, reason: str) -> Reservation | None:
    """Set a reservation to CANCELLING; None when it is not RESERVED."""
    row = await session.one(_CANCEL, reservation_id=reservation_id, reason=reason)
    return reservation_of(row) if row else None


_BOTH_DONE = "(ticket_freed or cast(:ticket_freed as boolean)) and (price_restored or cast(:price_restored as boolean))"
_RECORD_COMPENSATION = Statement(f"""
    update ticketing_reservations.reservations
    set ticket_freed = ticket_freed or cast(:ticket_freed as boolean),
      price_restored = price_restored or cast(:price_restored as boolean),
      status = case when {_BOTH_DONE} then 'CANCELLED' else status end,
      modified_at = case when {_BOTH_DONE} then now() else modified_at end,
      version = version + ({_BOTH_DONE})::int
    where reservation_id = :reservation_id and status = 'CANCELLING' returning *""")  # noqa: S608 - a constant of ours


async def record_compensation(
    session: Session, reservation_id: UUID, *, ticket_freed: bool = False, price_restored: bool = False
) -> Reservation | None:
    """Record one of the two compensations of a cancellation; returns the reservation once both make it CANCELLED."""
    row = await session.one(
        _RECORD_COMPENSATION, reservation_id=reservation_id, ticket_freed=ticket_freed, price_restored=price_restored
    )
    return reservation_of(row) if row and row["status"] == ReservationStatus.CANCELLED else None


# -- queries

_FIND = Statement("select * from ticketing_reservations.reservations where reservation_id = :reservation_id")


async def find(session: Session, reservation_id: UUID) -> Reservation | None:
    """A reservation; None when there is none."""
    row = await session.one(_FIND, reservation_id=reservation_id)
    return reservation_of(row) if row else None


_NEWEST = paging.Newest(
    Reservation,
    "ticketing_reservations.reservations",
    "reservation_id",
    filters=("member_id", "status"),
    make=reservation_of,
)


async def newest(session: Session, query: ListReservations) -> Page[Reservation]:
    """One page of reservations, newest first."""
    return await _NEWEST.page(session, query)
