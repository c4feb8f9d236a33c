"""Shop (간이쇼핑몰): clients order and transfer, the seller confirms the transfer, a view shows the status."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from contracts.base import MemberId, Won
from contracts.shop.deliveries import DeliveryStatus, ListDeliveries
from contracts.shop.order_status import ListOrderStatus, ShowOrderStatus
from contracts.shop.orders import (
    CancelOrder,
    ConfirmPayment,
    ConfirmReceipt,
    Depositor,
    ListOrders,
    PlaceOrder,
    ReviveOrder,
    ShowOrder,
)
from contracts.shop.products import (
    ChangeProduct,
    ListProducts,
    Price,
    ProductStatus,
    Quantity,
    RegisterProduct,
    RestockProduct,
    ShowProduct,
    Stock,
    Supply,
)
from contracts.shop.states import OrderStatus
from contracts.transfers import ListTransfers, NameRefundAccount, RefundAccount, ReturnTransfer, TransferStatus
from gateway_api.bodies import (
    NOT_BLANK,
    ONE_LINE,
    Form,
    MinVersion,
    NonBlankName,
    NonBlankReason,
    Paging,
    example,
    optional,
)
from gateway_api.dependencies import Anyone, Commands, Customer, Queries, ResourceId, Staff
from gateway_api.expected_version import Changes
from gateway_api.gateway import VERSION_SECONDS, owned
from gateway_api.routing import GatewayRoute, sends
from gateway_api.settings import GatewaySettings


def taking_stock(settings: GatewaySettings) -> float:
    """The time limit of the products context and one second."""
    return float(settings.shop_stock_ms) / 1000 + 1


DESCRIPTION = "간이쇼핑몰: products, orders, transfers and deliveries."
router = APIRouter(prefix="/v1/shop", tags=["shop"], route_class=GatewayRoute)


class NewProduct(Form):
    model_config = example(name="머그컵", price=12000, stock=40)

    name: NonBlankName
    price: Price
    stock: Stock


class ProductChanges(Changes):
    """A field that is left out keeps its value."""

    model_config = example(price=11000)

    name: NonBlankName = optional()
    price: Price = optional()
    status: ProductStatus = optional()


class Restocking(Changes):
    model_config = example(quantity=20)

    quantity: Supply


class ProductFilters(Paging):
    status: ProductStatus = optional()


class NewOrder(Form):
    model_config = example(product_id="0afa707b-1493-4eed-a57b-9e56f3c744a5", quantity=2)

    product_id: UUID
    quantity: Quantity
    expected_price: Won | None = None
    """What the customer was shown, for the whole of it; another price now is refused (`price_changed`)."""


class OrderCancellation(Form):
    model_config = example(reason="다른 색으로 주문할게요")

    reason: NonBlankReason | None = None


class Deposit(Form):
    model_config = example(amount=24000, depositor="김민지")

    amount: Won | None = None
    depositor: Annotated[Depositor, NOT_BLANK, ONE_LINE] | None = None


class OrderFilters(Paging):
    member_id: MemberId = optional()
    status: OrderStatus = optional()


class DeliveryFilters(Paging):
    status: DeliveryStatus = optional()


class ReturnedTransfer(Form):
    model_config = example(amount=3000, reference="20300101-000123")

    amount: Won
    reference: Annotated[str, Field(min_length=1, max_length=100), NOT_BLANK, ONE_LINE]
    """The bank's own number of the transfer back."""


class NewRefundAccount(Form):
    model_config = example(bank="국민은행", number="110-234-567890", holder="김예약")

    bank: Annotated[str, Field(min_length=1, max_length=50), NOT_BLANK, ONE_LINE]
    number: Annotated[str, Field(pattern=r"^[0-9][0-9-]{4,28}[0-9]$")]
    holder: Annotated[str, Field(min_length=1, max_length=100), NOT_BLANK, ONE_LINE]


class TransferFilters(Paging):
    status: TransferStatus = optional()
    refund_owed: Literal["true", "false"] = optional()


@router.post("/products")
@sends(RegisterProduct, creates="/v1/shop/products/{product_id}")
async def register_shop_product(form: NewProduct, caller: Staff, commands: Commands) -> Response:
    return await commands.send(RegisterProduct(**vars(form), caller=caller))


@router.get("/products")
@sends(ListProducts)
async def list_shop_products(filters: Annotated[ProductFilters, Query()], _: Anyone, queries: Queries) -> Response:
    return await queries.send(ListProducts(**vars(filters)))


@router.get("/products/{product_id}")
@sends(ShowProduct)
async def show_shop_product(product_id: ResourceId, _: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowProduct(product_id=product_id))


