"""Payments and refunds: customers see their own, staff see all."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from contracts.base import MemberId, Won
from contracts.payments import (
    ListPayments,
    ListRefunds,
    PaymentStatus,
    RefundPayment,
    RefundStatus,
    ShowPayment,
    ShowRefund,
)
from gateway_api.bodies import Form, NonBlankReason, Paging
from gateway_api.gateway import ANY, STAFF, RequestContext, Routes

routes = Routes("/v1", "payments")


class PaymentFilters(Paging):
    payer: MemberId | None = None
    status: PaymentStatus | None = None
    purpose: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class RefundFilters(Paging):
    payer: MemberId | None = None
    status: RefundStatus | None = None
    payment_id: UUID | None = None


class NewRefund(Form):
    amount: Annotated[Won, Field(gt=0)]
    reason: NonBlankReason


@routes.get("/payments", ANY, ListPayments, PaymentFilters)
async def list_payments(request: RequestContext, filters: PaymentFilters) -> Response:
    return await request.send(ListPayments(**{**vars(filters), "payer": request.owner_filter(filters.payer)}))


@routes.get("/payments/{payment_id}", ANY, ShowPayment)
async def show_payment(request: RequestContext) -> Response:
    return await request.send(ShowPayment(payment_id=request.id("payment_id"), caller=request.caller))


@routes.get("/refunds", ANY, ListRefunds, RefundFilters)
async def list_refunds(request: RequestContext, filters: RefundFilters) -> Response:
    return await request.send(ListRefunds(**{**vars(filters), "payer": request.owner_filter(filters.payer)}))


@routes.get("/refunds/{refund_id}", ANY, ShowRefund)
async def show_refund(request: RequestContext) -> Response:
    return await request.send(ShowRefund(refund_id=request.id("refund_id"), caller=request.caller))


@routes.post("/payments/{payment_id}/refunds", STAFF, RefundPayment, NewRefund, creates="/refunds/{refund_id}")
async def refund_payment(request: RequestContext, form: NewRefund) -> Response:
    """A refund by hand, of a part or of the rest."""
    return await request.send(RefundPayment(payment_id=request.id("payment_id"), **vars(form), caller=request.caller))
