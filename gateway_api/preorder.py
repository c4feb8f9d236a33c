"""Phone pre-order (스마트폰 사전예약): staff offer models; a member reserves, pays and cancels."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic_core import from_json, to_json
from starlette.responses import Response

from contracts.base import MemberId
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
from gateway_api.bodies import NOT_BLANK, CardPayment, Form, MinVersion, NonBlankName, NonBlankReason, Paging, optional
from gateway_api.gateway import ANY, CUSTOMER, STAFF, RequestContext, Routes
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings
from workers.runtime.messaging.envelope import RpcReply

COUNTING_SECONDS = 0.2
"""The time limit of the request for free quotas: the catalogue is answered without them after it."""


def paying(settings: GatewaySettings) -> float:
    """The time limit of a payment and one second, for a command that requests a payment."""
    return settings.preorder_payment_ms / 1000 + 1


routes = Routes(
    "/v1/preorder",
    "phone pre-order",
    time_limits={
        ReservePhone: paying,
        ShowMyReservation: lambda _: 2.5,  # waits for `min_version`
    },
)


class NewProduct(Form):
    """Without `quota` the number of reservations is not limited."""

    name: NonBlankName
    price: ProductPrice
    quota: Quota | None = None


class ProductChanges(Form):
    """A field that is left out keeps its value."""

    price: ProductPrice = optional()
    quota: Quota = optional()
    status: ProductStatus = optional()


class ProductFilters(Paging):
    status: ProductStatus | None = None


class NewReservation(Form):
    product_id: UUID
    address: Annotated[Address, NOT_BLANK]
    payment: CardPayment


class Cancellation(Form):
    reason: NonBlankReason | None = None


class ReservationFilters(Paging):
    member_id: MemberId | None = None
    status: ReservationStatus | None = None


class ReceiptFilters(Paging):
    member_id: MemberId | None = None
    status: ReceiptStatus | None = None


@routes.post("/products", STAFF, RegisterProduct, NewProduct, creates="/products/{product_id}")
async def register_product(request: RequestContext, form: NewProduct) -> Response:
    return await request.send(RegisterProduct(**vars(form), caller=request.caller))


@routes.get("/products", ANY, ListProducts, ProductFilters)
async def list_products(request: RequestContext, filters: ProductFilters) -> Response:
    """The models with live `available`, null without a quota or without an answer of the reservations context."""
    return request.to_response(await _with_free(request, await request.send_raw(ListProducts(**vars(filters)))))


@routes.get("/products/{product_id}", ANY, ShowProduct)
async def show_product(request: RequestContext) -> Response:
    """One model with live `available`, null without a quota or without an answer of the reservations context."""
    return request.to_response(
        await _with_free(request, await request.send_raw(ShowProduct(product_id=request.id("product_id"))))
    )


@routes.patch("/products/{product_id}", STAFF, ChangeProduct, ProductChanges)
async def change_product(request: RequestContext, form: ProductChanges) -> Response:
    return await request.send(ChangeProduct(product_id=request.id("product_id"), **vars(form)))


@routes.post(
    "/reservations",
    CUSTOMER,
    ReservePhone,
    NewReservation,
    creates="/reservations/{reservation_id}",
    status_path="/my-reservations/{reservation_id}",
)
async def reserve_phone(request: RequestContext, form: NewReservation) -> Response:
    return await request.send(ReservePhone(**vars(form), caller=request.caller))


@routes.post("/reservations/{reservation_id}/cancellation", ANY, CancelReservation, Cancellation)
async def cancel_reservation(request: RequestContext, form: Cancellation) -> Response:
    reservation_id = request.id("reservation_id")
    return await request.send(
        CancelReservation(reservation_id=reservation_id, reason=form.reason, caller=request.caller)
    )


@routes.get("/reservations", ANY, ListReservations, ReservationFilters)
async def list_reservations(request: RequestContext, filters: ReservationFilters) -> Response:
    """Reservations as their own context has them, with the address; staff may filter by `member_id`."""
    return await request.send(
        ListReservations(**{**vars(filters), "member_id": request.owner_filter(filters.member_id)})
    )


@routes.get("/reservations/{reservation_id}", ANY, ShowReservation)
async def show_reservation(request: RequestContext) -> Response:
    return await request.send(ShowReservation(reservation_id=request.id("reservation_id"), caller=request.caller))


@routes.get("/receipts", ANY, ListReceipts, ReceiptFilters)
async def list_receipts(request: RequestContext, filters: ReceiptFilters) -> Response:
    return await request.send(ListReceipts(**{**vars(filters), "member_id": request.owner_filter(filters.member_id)}))


@routes.get("/receipts/{receipt_id}", ANY, ShowReceipt)
async def show_receipt(request: RequestContext) -> Response:
    return await request.send(ShowReceipt(receipt_id=request.id("receipt_id"), caller=request.caller))


@routes.get("/my-reservations", ANY, ListMyReservations, ReservationFilters)
async def list_my_reservations(request: RequestContext, filters: ReservationFilters) -> Response:
    """The reservations of a member with payment, refund and receipt; staff may filter by `member_id`."""
    return await request.send(
        ListMyReservations(**{**vars(filters), "member_id": request.owner_filter(filters.member_id)})
    )


@routes.get("/my-reservations/{reservation_id}", ANY, ShowMyReservation, MinVersion)
async def show_my_reservation(request: RequestContext, query: MinVersion) -> Response:
    """One reservation with its timeline."""
    reservation_id = request.id("reservation_id")
    return await request.send(
        ShowMyReservation(reservation_id=reservation_id, min_version=query.min_version, caller=request.caller)
    )


async def _with_free(request: RequestContext, reply: RpcReply) -> RpcReply:
    """Add the free quota of each product to an answer of the catalogue."""
    if reply.kind != "done":
        return reply
    answer = from_json(reply.body)
    products = answer.get("items", [answer])
    limited = [product["product_id"] for product in products if product.get("quota") is not None]
    free = await _free(request, limited) if limited else {}
    for product in products:
        product["available"] = free.get(product.get("product_id"))
    return RpcReply(Outcome.DONE, to_json(answer))


async def _free(request: RequestContext, product_ids: list[UUID]) -> dict[str, int]:
    try:
        reply = await request.send_raw(CountFree(product_ids=product_ids), time_limit=COUNTING_SECONDS)
    except Problem:  # the bulkhead of reservations is full
        return {}
    counts = from_json(reply.body)["counts"] if reply.kind == "done" else []
    return {count["product_id"]: count["free"] for count in counts}
