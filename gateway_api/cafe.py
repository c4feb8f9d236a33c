"""Café (사이렌오더): clerks keep the menu; customers order ahead; a report shows the clerk the whole menu."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from contracts.base import MemberId
from contracts.cafe.menu import (
    ChangeMenuItem,
    ListMenu,
    MenuItemStatus,
    MenuPrice,
    RegisterMenuItem,
    ShowMenuItem,
)
from contracts.cafe.orders import (
    AcceptOrder,
    CancelOrder,
    CollectOrder,
    ListOrders,
    MarkOrderReady,
    OrderStatus,
    PlaceOrder,
    Quantity,
    RejectOrder,
    ShowOrder,
)
from contracts.cafe.report import ListReport, ShowReport
from gateway_api.bodies import Form, MinVersion, NonBlankName, NonBlankReason, Paging, optional
from gateway_api.gateway import ANY, CUSTOMER, STAFF, RequestContext, Routes

routes = Routes(
    "/v1/cafe",
    "café",
    time_limits={
        PlaceOrder: lambda settings: settings.cafe_price_ms / 1000 + 1,
        ShowReport: lambda _: 2.5,  # waits for `min_version`
    },
)


class NewMenuItem(Form):
    name: NonBlankName
    price: MenuPrice
    status: MenuItemStatus = MenuItemStatus.AVAILABLE


class MenuItemChanges(Form):
    """A field that is left out keeps its value."""

    name: NonBlankName = optional()
    price: MenuPrice = optional()
    status: MenuItemStatus = optional()
    expected_version: Annotated[int, Field(ge=1, lt=2**31)] = optional()
    """Change the item only if this is still its version."""


class MenuFilters(Paging):
    status: MenuItemStatus | None = None


class NewOrder(Form):
    menu_item_id: UUID
    quantity: Quantity = 1
    expected_price: MenuPrice | None = None
    """The price that the customer saw; the order is refused if it has changed."""


class Rejection(Form):
    reason: NonBlankReason


class OrderFilters(Paging):
    member_id: MemberId | None = None
    status: OrderStatus | None = None


@routes.post("/menu", STAFF, RegisterMenuItem, NewMenuItem, creates="/menu/{menu_item_id}")
async def register_menu_item(request: RequestContext, form: NewMenuItem) -> Response:
    return await request.send(RegisterMenuItem(**vars(form), caller=request.caller))


@routes.get("/menu", ANY, ListMenu, MenuFilters)
async def list_menu(request: RequestContext, filters: MenuFilters) -> Response:
    """The menu; customers see what can be ordered."""
    return await request.send(ListMenu(**vars(filters), on_offer=not request.caller.is_staff))


@routes.get("/menu/{menu_item_id}", ANY, ShowMenuItem)
async def show_menu_item(request: RequestContext) -> Response:
    return await request.send(ShowMenuItem(menu_item_id=request.id("menu_item_id"), caller=request.caller))


@routes.patch("/menu/{menu_item_id}", STAFF, ChangeMenuItem, MenuItemChanges)
async def change_menu_item(request: RequestContext, form: MenuItemChanges) -> Response:
    return await request.send(
        ChangeMenuItem(menu_item_id=request.id("menu_item_id"), **vars(form), caller=request.caller)
    )


@routes.post("/orders", CUSTOMER, PlaceOrder, NewOrder, creates="/orders/{order_id}")
async def place_cafe_order(request: RequestContext, form: NewOrder) -> Response:
    return await request.send(PlaceOrder(**vars(form), caller=request.caller))


@routes.post("/orders/{order_id}/acceptance", STAFF, AcceptOrder)
async def accept_order(request: RequestContext) -> Response:
    return await request.send(AcceptOrder(order_id=request.id("order_id"), caller=request.caller))


@routes.post("/orders/{order_id}/rejection", STAFF, RejectOrder, Rejection)
async def reject_order(request: RequestContext, form: Rejection) -> Response:
    return await request.send(RejectOrder(order_id=request.id("order_id"), reason=form.reason, caller=request.caller))


@routes.post("/orders/{order_id}/ready", STAFF, MarkOrderReady)
async def mark_order_ready(request: RequestContext) -> Response:
    return await request.send(MarkOrderReady(order_id=request.id("order_id"), caller=request.caller))


@routes.post("/orders/{order_id}/collection", STAFF, CollectOrder)
async def collect_order(request: RequestContext) -> Response:
    return await request.send(CollectOrder(order_id=request.id("order_id"), caller=request.caller))


@routes.post("/orders/{order_id}/cancellation", CUSTOMER, CancelOrder)
async def cancel_cafe_order(request: RequestContext) -> Response:
    return await request.send(CancelOrder(order_id=request.id("order_id"), caller=request.caller))


@routes.get("/orders", ANY, ListOrders, OrderFilters)
async def list_cafe_orders(request: RequestContext, filters: OrderFilters) -> Response:
    """A customer's own orders; staff see all, and may filter by `member_id`."""
    return await request.send(ListOrders(**{**vars(filters), "member_id": request.owner_filter(filters.member_id)}))


@routes.get("/orders/{order_id}", ANY, ShowOrder)
async def show_cafe_order(request: RequestContext) -> Response:
    return await request.send(ShowOrder(order_id=request.id("order_id"), caller=request.caller))


@routes.get("/report", STAFF, ListReport, MenuFilters)
async def list_report(request: RequestContext, filters: MenuFilters) -> Response:
    """The whole menu with the orders of today, by the clock of Seoul."""
    return await request.send(ListReport(**vars(filters)))


@routes.get("/report/{menu_item_id}", STAFF, ShowReport, MinVersion)
async def show_report(request: RequestContext, query: MinVersion) -> Response:
    """One item with its timeline."""
    return await request.send(ShowReport(menu_item_id=request.id("menu_item_id"), min_version=query.min_version))
