"""Ticketing: tickets, and the holds of reservations on them.

Taking and releasing lock the ticket before they read the hold, so that the second of two concurrent statements sees the
first one's change.
"""

from __future__ import annotations

from uuid import UUID

from contracts.base import Page
from contracts.ticketing.tickets import (
    ChangeTicket,
    ListTickets,
    RegisterTicket,
    Ticket,
    TicketState,
)
from storage import paging
from storage.database import Row, Session, Statement
from storage.holds import Holds

holds = Holds("ticketing_tickets.holds", "reservation_id", "ticket_id")


def _state(row: Row | None) -> TicketState | None:
    return TicketState.model_validate(dict(row)) if row else None


def _public(row: Row) -> Ticket:
    return Ticket.model_validate(dict(row))


# -- registering

_REGISTER = Statement("""
    insert into ticketing_tickets.tickets (ticket_id, name, starts_at, ends_at, base_price, registered_by)
    select :ticket_id, :name, cast(:starts_at as timestamptz), cast(:ends_at as timestamptz), :base_price,
      :registered_by
    where cast(:ends_at as timestamptz) > cast(:starts_at as timestamptz)
      and cast(:ends_at as timestamptz) > clock_timestamp()
    returning *""")


async def register(session: Session, ticket_id: UUID, command: RegisterTicket) -> TicketState | None:
    """Insert a ticket; None unless it ends after it starts, and in the future."""
    return _state(
        await session.one(
            _REGISTER,
            ticket_id=ticket_id,
            name=command.name,
            starts_at=command.starts_at,
            ends_at=command.ends_at,
            base_price=command.base_price,
            registered_by=command.caller.member_id,
        )
    )


_LOCK = Statement("select * from ticketing_tickets.tickets where ticket_id = :ticket_id for update")
_IS_OVER = Statement("select cast(:ends_at as timestamptz) <= clock_timestamp()")


async def lock(session: Session, ticket_id: UUID) -> tuple[TicketState, bool] | None:
    """A ticket, locked until this transaction ends, and whether its end has passed; None when there is none."""
    ticket = _state(await session.one(_LOCK, ticket_id=ticket_id))
    if ticket is None:
        return None
    return ticket, bool(await session.value(_IS_OVER, ends_at=ticket.ends_at))


_CHANGE = Statement("""
    update ticketing_tickets.tickets set name = coalesce(cast(:name as text), name),
      starts_at = coalesce(cast(:starts_at as timestamptz), starts_at),
      ends_at = coalesce(cast(:ends_at as timestamptz), ends_at), modified_at = now(), version = version + 1
    where ticket_id = :ticket_id and status = 'AVAILABLE'
      and coalesce(cast(:ends_at as timestamptz), ends_at) > coalesce(cast(:starts_at as timestamptz), starts_at)
      and coalesce(cast(:ends_at as timestamptz), ends_at) > clock_timestamp()
    returning *""")


async def change(session: Session, command: ChangeTicket) -> TicketState | None:
    """Change the fields that are given; None when the ticket is not AVAILABLE, or its new times would be invalid."""
    return _state(
        await session.one(
            _CHANGE,
            ticket_id=command.ticket_id,
            name=command.name,
            starts_at=command.starts_at,
            ends_at=command.ends_at,
        )
    )


# -- taking and freeing

_TAKE = Statement("""
    with held as (
      insert into ticketing_tickets.holds (reservation_id, ticket_id, status)
      select cast(:reservation_id as uuid), ticket_id, 'HELD' from ticketing_tickets.tickets
      where ticket_id = :ticket_id and status = 'AVAILABLE' and ends_at > clock_timestamp()
      on conflict do nothing returning reservation_id, ticket_id)
    update ticketing_tickets.tickets t set status = 'RESERVED', reservation_id = h.reservation_id,
      modified_at = now(), version = version + 1
    from held h where t.ticket_id = h.ticket_id
    returning t.*""")


async def take(session: Session, ticket_id: UUID, reservation_id: UUID) -> TicketState | None:
    """Hold a locked ticket; None (and nothing is written) when it is not available or the reservation was released."""
    return _state(await session.one(_TAKE, ticket_id=ticket_id, reservation_id=reservation_id))


_FREE = Statement("""
    update ticketing_tickets.tickets
    set status = case when ends_at > clock_timestamp() then 'AVAILABLE' else 'EXPIRED' end, reservation_id = null,
      modified_at = now(), version = version + 1
    where ticket_id = :ticket_id and status = 'RESERVED' and reservation_id = :reservation_id returning *""")


async def release(session: Session, reservation_id: UUID, ticket_id: UUID) -> tuple[int, TicketState | None]:
    """Release the hold of a reservation for good.

    Returns the version of the hold, and the ticket if it was freed; a ticket that another reservation holds is not.
    """
    await session.one(_LOCK, ticket_id=ticket_id)
    version = await holds.release(session, reservation_id, ticket_id)
    return version, _state(await session.one(_FREE, reservation_id=reservation_id, ticket_id=ticket_id))


_EXPIRE = Statement("""
    update ticketing_tickets.tickets set status = 'EXPIRED', modified_at = now(), version = version + 1
    where ticket_id = :ticket_id and status = 'AVAILABLE' and ends_at <= clock_timestamp() returning *""")


async def expire(session: Session, ticket_id: UUID) -> TicketState | None:
    """Expire a ticket; None when it is not AVAILABLE, or its end has not passed."""
    return _state(await session.one(_EXPIRE, ticket_id=ticket_id))


# -- queries

_FIND = Statement("select * from ticketing_tickets.tickets where ticket_id = :ticket_id")


async def find(session: Session, ticket_id: UUID) -> Ticket | None:
    """A ticket; None when there is none."""
    row = await session.one(_FIND, ticket_id=ticket_id)
    return _public(row) if row else None


_NEWEST = paging.Newest(Ticket, "ticketing_tickets.tickets", "ticket_id", filters=("status",), make=_public)


async def newest(session: Session, query: ListTickets) -> Page[Ticket]:
    """One page of tickets, newest first."""
    return await _NEWEST.page(session, query)
