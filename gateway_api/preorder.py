"""Phone pre-order (스마트폰 사전예약): staff offer models; a member reserves, pays and cancels."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic_core import from_json, to_json
from starlette.responses import Response

from contracts.base import MemberId, Won
from contracts.outcomes import Outcome
from contracts.preorder.my_reservations import ListMyReservations, ShowMyReservation
from contracts.preorder.products import (
    ChangeProduct,
    ListProducts,
    ProductPrice,
    ProductStatus,
    Quota,
    RegisterProduct,
    ShowProduct,
)
from contracts.preorder.receipts import ListReceipts, ReceiptStatus, ShowReceipt
from contracts.preorder.reservations import (
    Address,
    CancelReservation,
    CountFree,
    ListReservations,
    ReservationStatus,
    ReservePhone,
    ShowReservation,
)
from gateway_api.bodies import (
    NOT_BLANK,
    CardPayment,
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
from gateway_api.gateway import VERSION_SECONDS, Sender, owned
from gateway_api.problems import Problem
from gateway_api.routing import GatewayRoute, sends
from gateway_api.settings import GatewaySettings
from workers.runtime.messaging.envelope import RpcReply

COUNTING_SECONDS = 0.2
"""The time limit of the request for free quotas: the catalogue is answered without them after it."""


def paying(settings: GatewaySettings) -> float:
    """The time limit of a payment and one second, for a command that requests a payment."""
    return float(settings.preorder_payment_ms) / 1000 + 1


DESCRIPTION = "스마트폰 사전예약: models, reservations and receipts."
router = APIRouter(prefix="/v1/preorder", tags=["phone pre-order"], route_class=GatewayRoute)


class NewProduct(Form):
    """Without `quota` the number of reservations is not limited."""

    model_config = example(name="Haneul 9", price=1250000, quota=100)

    name: NonBlankName
    price: ProductPrice
    quota: Quota | None = None


class ProductChanges(Changes):
    """A field that is left out keeps its value."""

    model_config = example(quota=150)

    price: ProductPrice = optional()
    quota: Quota = optional()
    status: ProductStatus = optional()


class ProductFilters(Paging):
    status: ProductStatus = optional()


class NewReservation(Form):
    model_config = example(
        product_id="0afa707b-1493-4eed-a57b-9e56f3c744a5",
        address="서울시 중구 세종대로 110",
        payment={"method": "card", "token": "tok_visa", "last4": "4242", "brand": "visa"},
    )

    product_id: UUID
    address: Annotated[Address, NOT_BLANK]
    payment: CardPayment
    expected_price: Won | None = None
    """What the customer was shown, for the whole of it; another price now is refused (`price_changed`)."""


class Cancellation(Form):
    model_config = example(reason="다른 모델로 예약할게요")

    reason: NonBlankReason | None = None


class ReservationFilters(Paging):
    member_id: MemberId = optional()
    status: ReservationStatus = optional()


class ReceiptFilters(Paging):
    member_id: MemberId = optional()
    status: ReceiptStatus = optional()


@router.post("/products")
@sends(RegisterProduct, creates="/v1/preorder/products/{product_id}")
async def register_product(form: NewProduct, caller: Staff, commands: Commands) -> Response:
    return await commands.send(RegisterProduct(**vars(form), caller=caller))


@router.get("/products")
@sends(ListProducts)
async def list_products(filters: Annotated[ProductFilters, Query()], _: Anyone, queries: Queries) -> Response:
    """The models with live `available`, null without a quota or without an answer of the reservations context."""
    return queries.to_response(await _with_free(queries, await queries.send_raw(ListProducts(**vars(filters)))))


@router.get("/products/{product_id}")
@sends(ShowProduct)
async def show_product(product_id: ResourceId, _: Anyone, queries: Queries) -> Response:
    """One model with live `available`, null without a quota or without an answer of the reservations context."""
    return queries.to_response(await _with_free(queries, await queries.send_raw(ShowProduct(product_id=product_id))))


@router.patch("/products/{product_id}")
@sends(ChangeProduct)
async def change_product(product_id: ResourceId, form: ProductChanges, _: Staff, commands: Commands) -> Response:
    return await commands.send(ChangeProduct(product_id=product_id, **vars(form)))


@router.post("/reservations")
@sends(
    ReservePhone,
    creates="/v1/preorder/reservations/{reservation_id}",
    status_path="/v1/preorder/my-reservations/{reservation_id}",
    time_limit=paying,
)
async def reserve_phone(form: NewReservation, caller: Customer, commands: Commands) -> Response:
    return await commands.send(ReservePhone(**vars(form), caller=caller))


@router.post("/reservations/{reservation_id}/cancellation")
@sends(CancelReservation)
async def cancel_phone_reservation(
    reservation_id: ResourceId, form: Cancellation, caller: Anyone, commands: Commands
) -> Response:
    return await commands.send(CancelReservation(reservation_id=reservation_id, reason=form.reason, caller=caller))


@router.get("/reservations")
@sends(ListReservations)
async def list_phone_reservations(
    filters: Annotated[ReservationFilters, Query()], caller: Anyone, queries: Queries
) -> Response:
    """Reservations as their own context has them, with the address; staff may filter by `member_id`."""
    return await queries.send(ListReservations(**owned(caller, filters)))


@router.get("/reservations/{reservation_id}")
@sends(ShowReservation)
async def show_phone_reservation(reservation_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowReservation(reservation_id=reservation_id, caller=caller))


@router.get("/receipts")
@sends(ListReceipts)
async def list_receipts(filters: Annotated[ReceiptFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ListReceipts(**owned(caller, filters)))


@router.get("/receipts/{receipt_id}")
@sends(ShowReceipt)
async def show_receipt(receipt_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowReceipt(receipt_id=receipt_id, caller=caller))


@router.get("/my-reservations")
@sends(ListMyReservations)
async def list_my_reservations(
    filters: Annotated[ReservationFilters, Query()], caller: Anyone, queries: Queries
) -> Response:
    """The reservations of a member with payment, refund and receipt; staff may filter by `member_id`."""
    return await queries.send(ListMyReservations(**owned(caller, filters)))


@router.get("/my-reservations/{reservation_id}")
@sends(ShowMyReservation, time_limit=VERSION_SECONDS)
async def show_my_reservation(
    reservation_id: ResourceId, query: Annotated[MinVersion, Query()], caller: Anyone, queries: Queries
) -> Response:
    """One reservation with its timeline."""
    return await queries.send(
        ShowMyReservation(reservation_id=reservation_id, min_version=query.min_version, caller=caller)
    )


async def _with_free(queries: Sender, reply: RpcReply) -> RpcReply:
    """Add the free quota of each product to an answer of the catalogue."""
    if reply.kind != "done":
        return reply
    answer = from_json(reply.body)
    products = answer.get("items", [answer])
    limited = [product["product_id"] for product in products if product.get("quota") is not None]
    free = await _free(queries, limited) if limited else {}
    for product in products:
        product["available"] = free.get(product.get("product_id"))
    return RpcReply(Outcome.DONE, to_json(answer))


async def _free(queries: Sender, product_ids: list[UUID]) -> dict[str, int]:
    try:
        reply = await queries.send_raw(CountFree(product_ids=product_ids), time_limit=COUNTING_SECONDS)
    except Problem:  # the bulkhead of reservations is full
        return {}
    counts = from_json(reply.body)["counts"] if reply.kind == "done" else []
    return {count["product_id"]: count["free"] for count in counts}
