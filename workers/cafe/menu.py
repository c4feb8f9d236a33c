"""Café: the menu.

RegisterMenuItem -> MenuItemRegistered
ChangeMenuItem   -> MenuItemChanged
"""

from __future__ import annotations

from contracts.base import Page
from contracts.cafe.menu import (
    ChangeMenuItem,
    ListMenu,
    MenuItem,
    MenuItemChanged,
    MenuItemRegistered,
    QuotePrice,
    RegisterMenuItem,
    ShowMenuItem,
)
from contracts.refusals import NotFound
from storage.cafe import menu as store
from storage.database import Session
from workers.runtime.processing.tx import RetryableNotFound, Tx, unchanged
from workers.runtime.worker import Worker

worker = menu = Worker("cafe.menu")


@menu.handles(RegisterMenuItem, replays=store.find)
async def register_menu_item(command: RegisterMenuItem, tx: Tx) -> MenuItem:
    item = await store.register(tx, tx.id, command)
    tx.publish(MenuItemRegistered.of(item))
    return item


@menu.handles(ChangeMenuItem)
async def change_menu_item(command: ChangeMenuItem, tx: Tx) -> MenuItem:
    item = await store.change(tx, command)
    if item is None:
        raise unchanged(await store.find(tx, command.menu_item_id))
    tx.publish(MenuItemChanged.of(item))
    return item


@menu.handles(ShowMenuItem)
async def show_menu_item(query: ShowMenuItem, session: Session) -> MenuItem:
    item = await store.find(session, query.menu_item_id)
    if item is None:
        raise RetryableNotFound
    if not (query.caller.is_staff or item.is_on_offer):
        raise NotFound
    return item


@menu.handles(ListMenu)
async def list_menu(query: ListMenu, session: Session) -> Page[MenuItem]:
    return await store.newest(session, query)


@menu.handles(QuotePrice)
async def quote_price(query: QuotePrice, session: Session) -> MenuItem:
    """Refuse an unknown item without a retry: the menu is the source of items, so none can arrive later."""
    item = await store.find(session, query.menu_item_id)
    if item is None:
        raise NotFound
    return item
