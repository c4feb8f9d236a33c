"""Café: orders that are placed before pickup.

PlaceOrder     -> QuotePrice (menu) -> OrderPlaced    (nothing is written before the menu has replied)
AcceptOrder    -> OrderAccepted
MarkOrderReady -> OrderMarkedReady
CollectOrder   -> OrderCollected
RejectOrder    -> OrderRejected
CancelOrder    -> OrderCancelled
"""

from __future__ import annotations

from uuid import UUID

from contracts.base import Caller, Page, Refused
from contracts.cafe.menu import MenuItem, MenuItemChanged, MenuItemRegistered, QuotePrice
from contracts.cafe.orders import (
    AcceptOrder,
    CancelOrder,
    CollectOrder,
    KnownMenuItem,
    ListKnownMenu,
    ListOrders,
    MarkOrderReady,
    Order,
    OrderAccepted,
    OrderCancelled,
    OrderCollected,
    OrderEvent,
    OrderMarkedReady,
    OrderPlaced,
    OrderRejected,
    OrderStatus,
    PlaceOrder,
    RejectOrder,
    ShowOrder,
)
from contracts.cafe.refusals import SoldOut
from contracts.outcomes import Outcome
from contracts.refusals import NotFound, WrongState
from storage.cafe import orders as store
from storage.database import Session
from workers.cafe.orders import rules
from workers.cafe.settings import CafeSettings
from workers.runtime.processing.tx import NoReply, NothingCommitted, Request, Tx
from workers.runtime.worker import Worker

worker = orders = Worker("cafe.orders")


# -- events of the menu


@orders.handles(MenuItemRegistered)
async def note_registered(event: MenuItemRegistered, tx: Tx) -> None:
    await store.project_item(tx, event)


@orders.handles(MenuItemChanged)
async def note_changed(event: MenuItemChanged, tx: Tx) -> None:
    await store.project_item(tx, event)


# -- ordering


@orders.handles(PlaceOrder, requests=QuotePrice, read_only=True, replays=store.find)
async def place_order(command: PlaceOrder, tx: Tx) -> Request:
    """Refuse at once if the projection says SOLD_OUT; in all other cases the menu decides."""
    if await store.is_sold_out(tx, command.menu_item_id):
        raise SoldOut
    return tx.request(
        QuotePrice(menu_item_id=command.menu_item_id), within=tx.settings(CafeSettings).cafe_price_ms / 1000
    )


@place_order.then
async def settle_order(command: PlaceOrder, outcome: MenuItem | Refused | NoReply, tx: Tx) -> Order | Refused:
    if isinstance(outcome, Outcome):
        raise NothingCommitted
    if isinstance(outcome, Refused):
        return outcome
    refusal = rules.order_refusal(outcome, command.expected_price)
    if refusal is not None:
        return refusal
    order = await store.place(tx, tx.id, command, outcome)
    tx.publish(OrderPlaced.of(order))
    return order


# -- after ordering


@orders.handles(AcceptOrder)
async def accept_order(command: AcceptOrder, tx: Tx) -> Order:
    return await _move(tx, command.order_id, command.caller, OrderStatus.ACCEPTED, OrderAccepted)


@orders.handles(RejectOrder)
async def reject_order(command: RejectOrder, tx: Tx) -> Order:
    return await _move(tx, command.order_id, command.caller, OrderStatus.REJECTED, OrderRejected, reason=command.reason)


@orders.handles(MarkOrderReady)
async def mark_order_ready(command: MarkOrderReady, tx: Tx) -> Order:
    return await _move(tx, command.order_id, command.caller, OrderStatus.READY, OrderMarkedReady)


@orders.handles(CollectOrder)
async def collect_order(command: CollectOrder, tx: Tx) -> Order:
    return await _move(tx, command.order_id, command.caller, OrderStatus.COLLECTED, OrderCollected)


@orders.handles(CancelOrder)
async def cancel_order(command: CancelOrder, tx: Tx) -> Order:
    return await _move(
        tx, command.order_id, command.caller, OrderStatus.CANCELLED, OrderCancelled, reason="cancelled_by_member"
    )


async def _move(
    tx: Tx, order_id: UUID, caller: Caller, to: OrderStatus, event: type[OrderEvent], *, reason: str | None = None
) -> Order:
    """Change the status of the caller's order; an order that has the status already is returned unchanged.

    Raises NotFound and WrongState.
    """
    owner = None if caller.is_staff else caller.member_id
    moved = await store.move(tx, order_id, rules.ALLOWED_FROM[to], to, owner=owner, reason=reason)
    if moved is not None:
        tx.publish(event.of(moved))
        return moved
    order = await store.find(tx, order_id)
    if order is None or not caller.may_see(order.member_id):
        raise NotFound
    if order.status is to:
        return order
    raise WrongState(
        current_status=order.status,
        allowed_actions=rules.allowed_actions(order.status, is_staff=caller.is_staff),
    )


# -- queries


@orders.handles(ShowOrder)
async def show_order(query: ShowOrder, session: Session) -> Order:
    order = await store.find(session, query.order_id)
    if order is None or not query.caller.may_see(order.member_id):
        raise NotFound
    return order


@orders.handles(ListOrders)
async def list_orders(query: ListOrders, session: Session) -> Page[Order]:
    return await store.newest(session, query)


@orders.handles(ListKnownMenu)
async def list_known_menu(query: ListKnownMenu, session: Session) -> Page[KnownMenuItem]:
    return await store.known_menu(session, query)
