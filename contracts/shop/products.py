"""Shop: products and their stock.

RegisterProduct -> ProductRegistered
ChangeProduct   -> ProductChanged
RestockProduct  -> ProductRestocked
TakeStock       -> StockTaken
ReturnStock     -> StockReturned   (with an unchanged version if there was nothing to return)
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, ExpectedVersion, Name, Page, Query, Shape, Won
from contracts.refusals import NotFound, StaleVersion
from contracts.shop.refusals import OutOfStock, RoundClosed
from contracts.shop.states import OrderStatus

Price = Annotated[Won, Field(gt=0, le=10_000_000)]
Stock = Annotated[int, Field(ge=0, le=1_000_000)]
Supply = Annotated[int, Field(ge=1, le=1_000_000)]
Quantity = Annotated[int, Field(ge=1, le=10_000)]


class ProductStatus(StrEnum):
    ON_SALE = "ON_SALE"
    RETIRED = "RETIRED"


class ProductState(Shape):
    """The public state of a product; `price` in won, `stock` in pieces."""

    product_id: UUID
    name: Name
    price: Won
    stock: Annotated[int, Field(ge=0)]
    status: ProductStatus
    registered_by: str
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class StockTake(Shape):
    """The stock that an order took in one of its rounds."""

    product_id: UUID
    order_id: UUID
    round: int
    quantity: int


class RegisterProduct(Command[ProductState]):
    topic = "shop.products.register_product"
    refusals = ()

    name: Name
    price: Price
    stock: Stock
    caller: Caller


class ChangeProduct(Command[ProductState]):
    """Change the fields that are given; existing orders keep their price."""

    topic = "shop.products.change_product"
    refusals = (NotFound, StaleVersion)

    product_id: UUID
    name: Name | None = None
    price: Price | None = None
    status: ProductStatus | None = None
    expected_version: ExpectedVersion | None = None


class RestockProduct(Command[ProductState]):
    topic = "shop.products.restock_product"
    refusals = (NotFound, StaleVersion)

    product_id: UUID
    quantity: Supply
    expected_version: ExpectedVersion | None = None


class TakeStock(Command[StockTake]):
    """Take the whole quantity or nothing, once for each order and round; a repetition gets the same answer."""

    topic = "shop.products.take_stock"
    refusals = (NotFound, OutOfStock, RoundClosed)

    product_id: UUID
    order_id: UUID
    round: int
    quantity: Quantity


class ReturnStock(Command[None]):
    """Return the stock that a round has taken, once; a later `TakeStock` of that round is refused."""

    topic = "shop.products.return_stock"

    product_id: UUID
    order_id: UUID
    order_status: OrderStatus
    round: int


class ProductRegistered(ProductState, Event):
    topic = "shop.products.product_registered"


class ProductChanged(ProductState, Event):
    topic = "shop.products.product_changed"


class ProductRestocked(ProductState, Event):
    topic = "shop.products.product_restocked"


class StockEvent(ProductState, Event):
    """A change of a product's stock by an order."""

    order_id: UUID
    order_status: OrderStatus
    round: int
    quantity: int


class StockTaken(StockEvent):
    topic = "shop.products.stock_taken"


class StockReturned(StockEvent):
    """`quantity` is 0 when there was nothing to return."""

    topic = "shop.products.stock_returned"


class ShowProduct(Query[ProductState]):
    topic = "shop.products.show_product"
    refusals = (NotFound,)

    product_id: UUID


class ListProducts(Query[Page[ProductState]]):
    topic = "shop.products.list_products"
    refusals = ()

    status: ProductStatus | None = None
    limit: int = 50
    cursor: str | None = None
