"""Ticketing: tickets; each is held by at most one reservation, and expires at its end.

RegisterTicket -> TicketRegistered -> ExpireTicket (a timer) -> TicketExpired
ChangeTicket   -> TicketChanged
TakeTicket     -> TicketTaken -> CheckHold (a timer) -> SettleHold   (repeated until ConfirmHold or FreeTicket)
FreeTicket     -> TicketFreed (if the reservation held it), HoldReleased (always)
ConfirmHold    -> no more CheckHold
"""

from __future__ import annotations

from contracts.base import Page, Refused
from contracts.refusals import InvalidMessage, NotFound, WrongState
from contracts.ticketing.refusals import ExpiredTicket, TicketNotAvailable
from contracts.ticketing.reservations import SettleHold
from contracts.ticketing.tickets import (
    ChangeTicket,
    CheckHold,
    ConfirmHold,
    ExpireTicket,
    FreeTicket,
    HoldReleased,
    ListTickets,
    RegisterTicket,
    ShowTicket,
    TakeTicket,
    Ticket,
    TicketChanged,
    TicketExpired,
    TicketFreed,
    TicketRegistered,
    TicketState,
    TicketStatus,
    TicketTaken,
)
from storage.database import Session
from storage.ticketing import tickets as store
from workers import holds
from workers.runtime.processing.tx import RetryableNotFound, RunAgain, Tx, unchanged
from workers.runtime.worker import Worker
from workers.ticketing.settings import TicketingSettings

worker = tickets = Worker("ticketing.tickets", sends=(SettleHold,))


def invalid_times() -> InvalidMessage:
    return InvalidMessage(errors=[{"field": "ends_at"}])


def public(ticket: TicketState) -> Ticket:
    """A ticket without its holder."""
    return Ticket.model_validate(ticket.__dict__)


# -- tickets


@tickets.handles(RegisterTicket, replays=store.find)
async def register_ticket(command: RegisterTicket, tx: Tx) -> Ticket:
    ticket = await store.register(tx, tx.id, command)
    if ticket is None:
        raise invalid_times()
    tx.publish(TicketRegistered.of(ticket))
    tx.schedule(ExpireTicket(ticket_id=ticket.ticket_id), at=ticket.ends_at)
    return public(ticket)


@tickets.handles(ChangeTicket)
async def change_ticket(command: ChangeTicket, tx: Tx) -> Ticket:
    found = await store.lock(tx, command.ticket_id)
    if found is None:
        raise RetryableNotFound
    before, is_over = found
    if command.expected_version not in (None, before.version):
        raise unchanged(before)
    if before.status is not TicketStatus.AVAILABLE or is_over:
        status = TicketStatus.EXPIRED if is_over and before.status is TicketStatus.AVAILABLE else before.status
        raise WrongState(current_status=status, allowed_actions=[])
    ticket = await store.change(tx, command)
    if ticket is None:
        raise invalid_times()
    tx.publish(TicketChanged.of(ticket))
    if ticket.ends_at != before.ends_at:
        tx.schedule(ExpireTicket(ticket_id=ticket.ticket_id), at=ticket.ends_at)
    return public(ticket)


@tickets.handles(ExpireTicket)
async def expire_ticket(command: ExpireTicket, tx: Tx) -> None:
    ticket = await store.expire(tx, command.ticket_id)
    if ticket is not None:
        tx.publish(TicketExpired.of(ticket))


# -- holds


@tickets.handles(TakeTicket)
async def take_ticket(command: TakeTicket, tx: Tx) -> TicketState | Refused:
    found = await store.lock(tx, command.ticket_id)
    if found is None:
        return NotFound()
    before, is_over = found
    if before.reservation_id == command.reservation_id:
        return before
    if before.status is TicketStatus.EXPIRED or is_over:
        return ExpiredTicket()
    ticket = await store.take(tx, command.ticket_id, command.reservation_id)
    if ticket is None:
        return TicketNotAvailable()
    tx.publish(TicketTaken.of(ticket))
    check = CheckHold(ticket_id=ticket.ticket_id, reservation_id=command.reservation_id)
    tx.schedule(check, after=tx.settings(TicketingSettings).ticketing_hold_check)
    return ticket


@tickets.handles(ConfirmHold)
async def confirm_hold(command: ConfirmHold, tx: Tx) -> None:
    await store.holds.confirm(tx, command.reservation_id)


@tickets.handles(CheckHold)
async def check_hold(command: CheckHold, tx: Tx) -> RunAgain | None:
    return await holds.ask_holder(
        tx,
        store.holds,
        command.reservation_id,
        lambda hold: SettleHold(reservation_id=hold["reservation_id"], ticket_id=hold["ticket_id"]),
        first_seconds=tx.settings(TicketingSettings).ticketing_hold_check_seconds,
    )


@tickets.handles(FreeTicket)
async def free_ticket(command: FreeTicket, tx: Tx) -> None:
    version, ticket = await store.release(tx, command.reservation_id, command.ticket_id)
    if ticket is not None:
        tx.publish(TicketFreed.of(ticket))
    tx.publish(HoldReleased(reservation_id=command.reservation_id, ticket_id=command.ticket_id, version=version))


# -- queries


@tickets.handles(ShowTicket)
async def show_ticket(query: ShowTicket, session: Session) -> Ticket:
    ticket = await store.find(session, query.ticket_id)
    if ticket is None:
        raise RetryableNotFound
    return ticket


@tickets.handles(ListTickets)
async def list_tickets(query: ListTickets, session: Session) -> Page[Ticket]:
    return await store.newest(session, query)