@router.patch("/products/{product_id}")
@sends(ChangeProduct)
async def change_shop_product(product_id: ResourceId, form: ProductChanges, _: Staff, commands: Commands) -> Response:
    return await commands.send(ChangeProduct(product_id=product_id, **vars(form)))


@router.post("/products/{product_id}/restock")
@sends(RestockProduct)
async def restock_shop_product(product_id: ResourceId, form: Restocking, _: Staff, commands: Commands) -> Response:
    return await commands.send(RestockProduct(product_id=product_id, **vars(form)))


@router.post("/orders")
@sends(PlaceOrder, creates="/v1/shop/orders/{order_id}", status_path="/v1/shop/order-status/{order_id}")
async def place_shop_order(form: NewOrder, caller: Customer, commands: Commands) -> Response:
    return await commands.send(PlaceOrder(**vars(form), caller=caller))


@router.post("/orders/{order_id}/cancellation")
@sends(CancelOrder)
async def cancel_shop_order(
    order_id: ResourceId, form: OrderCancellation, caller: Anyone, commands: Commands
) -> Response:
    return await commands.send(CancelOrder(order_id=order_id, reason=form.reason, caller=caller))


@router.post("/orders/{order_id}/payment-confirmation")
@sends(ConfirmPayment, time_limit=taking_stock)
async def confirm_shop_payment(order_id: ResourceId, form: Deposit, caller: Staff, commands: Commands) -> Response:
    """The seller confirms the transfer, which takes the stock."""
    return await commands.send(ConfirmPayment(order_id=order_id, **vars(form), caller=caller))


@router.post("/orders/{order_id}/revival")
@sends(ReviveOrder)
async def revive_shop_order(order_id: ResourceId, caller: Staff, commands: Commands) -> Response:
    """Revive an order that was cancelled by its deadline or for lack of stock; it gets a new deadline."""
    return await commands.send(ReviveOrder(order_id=order_id, caller=caller))


@router.post("/orders/{order_id}/receipt-confirmation")
@sends(ConfirmReceipt)
async def confirm_shop_receipt(order_id: ResourceId, caller: Customer, commands: Commands) -> Response:
    return await commands.send(ConfirmReceipt(order_id=order_id, caller=caller))


@router.get("/orders")
@sends(ListOrders)
async def list_shop_orders(filters: Annotated[OrderFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    """Orders as their own context has them; staff may filter by `member_id`."""
    return await queries.send(ListOrders(**owned(caller, filters)))


@router.get("/orders/{order_id}")
@sends(ShowOrder)
async def show_shop_order(order_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowOrder(order_id=order_id, caller=caller))


@router.get("/deliveries")
@sends(ListDeliveries)
async def list_shop_deliveries(filters: Annotated[DeliveryFilters, Query()], _: Staff, queries: Queries) -> Response:
    return await queries.send(ListDeliveries(**vars(filters)))


@router.get("/transfers")
@sends(ListTransfers)
async def list_shop_transfers(filters: Annotated[TransferFilters, Query()], _: Staff, queries: Queries) -> Response:
    """Bank transfers, as the payments context has them."""
    owed = None if filters.refund_owed is None else filters.refund_owed == "true"
    return await queries.send(ListTransfers(**{**vars(filters), "refund_owed": owed}))


@router.post("/transfers/{transfer_id}/return")
@sends(ReturnTransfer)
async def return_shop_transfer(
    transfer_id: ResourceId, form: ReturnedTransfer, caller: Staff, commands: Commands
) -> Response:
    """Staff have sent back the money that is owed; it leaves the list of what is owed."""
    return await commands.send(ReturnTransfer(transfer_id=transfer_id, **vars(form), caller=caller))


@router.put("/orders/{order_id}/refund-account")
@sends(NameRefundAccount)
async def name_shop_refund_account(
    order_id: ResourceId, form: NewRefundAccount, caller: Customer, commands: Commands
) -> Response:
    """The account to which the money is to be sent back; only staff see the whole of it."""
    return await commands.send(NameRefundAccount(order_id=order_id, account=RefundAccount(**vars(form)), caller=caller))


@router.get("/order-status")
@sends(ListOrderStatus)
async def list_shop_order_status(
    filters: Annotated[OrderFilters, Query()], caller: Anyone, queries: Queries
) -> Response:
    """Each order with its status; staff may filter by `member_id`."""
    return await queries.send(ListOrderStatus(**owned(caller, filters)))


@router.get("/order-status/{order_id}")
@sends(ShowOrderStatus, time_limit=VERSION_SECONDS)
async def show_shop_order_status(
    order_id: ResourceId, query: Annotated[MinVersion, Query()], caller: Anyone, queries: Queries
) -> Response:
    """One order with its transfer, its delivery, the next step, and its timeline."""
    return await queries.send(ShowOrderStatus(order_id=order_id, min_version=query.min_version, caller=caller))
