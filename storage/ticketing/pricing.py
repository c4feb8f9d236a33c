"""Ticketing: policies, prices, frozen prices, and a projection of tickets.

The row in `pricing_turn` is a lock: pricing one ticket takes it shared, repricing all tickets takes it exclusively, so
that a ticket that is being added does not miss a policy. Policies are read after the tickets' rows are locked, so that
the last transaction that prices a ticket sees all of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from contracts.base import Page
from contracts.ticketing.pricing import (
    CreatePolicy,
    EndPolicy,
    FrozenPrice,
    ListPolicies,
    ListPrices,
    Policy,
    Price,
    PriceState,
    TicketPrice,
)
from contracts.ticketing.reservations import Reservation
from contracts.ticketing.tickets import TicketState
from storage import paging
from storage.database import Row, Session, Statement


def _policy(row: Row) -> Policy:
    return Policy.model_validate(dict(row))


def _decoded(row: Row, *documents: str) -> dict[str, Any]:
    """A row with some JSON columns decoded."""
    return {**row, **{name: json.loads(row[name]) for name in documents if row[name] is not None}}


def _price(row: Row) -> PriceState:
    return PriceState.model_validate(_decoded(row, "standard", "vip"))


def _frozen(row: Row) -> FrozenPrice:
    return FrozenPrice.model_validate(_decoded(row, "price"))


# -- policies

_CREATE = Statement("""
    insert into ticketing_pricing.policies (policy_id, name, kind, value, grade, valid_from, valid_until, created_by)
    values (:policy_id, :name, :kind, :value, :grade, :valid_from, :valid_until, :created_by) returning *""")


async def create_policy(session: Session, policy_id: UUID, command: CreatePolicy) -> Policy:
    row = await session.one(
        _CREATE,
        policy_id=policy_id,
        name=command.name,
        kind=command.kind,
        value=command.value,
        grade=command.grade,
        valid_from=command.valid_from,
        valid_until=command.valid_until,
        created_by=command.caller.member_id,
    )
    return _policy(row or {})


_END = Statement("""
    update ticketing_pricing.policies set status = 'ENDED', modified_at = now(), version = version + 1
    where policy_id = :policy_id and status = 'ACTIVE'
      and (cast(:expected_version as integer) is null or version = :expected_version) returning *""")


async def end_policy(session: Session, command: EndPolicy) -> Policy | None:
    """End a policy; None when it has ended before, has another version than expected, or does not exist."""
    row = await session.one(_END, policy_id=command.policy_id, expected_version=command.expected_version)
    return _policy(row) if row else None


_IN_FORCE = Statement("""
    select * from ticketing_pricing.policies
    where status = 'ACTIVE' and (valid_from is null or valid_from <= clock_timestamp())
      and (valid_until is null or valid_until > clock_timestamp())
    order by place""")


async def policies_in_force(session: Session) -> list[Policy]:
    """The policies that are valid now, in the order of their creation."""
    return [_policy(row) for row in await session.all(_IN_FORCE)]


_FIND_POLICY = Statement("select * from ticketing_pricing.policies where policy_id = :policy_id")


async def find_policy(session: Session, policy_id: UUID) -> Policy | None:
    """A policy; None when there is none."""
    row = await session.one(_FIND_POLICY, policy_id=policy_id)
    return _policy(row) if row else None


_POLICIES = paging.Newest(Policy, "ticketing_pricing.policies", "policy_id", filters=("status",), make=_policy)


async def newest_policies(session: Session, query: ListPolicies) -> Page[Policy]:
    """One page of policies, newest first."""
    return await _POLICIES.page(session, query)


# -- pricing tickets

_LOCK_SHARED = Statement("select one from ticketing_pricing.pricing_turn for share")
_LOCK_EXCLUSIVE = Statement("select one from ticketing_pricing.pricing_turn for update")


async def lock_pricing(session: Session) -> None:
    """Wait for transactions that are pricing a ticket, and block new ones until this transaction ends."""
    await session.one(_LOCK_EXCLUSIVE)


_NOTE = Statement("""
    with projected as (
      insert into ticketing_pricing.tickets as existing (ticket_id, base_price, status, version)
      values (:ticket_id, :base_price, :status, :version)
      on conflict (ticket_id) do update set status = excluded.status, version = excluded.version
        where existing.version < excluded.version
      returning ticket_id, base_price, status)
    select ticket_id, base_price from projected n
    where status = 'AVAILABLE'
      or not exists (select from ticketing_pricing.prices p where p.ticket_id = n.ticket_id)""")


async def note_ticket(session: Session, ticket: TicketState) -> dict[UUID, int]:
    """Project the newest state of a ticket; returns its base price by its id if it needs a price, else nothing."""
    await session.one(_LOCK_SHARED)
    row = await session.one(
        _NOTE,
        ticket_id=ticket.ticket_id,
        base_price=ticket.base_price,
        status=ticket.status,
        version=ticket.version,
    )
    return {row["ticket_id"]: row["base_price"]} if row else {}


_TO_PRICE = Statement("""
    select ticket_id, base_price from ticketing_pricing.tickets
    where status = 'AVAILABLE' and (cast(:after as uuid) is null or ticket_id > :after)
    order by ticket_id limit :limit for update""")


async def tickets_to_price(session: Session, after: UUID | None, limit: int) -> dict[UUID, int]:
    """Base prices of up to `limit` AVAILABLE tickets by id, ordered by id; the rows are locked."""
    rows = await session.all(_TO_PRICE, after=after, limit=limit)
    return {row["ticket_id"]: row["base_price"] for row in rows}


_ASSIGN = Statement("""
    insert into ticketing_pricing.prices as existing (ticket_id, price_id, base, standard, vip)
    select * from unnest(cast(:ticket_ids as uuid[]), cast(:price_ids as uuid[]), cast(:bases as bigint[]),
      cast(:standards as jsonb[]), cast(:vips as jsonb[]))
    on conflict (ticket_id) do update set standard = excluded.standard, vip = excluded.vip, modified_at = now(),
      version = existing.version + 1
      where (existing.standard, existing.vip) is distinct from (excluded.standard, excluded.vip)
    returning *""")


async def assign(session: Session, prices: Sequence[tuple[UUID, Price, Price]]) -> list[PriceState]:
    """Set the STANDARD and VIP prices of tickets; returns the prices that have changed."""
    rows = await session.all(
        _ASSIGN,
        ticket_ids=[ticket_id for ticket_id, _, _ in prices],
        price_ids=[uuid5(ticket_id, "price") for ticket_id, _, _ in prices],
        bases=[standard.base for _, standard, _ in prices],
        standards=[standard.model_dump_json() for _, standard, _ in prices],
        vips=[vip.model_dump_json() for _, _, vip in prices],
    )
    return [_price(row) for row in rows]


# -- frozen prices of reservations

_FREEZE = Statement("""
    insert into ticketing_pricing.frozen_prices (reservation_id, frozen_price_id, ticket_id, price, status)
    values (:reservation_id, :frozen_price_id, :ticket_id, cast(:price as jsonb), 'FROZEN')
    on conflict do nothing returning *""")


async def freeze(session: Session, reservation: Reservation) -> FrozenPrice | None:
    """Freeze the price of a reservation; None when it was frozen or restored before."""
    row = await session.one(
        _FREEZE,
        reservation_id=reservation.reservation_id,
        frozen_price_id=uuid5(reservation.reservation_id, "price"),
        ticket_id=reservation.ticket_id,
        price=reservation.price.model_dump_json(),
    )
    return _frozen(row) if row else None


_RESTORE = Statement("""
    insert into ticketing_pricing.frozen_prices as existing (reservation_id, frozen_price_id, ticket_id, status)
    values (:reservation_id, :frozen_price_id, :ticket_id, 'RESTORED')
    on conflict (reservation_id) do update set status = 'RESTORED',
      modified_at = case existing.status when 'FROZEN' then now() else existing.modified_at end,
      version = existing.version + (existing.status = 'FROZEN')::int
    returning *""")


async def restore(session: Session, reservation_id: UUID, ticket_id: UUID) -> FrozenPrice:
    """Restore the price of a reservation for good; a tombstone if it was not frozen. Idempotent."""
    row = await session.one(
        _RESTORE,
        reservation_id=reservation_id,
        frozen_price_id=uuid5(reservation_id, "price"),
        ticket_id=ticket_id,
    )
    return _frozen(row or {})


# -- queries

_FIND = Statement("select * from ticketing_pricing.prices where ticket_id = :ticket_id")


async def find(session: Session, ticket_id: UUID) -> PriceState | None:
    """The price of a ticket; None when it has none yet."""
    row = await session.one(_FIND, ticket_id=ticket_id)
    return _price(row) if row else None


def of_grade(price: PriceState, grade: str) -> TicketPrice:
    """A ticket's price for a grade."""
    return TicketPrice(ticket_id=price.ticket_id, **price.of_grade(grade).__dict__)


_NEWEST = paging.Newest(PriceState, "ticketing_pricing.prices", "ticket_id", make=_price)


async def newest(session: Session, query: ListPrices) -> Page[TicketPrice]:
    """One page of prices for the caller's grade, newest first."""
    page = await _NEWEST.page(session, query)
    items = [of_grade(price, query.caller.grade) for price in page.items]
    return Page[TicketPrice](items=items, next_cursor=page.next_cursor)
