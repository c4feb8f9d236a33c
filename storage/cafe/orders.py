"""Café: orders, the pickup numbers of each day, and a projection of the menu items' status."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from contracts.base import Page
from contracts.cafe.menu import MenuItem, MenuItemStatus
from contracts.cafe.orders import KnownMenuItem, ListKnownMenu, ListOrders, Order, OrderStatus, PlaceOrder
from storage import paging
from storage.database import Row, Session, Statement


def _order(row: Row) -> Order:
    return Order.model_validate(dict(row))


# -- ordering

# The day's counter is locked until the transaction ends: after a rollback the next order gets the number.
_PLACE = Statement("""
    with number as (
      insert into cafe_orders.pickup_numbers as day (day, last) values (cafe_orders.seoul_day(now()), 1)
      on conflict (day) do update set last = day.last + 1 returning day.last)
    insert into cafe_orders.orders
      (order_id, menu_item_id, member_id, name, quantity, expected_price, price, total, pickup_number, status)
    select :order_id, :menu_item_id, :member_id, :name, cast(:quantity as integer), :expected_price,
      cast(:price as bigint), cast(:price as bigint) * cast(:quantity as integer), number.last, 'ORDERED'
    from number returning *""")


async def place(session: Session, order_id: UUID, command: PlaceOrder, item: MenuItem) -> Order:
    """Insert an order with the next pickup number of the day in Seoul, at the price of `item`."""
    row = await session.one(
        _PLACE,
        order_id=order_id,
        menu_item_id=command.menu_item_id,
        member_id=command.caller.member_id,
        name=item.name,
        quantity=command.quantity,
        expected_price=command.expected_price,
        price=item.price,
    )
    assert row is not None
    return _order(row)


# -- after ordering

_MOVE = Statement("""
    update cafe_orders.orders set status = :to, reason = :reason, modified_at = now(), version = version + 1
    where order_id = :order_id and status = any(cast(:from_statuses as text[]))
      and (cast(:owner as text) is null or member_id = :owner) returning *""")


async def move(
    session: Session,
    order_id: UUID,
    from_statuses: Collection[OrderStatus],
    to: OrderStatus,
    *,
    owner: str | None = None,
    reason: str | None = None,
) -> Order | None:
    """Change the status of an order; None when its status is not in `from_statuses`, or its member is not `owner`."""
    row = await session.one(
        _MOVE, order_id=order_id, from_statuses=list(from_statuses), to=to, owner=owner, reason=reason
    )
    return _order(row) if row else None


# -- queries

_FIND = Statement("select * from cafe_orders.orders where order_id = :order_id")


async def find(session: Session, order_id: UUID) -> Order | None:
    """An order; None when there is none."""
    row = await session.one(_FIND, order_id=order_id)
    return _order(row) if row else None


_NEWEST = paging.Newest(Order, "cafe_orders.orders", "order_id", filters=("member_id", "status"), make=_order)


async def newest(session: Session, query: ListOrders) -> Page[Order]:
    """One page of orders, newest first."""
    return await _NEWEST.page(session, query)


# -- the projection of the menu

_PROJECT_ITEM = Statement("""
    insert into cafe_orders.menu_items as existing (menu_item_id, status, version)
    values (:menu_item_id, :status, :version)
    on conflict (menu_item_id) do update set status = excluded.status, version = excluded.version
    where existing.version < excluded.version""")


async def project_item(session: Session, item: MenuItem) -> None:
    """Project the newest status of an item; an older version never replaces it."""
    await session.one(_PROJECT_ITEM, menu_item_id=item.menu_item_id, status=item.status, version=item.version)


_STATUS = Statement("select status from cafe_orders.menu_items where menu_item_id = :menu_item_id")


async def is_sold_out(session: Session, menu_item_id: UUID) -> bool:
    """Whether the item is SOLD_OUT in the projection; False for an unknown item."""
    return bool(await session.value(_STATUS, menu_item_id=menu_item_id) == MenuItemStatus.SOLD_OUT)


_KNOWN_MENU = paging.Newest(
    KnownMenuItem, "cafe_orders.menu_items", "menu_item_id", at="known_since", filters=("status",)
)


async def known_menu(session: Session, query: ListKnownMenu) -> Page[KnownMenuItem]:
    """One page of the projected items, the newest first."""
    return await _KNOWN_MENU.page(session, query)
