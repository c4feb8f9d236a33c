"""Phone pre-order (스마트폰 사전예약): staff offer models; a member reserves and pays, cancels, looks."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field
from pydantic_core import from_json, to_json
from starlette.responses import Response

from contracts.outcomes import Outcome
from contracts.payments import Card
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
from gateway_api.bodies import DIGITS, NOT_BLANK, Filters, Form, GivenName, GivenReason, Paging, not_given
from gateway_api.gateway import ANY, CUSTOMER, STAFF, RequestContext, Routes
from gateway_api.problems import Problem
from workers.runtime.messaging.rpc import RpcReply
from workers.runtime.settings import Settings

COUNTING_SECONDS = 0.2
"""What is left of a quota is beside the catalogue's answer, which must not wait long for it."""


def paying(settings: Settings) -> float:
    """A step that asks payments may take as long as they may, and a second."""
    return settings.preorder_payment_ms / 1000 + 1


routes = Routes(
    "/v1/preorder",
    "phone pre-order",
    budgets={
        ReservePhone: paying,
        ShowMyReservation: lambda _: 2.5,  # it may wait for `min_version`
    },
)


class CardPayment(Card):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewProduct(Form):
    """Without a quota, as many are reserved as are wanted."""

    name: GivenName
    price: ProductPrice
    quota: Quota | None = None


class ProductChanges(Form):
    """What is not given stays."""

    price: ProductPrice = not_given()
    quota: Quota = not_given()
    status: ProductStatus = not_given()


class ProductFilters(Paging):
    status: ProductStatus | None = None


class NewReservation(Form):
    product_id: UUID
    address: Annotated[Address, NOT_BLANK]
    payment: CardPayment


class Cancellation(Form):
    reason: GivenReason | None = None


Member = Annotated[str, Field(min_length=1, max_length=128)]


class ReservationFilters(Paging):
    member_id: Member | None = None
    status: ReservationStatus | None = None


class ReceiptFilters(Paging):
    member_id: Member | None = None
    status: ReceiptStatus | None = None


class Seen(Filters):
    min_version: Annotated[int, Field(ge=0, lt=2**31), DIGITS] = 0
    """Wait briefly until the view has seen this version of the reservation."""


@routes.post("/products", STAFF, RegisterProduct, NewProduct, creates="/products/{product_id}")
async def register_product(request: RequestContext, form: NewProduct) -> Response:
    return await request.send(RegisterProduct(**vars(form), caller=request.caller))


@routes.get("/products", ANY, ListProducts, ProductFilters)
async def list_products(request: RequestContext, filters: ProductFilters) -> Response:
    """The models with live `available`, which is null where nothing limits it, or reservations cannot be asked."""
    return request.answer(await _with_free(request, await request.send_raw(ListProducts(**vars(filters)))))


@routes.get("/products/{product_id}", ANY, ShowProduct)
async def show_product(request: RequestContext) -> Response:
    """One model with live `available`, which is null where nothing limits it, or reservations cannot be asked."""
    return request.answer(
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
    look="/my-reservations/{reservation_id}",
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
    """Reservations as their writer sees them, with the address; staff may name a `member_id`."""
    return await request.send(ListReservations(**{**vars(filters), "member_id": request.owner(filters.member_id)}))


@routes.get("/reservations/{reservation_id}", ANY, ShowReservation)
async def show_reservation(request: RequestContext) -> Response:
    return await request.send(ShowReservation(reservation_id=request.id("reservation_id"), caller=request.caller))


@routes.get("/receipts", ANY, ListReceipts, ReceiptFilters)
async def list_receipts(request: RequestContext, filters: ReceiptFilters) -> Response:
    return await request.send(ListReceipts(**{**vars(filters), "member_id": request.owner(filters.member_id)}))


@routes.get("/receipts/{receipt_id}", ANY, ShowReceipt)
async def show_receipt(request: RequestContext) -> Response:
    return await request.send(ShowReceipt(receipt_id=request.id("receipt_id"), caller=request.caller))


@routes.get("/my-reservations", ANY, ListMyReservations, ReservationFilters)
async def list_my_reservations(request: RequestContext, filters: ReservationFilters) -> Response:
    """Everything that became of a member's reservations; staff may name a `member_id`."""
    return await request.send(ListMyReservations(**{**vars(filters), "member_id": request.owner(filters.member_id)}))


@routes.get("/my-reservations/{reservation_id}", ANY, ShowMyReservation, Seen)
async def show_my_reservation(request: RequestContext, seen: Seen) -> Response:
    """One reservation with its timeline."""
    reservation_id = request.id("reservation_id")
    return await request.send(
        ShowMyReservation(reservation_id=reservation_id, min_version=seen.min_version, caller=request.caller)
    )


async def _with_free(request: RequestContext, reply: RpcReply) -> RpcReply:
    """A catalogue's answer, with what is left of each quota."""
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
        reply = await request.send_raw(CountFree(product_ids=product_ids), budget=COUNTING_SECONDS)
    except Problem:  # too many ask reservations already
        return {}
    counts = from_json(reply.body)["counts"] if reply.kind == "done" else []
    return {count["product_id"]: count["free"] for count in counts}
