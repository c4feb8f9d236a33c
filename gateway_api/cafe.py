"""Café (사이렌오더): clerks keep the menu; customers order ahead; a report shows the clerk the whole menu."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
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
    ListKnownMenu,
    ListOrders,
    MarkOrderReady,
    OrderStatus,
    PlaceOrder,
    Quantity,
    RejectOrder,
    ShowOrder,
)
from contracts.cafe.report import ListReport, ShowReport
from gateway_api.bodies import Form, MinVersion, NonBlankName, NonBlankReason, Paging, example, optional
from gateway_api.dependencies import Anyone, Commands, Customer, Queries, ResourceId, Staff
from gateway_api.expected_version import Changes
from gateway_api.gateway import VERSION_SECONDS, owned
from gateway_api.routing import GatewayRoute, sends

DESCRIPTION = "사이렌오더: the menu, orders ahead, and the clerk's report."
router = APIRouter(prefix="/v1/cafe", tags=["café"], route_class=GatewayRoute)


class NewMenuItem(Form):
    model_config = example(name="아메리카노", price=4500)

    name: NonBlankName
    price: MenuPrice
    status: MenuItemStatus = MenuItemStatus.AVAILABLE


class MenuItemChanges(Changes):
    """A field that is left out keeps its value."""

    model_config = example(price=4800, expected_version=3)

    name: NonBlankName = optional()
    price: MenuPrice = optional()
    status: MenuItemStatus = optional()


class MenuFilters(Paging):
    status: MenuItemStatus = optional()


class NewOrder(Form):
    model_config = example(menu_item_id="0afa707b-1493-4eed-a57b-9e56f3c744a5", quantity=2, expected_price=4500)

    menu_item_id: UUID
    quantity: Quantity = 1
    expected_price: MenuPrice | None = None
    """The price that the customer saw; the order is refused if it has changed."""


class Rejection(Form):
    model_config = example(reason="재료 소진")

    reason: NonBlankReason


class OrderFilters(Paging):
    member_id: MemberId = optional()
    status: OrderStatus = optional()


@router.post("/menu")
@sends(RegisterMenuItem, creates="/v1/cafe/menu/{menu_item_id}")
async def register_menu_item(form: NewMenuItem, caller: Staff, commands: Commands) -> Response:
    return await commands.send(RegisterMenuItem(**vars(form), caller=caller))


@router.get("/menu")
@sends(ListMenu)
async def list_menu(filters: Annotated[MenuFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    """The menu; customers see what can be ordered."""
    return await queries.send(ListMenu(**vars(filters), on_offer=not caller.is_staff))


@router.get("/menu/{menu_item_id}")
@sends(ShowMenuItem)
async def show_menu_item(menu_item_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowMenuItem(menu_item_id=menu_item_id, caller=caller))


@router.patch("/menu/{menu_item_id}")
@sends(ChangeMenuItem)
async def change_menu_item(
    menu_item_id: ResourceId, form: MenuItemChanges, caller: Staff, commands: Commands
) -> Response:
    return await commands.send(ChangeMenuItem(menu_item_id=menu_item_id, **vars(form), caller=caller))


@router.post("/orders")
@sends(PlaceOrder, creates="/v1/cafe/orders/{order_id}", time_limit=lambda settings: settings.cafe_price_ms / 1000 + 1)
async def place_cafe_order(form: NewOrder, caller: Customer, commands: Commands) -> Response:
    return await commands.send(PlaceOrder(**vars(form), caller=caller))


@router.post("/orders/{order_id}/acceptance")
@sends(AcceptOrder)
async def accept_order(order_id: ResourceId, caller: Staff, commands: Commands) -> Response:
    return await commands.send(AcceptOrder(order_id=order_id, caller=caller))


@router.post("/orders/{order_id}/rejection")
@sends(RejectOrder)
async def reject_order(order_id: ResourceId, form: Rejection, caller: Staff, commands: Commands) -> Response:
    return await commands.send(RejectOrder(order_id=order_id, reason=form.reason, caller=caller))


@router.post("/orders/{order_id}/ready")
@sends(MarkOrderReady)
async def mark_order_ready(order_id: ResourceId, caller: Staff, commands: Commands) -> Response:
    return await commands.send(MarkOrderReady(order_id=order_id, caller=caller))


@router.post("/orders/{order_id}/collection")
@sends(CollectOrder)
async def collect_order(order_id: ResourceId, caller: Staff, commands: Commands) -> Response:
    return await commands.send(CollectOrder(order_id=order_id, caller=caller))


@router.post("/orders/{order_id}/cancellation")
@sends(CancelOrder)
async def cancel_cafe_order(order_id: ResourceId, caller: Customer, commands: Commands) -> Response:
    return await commands.send(CancelOrder(order_id=order_id, caller=caller))


@router.get("/orders")
@sends(ListOrders)
async def list_cafe_orders(filters: Annotated[OrderFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    """A customer's own orders; staff see all, and may filter by `member_id`."""
    return await queries.send(ListOrders(**owned(caller, filters)))


@router.get("/orders/menu")
@sends(ListKnownMenu)
async def list_known_menu(filters: Annotated[MenuFilters, Query()], _: Staff, queries: Queries) -> Response:
    """What orders knows of the menu: an item that is sold out there is not ordered."""
    return await queries.send(ListKnownMenu(**vars(filters)))


@router.get("/orders/{order_id}")
@sends(ShowOrder)
async def show_cafe_order(order_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowOrder(order_id=order_id, caller=caller))


@router.get("/report")
@sends(ListReport)
async def list_report(filters: Annotated[MenuFilters, Query()], _: Staff, queries: Queries) -> Response:
    """The whole menu with the orders of today, by the clock of Seoul."""
    return await queries.send(ListReport(**vars(filters)))


@router.get("/report/{menu_item_id}")
@sends(ShowReport, time_limit=VERSION_SECONDS)
async def show_report(
    menu_item_id: ResourceId, query: Annotated[MinVersion, Query()], _: Staff, queries: Queries
) -> Response:
    """One item with its timeline."""
    return await queries.send(ShowReport(menu_item_id=menu_item_id, min_version=query.min_version))
