"""Café: orders that are placed before pickup.

PlaceOrder     -> QuotePrice (menu) -> OrderPlaced
AcceptOrder    -> OrderAccepted
RejectOrder    -> OrderRejected
MarkOrderReady -> OrderMarkedReady
CollectOrder   -> OrderCollected
CancelOrder    -> OrderCancelled
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, MemberId, Name, Page, Query, Reason, Shape, Won
from contracts.cafe.menu import MenuItemStatus, MenuPrice
from contracts.cafe.refusals import NotForSale, SoldOut
from contracts.refusals import NotFound, PriceChanged, WrongState

Quantity = Annotated[int, Field(ge=1, le=1000)]


class OrderStatus(StrEnum):
    ORDERED = "ORDERED"
    ACCEPTED = "ACCEPTED"
    READY = "READY"
    COLLECTED = "COLLECTED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


class Order(Shape):
    """An order with the item's name and price at the time of ordering; `price` and `total` in won."""

    order_id: UUID
    menu_item_id: UUID
    member_id: MemberId
    name: Name
    quantity: Quantity
    expected_price: Won | None
    price: Won
    total: Won
    pickup_number: int
    """Counts the orders of a day in Seoul from 1."""
    status: OrderStatus
    reason: str | None
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class PlaceOrder(Command[Order]):
    """A customer places an order; it has the id of this message.

    The outcome is `unavailable`, and nothing is written, if the menu does not reply.
    """

    topic = "cafe.orders.place_order"
    refusals = (NotFound, SoldOut, NotForSale, PriceChanged)

    menu_item_id: UUID
    quantity: Quantity = 1
    expected_price: MenuPrice | None = None
    caller: Caller


class AcceptOrder(Command[Order]):
    topic = "cafe.orders.accept_order"
    refusals = (NotFound, WrongState)

    order_id: UUID
    caller: Caller


class RejectOrder(Command[Order]):
    topic = "cafe.orders.reject_order"
    refusals = (NotFound, WrongState)

    order_id: UUID
    reason: Reason
    caller: Caller


class MarkOrderReady(Command[Order]):
    topic = "cafe.orders.mark_order_ready"
    refusals = (NotFound, WrongState)

    order_id: UUID
    caller: Caller


class CollectOrder(Command[Order]):
    topic = "cafe.orders.collect_order"
    refusals = (NotFound, WrongState)

    order_id: UUID
    caller: Caller


class CancelOrder(Command[Order]):
    topic = "cafe.orders.cancel_order"
    refusals = (NotFound, WrongState)

    order_id: UUID
    caller: Caller


class OrderEvent(Order, Event):
    """A change of an order, with its state after the change."""


class OrderPlaced(OrderEvent):
    topic = "cafe.orders.order_placed"


class OrderAccepted(OrderEvent):
    topic = "cafe.orders.order_accepted"


class OrderRejected(OrderEvent):
    topic = "cafe.orders.order_rejected"


class OrderMarkedReady(OrderEvent):
    topic = "cafe.orders.order_marked_ready"


class OrderCollected(OrderEvent):
    topic = "cafe.orders.order_collected"


class OrderCancelled(OrderEvent):
    topic = "cafe.orders.order_cancelled"


class ShowOrder(Query[Order]):
    topic = "cafe.orders.show_order"
    refusals = (NotFound,)

    order_id: UUID
    caller: Caller


class ListOrders(Query[Page[Order]]):
    """The orders of a member, or of all when `member_id` is None, newest first."""

    topic = "cafe.orders.list_orders"
    refusals = ()

    member_id: str | None = None
    status: OrderStatus | None = None
    limit: int = 50
    cursor: str | None = None


class KnownMenuItem(Shape):
    """What orders knows of a menu item from the menu's events: with it, an order of a sold out item is refused."""

    menu_item_id: UUID
    status: MenuItemStatus
    version: int
    """The version of the item that had this status."""
    known_since: AwareDatetime


class ListKnownMenu(Query[Page[KnownMenuItem]]):
    """What orders knows of the menu, the item that it heard of last first."""

    topic = "cafe.orders.list_known_menu"
    refusals = ()

    status: MenuItemStatus | None = None
    limit: int = 50
    cursor: str | None = None
