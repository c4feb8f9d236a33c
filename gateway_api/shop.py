"""Shop (간이쇼핑몰): clients order and transfer, the seller confirms the transfer, a view shows the status."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

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
from contracts.transfers import ListTransfers, TransferStatus
from gateway_api.bodies import NOT_BLANK, ONE_LINE, Form, MinVersion, NonBlankName, NonBlankReason, Paging, optional
from gateway_api.gateway import ANY, CUSTOMER, STAFF, RequestContext, Routes
from gateway_api.settings import GatewaySettings


def taking_stock(settings: GatewaySettings) -> float:
    """The time limit of the products context and one second."""
    return settings.shop_stock_ms / 1000 + 1


routes = Routes(
    "/v1/shop",
    "shop",
    time_limits={
        ConfirmPayment: taking_stock,
        ShowOrderStatus: lambda _: 2.5,  # waits for `min_version`
    },
)


class NewProduct(Form):
    name: NonBlankName
    price: Price
    stock: Stock


class ProductChanges(Form):
    """A field that is left out keeps its value."""

    name: NonBlankName = optional()
    price: Price = optional()
    status: ProductStatus = optional()


class Restocking(Form):
    quantity: Supply


class ProductFilters(Paging):
    status: ProductStatus | None = None


class NewOrder(Form):
    product_id: UUID
    quantity: Quantity


class OrderCancellation(Form):
    reason: NonBlankReason | None = None


class Deposit(Form):
    amount: Won | None = None
    depositor: Annotated[Depositor, NOT_BLANK, ONE_LINE] | None = None


class OrderFilters(Paging):
    member_id: MemberId | None = None
    status: OrderStatus | None = None


class DeliveryFilters(Paging):
    status: DeliveryStatus | None = None


class TransferFilters(Paging):
    status: TransferStatus | None = None
    refund_owed: Literal["true", "false"] | None = None


@routes.post("/products", STAFF, RegisterProduct, NewProduct, creates="/products/{product_id}")
async def register_shop_product(request: RequestContext, form: NewProduct) -> Response:
    return await request.send(RegisterProduct(**vars(form), caller=request.caller))


@routes.get("/products", ANY, ListProducts, ProductFilters)
async def list_shop_products(request: RequestContext, filters: ProductFilters) -> Response:
    return await request.send(ListProducts(**vars(filters)))


@routes.get("/products/{product_id}", ANY, ShowProduct)
async def show_shop_product(request: RequestContext) -> Response:
    return await request.send(ShowProduct(product_id=request.id("product_id")))


@routes.patch("/products/{product_id}", STAFF, ChangeProduct, ProductChanges)
async def change_shop_product(request: RequestContext, form: ProductChanges) -> Response:
    return await request.send(ChangeProduct(product_id=request.id("product_id"), **vars(form)))


@routes.post("/products/{product_id}/restock", STAFF, RestockProduct, Restocking)
async def restock_shop_product(request: RequestContext, form: Restocking) -> Response:
    return await request.send(RestockProduct(product_id=request.id("product_id"), quantity=form.quantity))


@routes.post(
    "/orders", CUSTOMER, PlaceOrder, NewOrder, creates="/orders/{order_id}", status_path="/order-status/{order_id}"
)
async def place_shop_order(request: RequestContext, form: NewOrder) -> Response:
    return await request.send(PlaceOrder(**vars(form), caller=request.caller))


@routes.post("/orders/{order_id}/cancellation", ANY, CancelOrder, OrderCancellation)
async def cancel_shop_order(request: RequestContext, form: OrderCancellation) -> Response:
    return await request.send(CancelOrder(order_id=request.id("order_id"), reason=form.reason, caller=request.caller))


@routes.post("/orders/{order_id}/payment-confirmation", STAFF, ConfirmPayment, Deposit)
async def confirm_shop_payment(request: RequestContext, form: Deposit) -> Response:
    """The seller confirms the transfer, which takes the stock."""
    return await request.send(ConfirmPayment(order_id=request.id("order_id"), **vars(form), caller=request.caller))


@routes.post("/orders/{order_id}/revival", STAFF, ReviveOrder)
async def revive_shop_order(request: RequestContext) -> Response:
    """Revive an order that was cancelled by its deadline or for lack of stock; it gets a new deadline."""
    return await request.send(ReviveOrder(order_id=request.id("order_id"), caller=request.caller))


@routes.post("/orders/{order_id}/receipt-confirmation", CUSTOMER, ConfirmReceipt)
async def confirm_shop_receipt(request: RequestContext) -> Response:
    return await request.send(ConfirmReceipt(order_id=request.id("order_id"), caller=request.caller))


@routes.get("/orders", ANY, ListOrders, OrderFilters)
async def list_shop_orders(request: RequestContext, filters: OrderFilters) -> Response:
    """Orders as their own context has them; staff may filter by `member_id`."""
    return await request.send(ListOrders(**{**vars(filters), "member_id": request.owner_filter(filters.member_id)}))


@routes.get("/orders/{order_id}", ANY, ShowOrder)
async def show_shop_order(request: RequestContext) -> Response:
    return await request.send(ShowOrder(order_id=request.id("order_id"), caller=request.caller))


@routes.get("/deliveries", STAFF, ListDeliveries, DeliveryFilters)
async def list_shop_deliveries(request: RequestContext, filters: DeliveryFilters) -> Response:
    return await request.send(ListDeliveries(**vars(filters)))


@routes.get("/transfers", STAFF, ListTransfers, TransferFilters)
async def list_shop_transfers(request: RequestContext, filters: TransferFilters) -> Response:
    """Bank transfers, as the payments context has them."""
    owed = None if filters.refund_owed is None else filters.refund_owed == "true"
    return await request.send(ListTransfers(**{**vars(filters), "refund_owed": owed}))


@routes.get("/order-status", ANY, ListOrderStatus, OrderFilters)
async def list_shop_order_status(request: RequestContext, filters: OrderFilters) -> Response:
    """Each order with its status; staff may filter by `member_id`."""
    return await request.send(
        ListOrderStatus(**{**vars(filters), "member_id": request.owner_filter(filters.member_id)})
    )


@routes.get("/order-status/{order_id}", ANY, ShowOrderStatus, MinVersion)
async def show_shop_order_status(request: RequestContext, query: MinVersion) -> Response:
    """One order with its transfer, its delivery, the next step, and its timeline."""
    order_id = request.id("order_id")
    return await request.send(ShowOrderStatus(order_id=order_id, min_version=query.min_version, caller=request.caller))
