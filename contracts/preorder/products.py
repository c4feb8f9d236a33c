"""Phone pre-order: the models on offer, and what they tell the system."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, Name, Page, Query, Shape, Won

Quota = Annotated[int, Field(ge=0, le=10_000_000)]
"""How many may be reserved at once."""
ProductPrice = Annotated[Won, Field(gt=0, le=100_000_000)]


class ProductStatus(StrEnum):
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class ProductState(Shape):
    """A model as its catalogue knows it; `price` in won, `quota` None where nothing limits it."""

    product_id: UUID
    name: Name
    price: Won
    quota: int | None
    status: ProductStatus
    registered_by: str
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class ProductOnOffer(ProductState):
    """A model with what is left of its quota; None where nothing limits it, or only the catalogue could be asked."""

    available: int | None = None


class ProductPart(Shape):
    """A model as it is nested in other things; `price` is what it costs now."""

    product_id: UUID
    name: Name
    price: Won
    status: ProductStatus


class RegisterProduct(Command[ProductState]):
    topic = "preorder.products.register_product"

    name: Name
    price: ProductPrice
    quota: Quota | None = None
    caller: Caller


class ChangeProduct(Command[ProductState]):
    """Change what is given; a quota below what is reserved is accepted."""

    topic = "preorder.products.change_product"

    product_id: UUID
    price: ProductPrice | None = None
    quota: Quota | None = None
    status: ProductStatus | None = None


class ProductRegistered(ProductState, Event):
    topic = "preorder.products.product_registered"


class ProductChanged(ProductState, Event):
    topic = "preorder.products.product_changed"


class ShowProduct(Query[ProductOnOffer]):
    topic = "preorder.products.show_product"

    product_id: UUID


class ListProducts(Query[Page[ProductOnOffer]]):
    topic = "preorder.products.list_products"

    status: ProductStatus | None = None
    limit: int = 50
    cursor: str | None = None
