"""Café: the menu."""

from __future__ import annotations

from uuid import UUID

from contracts.base import Page
from contracts.cafe.menu import ChangeMenuItem, ListMenu, MenuItem, RegisterMenuItem
from storage import paging
from storage.database import Row, Session, Statement


def _item(row: Row) -> MenuItem:
    return MenuItem.model_validate(dict(row))


_REGISTER = Statement("""
    insert into cafe_menu.menu_items (menu_item_id, name, price, status, registered_by, changed_by)
    values (:menu_item_id, :name, :price, :status, :clerk, :clerk) returning *""")


async def register(session: Session, menu_item_id: UUID, command: RegisterMenuItem) -> MenuItem:
    """Insert an item."""
    row = await session.one(
        _REGISTER,
        menu_item_id=menu_item_id,
        name=command.name,
        price=command.price,
        status=command.status,
        clerk=command.caller.member_id,
    )
    assert row is not None
    return _item(row)


_CHANGE = Statement("""
    update cafe_menu.menu_items set name = coalesce(cast(:name as text), name),
      price = coalesce(cast(:price as bigint), price), status = coalesce(cast(:status as text), status),
      changed_by = :clerk, modified_at = now(), version = version + 1
    where menu_item_id = :menu_item_id
      and (cast(:expected_version as integer) is null or version = :expected_version) returning *""")


async def change(session: Session, command: ChangeMenuItem) -> MenuItem | None:
    """Change the fields that are given; None when there is no such item, or its version is not the expected one."""
    row = await session.one(
        _CHANGE,
        menu_item_id=command.menu_item_id,
        name=command.name,
        price=command.price,
        status=command.status,
        expected_version=command.expected_version,
        clerk=command.caller.member_id,
    )
    return _item(row) if row else None


_FIND = Statement("select * from cafe_menu.menu_items where menu_item_id = :menu_item_id")


async def find(session: Session, menu_item_id: UUID) -> MenuItem | None:
    """An item; None when there is none."""
    row = await session.one(_FIND, menu_item_id=menu_item_id)
    return _item(row) if row else None


_NEWEST = paging.Newest(
    MenuItem,
    "cafe_menu.menu_items",
    "menu_item_id",
    filters=("status",),
    where="not cast(:on_offer as boolean) or (status = 'AVAILABLE' and price > 0)",
    make=_item,
)


async def newest(session: Session, query: ListMenu) -> Page[MenuItem]:
    """One page of items, newest first."""
    return await _NEWEST.page(session, query)
