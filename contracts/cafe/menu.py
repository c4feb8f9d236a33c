"""Café: the menu, and what it tells the system."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, Name, Page, Query, Shape, Won

MenuPrice = Annotated[Won, Field(le=10_000_000)]
"""Whole won; 0 is not for sale yet."""


class MenuItemStatus(StrEnum):
    AVAILABLE = "AVAILABLE"
    SOLD_OUT = "SOLD_OUT"


class MenuItem(Shape):
    """An item as the menu knows it; `price` in won, `changed_by` the clerk of its last change."""

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
        """A customer may order it."""
        return self.status is MenuItemStatus.AVAILABLE and self.price > 0


class RegisterMenuItem(Command[MenuItem]):
    """The item takes the message's id."""

    topic = "cafe.menu.register_menu_item"

    name: Name
    price: MenuPrice
    status: MenuItemStatus = MenuItemStatus.AVAILABLE
    caller: Caller


class ChangeMenuItem(Command[MenuItem]):
    """Change what is given; refused (`stale_version`) when another version than the expected one stands."""

    topic = "cafe.menu.change_menu_item"

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
    """One item; to a customer only what can be ordered is there."""

    topic = "cafe.menu.show_menu_item"

    menu_item_id: UUID
    caller: Caller


class ListMenu(Query[Page[MenuItem]]):
    topic = "cafe.menu.list_menu"

    status: MenuItemStatus | None = None
    on_offer: bool = False
    """Only what can be ordered."""
    limit: int = 50
    cursor: str | None = None


class QuotePrice(Query[MenuItem]):
    """What an item costs at this moment, and whether it can be had; refused (`not_found`) at once."""

    topic = "cafe.menu.quote_price"

    menu_item_id: UUID
