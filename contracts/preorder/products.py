"""Phone pre-order: the phone models on offer.

RegisterProduct -> ProductRegistered
ChangeProduct   -> ProductChanged
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, ExpectedVersion, Name, Page, Query, Shape, Won
from contracts.refusals import NotFound, StaleVersion

Quota = Annotated[int, Field(ge=0, le=10_000_000)]
"""The maximum number of valid reservations."""
ProductPrice = Annotated[Won, Field(gt=0, le=100_000_000)]


class ProductStatus(StrEnum):
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class ProductState(Shape):
    """A phone model; `price` in won, `quota` is None if it is not limited."""

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
    """A model with the rest of its quota."""

    available: int | None = None
    """None if the quota is not limited, or if reservations did not reply."""


class ProductPart(Shape):
    """A model as it is nested in other answers; `price` is its current price."""

    product_id: UUID
    name: Name
    price: Won
    status: ProductStatus


class RegisterProduct(Command[ProductState]):
    topic = "preorder.products.register_product"
    refusals = ()

    name: Name
    price: ProductPrice
    quota: Quota | None = None
    caller: Caller


class ChangeProduct(Command[ProductState]):
    """Change the fields that are given; the quota may be less than the number of reservations."""

    topic = "preorder.products.change_product"
    refusals = (NotFound, StaleVersion)

    product_id: UUID
    price: ProductPrice | None = None
    quota: Quota | None = None
    status: ProductStatus | None = None
    expected_version: ExpectedVersion | None = None


class ProductRegistered(ProductState, Event):
    topic = "preorder.products.product_registered"


class ProductChanged(ProductState, Event):
    topic = "preorder.products.product_changed"


class ShowProduct(Query[ProductOnOffer]):
    topic = "preorder.products.show_product"
    refusals = (NotFound,)

    product_id: UUID


class ListProducts(Query[Page[ProductOnOffer]]):
    topic = "preorder.products.list_products"
    refusals = ()

    status: ProductStatus | None = None
    limit: int = 50
    cursor: str | None = None
