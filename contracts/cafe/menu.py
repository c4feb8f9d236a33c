"""Café: the menu.

RegisterMenuItem -> MenuItemRegistered
ChangeMenuItem   -> MenuItemChanged
QuotePrice is the query by which orders gets the current price.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, Name, Page, Query, Shape, Won
from contracts.refusals import NotFound, StaleVersion

MenuPrice = Annotated[Won, Field(le=10_000_000)]
"""Whole won; an item with the price 0 is not for sale yet."""


class MenuItemStatus(StrEnum):
    AVAILABLE = "AVAILABLE"
    SOLD_OUT = "SOLD_OUT"


class MenuItem(Shape):
    """A menu item; `price` in won, `changed_by` is the clerk who made the last change."""

    menu_item_id: UUID
    name: Name
    price: MenuPrice
    status: MenuItemStatus
    registered_by: str
    changed_by: str
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int

    @property
    def is_on_offer(self) -> bool:
        """Whether a customer may order it."""
        return self.status is MenuItemStatus.AVAILABLE and self.price > 0


class RegisterMenuItem(Command[MenuItem]):
    """Add an item to the menu; it has the id of this message."""

    topic = "cafe.menu.register_menu_item"
    refusals = ()

    name: Name
    price: MenuPrice
    status: MenuItemStatus = MenuItemStatus.AVAILABLE
    caller: Caller


class ChangeMenuItem(Command[MenuItem]):
    """Change the fields that are given; refused (`stale_version`) if the item's version is not `expected_version`."""

    topic = "cafe.menu.change_menu_item"
    refusals = (NotFound, StaleVersion)

    menu_item_id: UUID
    name: Name | None = None
    price: MenuPrice | None = None
    status: MenuItemStatus | None = None
    expected_version: int | None = None
    caller: Caller


class MenuItemRegistered(MenuItem, Event):
    topic = "cafe.menu.menu_item_registered"


class MenuItemChanged(MenuItem, Event):
    topic = "cafe.menu.menu_item_changed"


class ShowMenuItem(Query[MenuItem]):
    """One item; for a customer an item that cannot be ordered is `not_found`."""

    topic = "cafe.menu.show_menu_item"
    refusals = (NotFound,)

    menu_item_id: UUID
    caller: Caller


class ListMenu(Query[Page[MenuItem]]):
    topic = "cafe.menu.list_menu"
    refusals = ()

    status: MenuItemStatus | None = None
    on_offer: bool = False
    """Only items that can be ordered."""
    limit: int = 50
    cursor: str | None = None


class QuotePrice(Query[MenuItem]):
    """The current price and status of an item; refused (`not_found`) without a retry."""

    topic = "cafe.menu.quote_price"
    refusals = (NotFound,)

    menu_item_id: UUID
