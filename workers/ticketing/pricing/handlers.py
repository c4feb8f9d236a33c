"""Ticketing: ticket prices for each grade, discount policies, and frozen prices of reservations.

TicketRegistered, TicketFreed -> PriceAssigned
CreatePolicy, EndPolicy       -> RepriceTickets -> PriceAssigned   (for each price that changes)
valid_from, valid_until       -> RepriceTickets (a timer)
TicketReserved                -> PriceFrozen
RestorePrice                  -> PriceRestored                     (always)
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from contracts.base import Page
from contracts.ticketing.pricing import (
    CreatePolicy,
    EndPolicy,
    Grade,
    ListPolicies,
    ListPrices,
    Policy,
    PolicyEnded,
    PriceAssigned,
    PriceFrozen,
    PriceRestored,
    RepriceTickets,
    RestorePrice,
    ShowPolicy,
    ShowPrice,
    TicketPrice,
)
from contracts.ticketing.refusals import NotPricedYet
from contracts.ticketing.reservations import TicketReserved
from contracts.ticketing.tickets import TicketChanged, TicketExpired, TicketFreed, TicketRegistered, TicketTaken
from storage.database import Session
from storage.ticketing import pricing as store
from workers.runtime.processing.tx import Retryable, RetryableNotFound, Tx, unchanged
from workers.runtime.worker import Worker
from workers.ticketing.pricing import rules

worker = pricing = Worker("ticketing.pricing")

AT_ONCE = 100
"""The number of tickets that are repriced in one step."""


# -- policies


@pricing.handles(CreatePolicy, replays=store.find_policy)
async def create_policy(command: CreatePolicy, tx: Tx) -> Policy:
    policy = await store.create_policy(tx, tx.id, command)
    tx.schedule(RepriceTickets(), at=policy.valid_from, name="begins")
    if policy.valid_until is not None:
        tx.schedule(RepriceTickets(), at=policy.valid_until, name="ends")
    return policy


@pricing.handles(EndPolicy)
async def end_policy(command: EndPolicy, tx: Tx) -> Policy:
    policy = await store.end_policy(tx, command)
    if policy is not None:
        tx.publish(PolicyEnded.of(policy))
        tx.schedule(RepriceTickets())
        return policy
    ended = await store.find_policy(tx, command.policy_id)
    if ended is None or command.expected_version not in (None, ended.version):
        raise unchanged(ended)
    return ended


@pricing.handles(RepriceTickets)
async def reprice_tickets(command: RepriceTickets, tx: Tx) -> None:
    if command.after is None:
        await store.lock_pricing(tx)
    base_prices = await store.tickets_to_price(tx, command.after, AT_ONCE)
    await _assign(tx, base_prices)
    if len(base_prices) == AT_ONCE:
        tx.schedule(RepriceTickets(after=max(base_prices)))


# -- tickets


async def note_ticket(event: Any, tx: Tx) -> None:
    await _assign(tx, await store.note_ticket(tx, event))


for ticket_event in (TicketRegistered, TicketChanged, TicketTaken, TicketFreed, TicketExpired):
    pricing.handles(ticket_event)(note_ticket)


async def _assign(tx: Tx, base_prices: dict[UUID, int]) -> None:
    """Price tickets by the valid policies; their rows must be locked."""
    if not base_prices:
        return
    policies = await store.policies_in_force(tx)
    prices = [
        (ticket_id, rules.price_for(Grade.STANDARD, base, policies), rules.price_for(Grade.VIP, base, policies))
        for ticket_id, base in base_prices.items()
    ]
    for price in await store.assign(tx, prices):
        tx.publish(PriceAssigned.of(price), story=price.ticket_id)


# -- reservations


@pricing.handles(TicketReserved)
async def freeze_price(event: TicketReserved, tx: Tx) -> None:
    frozen = await store.freeze(tx, event)
    if frozen is not None:
        tx.publish(PriceFrozen.of(frozen))


@pricing.handles(RestorePrice)
async def restore_price(command: RestorePrice, tx: Tx) -> None:
    tx.publish(PriceRestored.of(await store.restore(tx, command.reservation_id, command.ticket_id)))


# -- queries


@pricing.handles(ShowPolicy)
async def show_policy(query: ShowPolicy, session: Session) -> Policy:
    policy = await store.find_policy(session, query.policy_id)
    if policy is None:
        raise RetryableNotFound
    return policy


@pricing.handles(ListPolicies)
async def list_policies(query: ListPolicies, session: Session) -> Page[Policy]:
    return await store.newest_policies(session, query)


@pricing.handles(ShowPrice)
async def show_price(query: ShowPrice, session: Session) -> TicketPrice:
    price = await store.find(session, query.ticket_id)
    if price is None:
        raise Retryable(NotPricedYet())
    return store.of_grade(price, query.caller.grade)


@pricing.handles(ListPrices)
async def list_prices(query: ListPrices, session: Session) -> Page[TicketPrice]:
    return await store.newest(session, query)
