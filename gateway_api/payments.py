"""Payments and refunds: a customer's own, all of them for staff."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from contracts.base import Won
from contracts.payments import (
    ListPayments,
    ListRefunds,
    PaymentStatus,
    RefundPayment,
    RefundStatus,
    ShowPayment,
    ShowRefund,
)
from gateway_api.bodies import Form, GivenReason, Paging
from gateway_api.gateway import ANY, STAFF, Routes, Visit

routes = Routes("/v1", "payments")

Payer = Annotated[str, Field(min_length=1, max_length=128)]


class PaymentFilters(Paging):
    payer: Payer | None = None
    status: PaymentStatus | None = None
    purpose: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class RefundFilters(Paging):
    payer: Payer | None = None
    status: RefundStatus | None = None
    payment_id: UUID | None = None


class NewRefund(Form):
    amount: Annotated[Won, Field(gt=0)]
    reason: GivenReason


@routes.get("/payments", ANY, ListPayments, PaymentFilters)
async def list_payments(visit: Visit, filters: PaymentFilters) -> Response:
    return await visit.ask(ListPayments(**{**vars(filters), "payer": visit.owner(filters.payer)}))


@routes.get("/payments/{payment_id}", ANY, ShowPayment)
async def show_payment(visit: Visit) -> Response:
    return await visit.ask(ShowPayment(payment_id=visit.id("payment_id"), caller=visit.caller))


@routes.get("/refunds", ANY, ListRefunds, RefundFilters)
async def list_refunds(visit: Visit, filters: RefundFilters) -> Response:
    return await visit.ask(ListRefunds(**{**vars(filters), "payer": visit.owner(filters.payer)}))


@routes.get("/refunds/{refund_id}", ANY, ShowRefund)
async def show_refund(visit: Visit) -> Response:
    return await visit.ask(ShowRefund(refund_id=visit.id("refund_id"), caller=visit.caller))


@routes.post("/payments/{payment_id}/refunds", STAFF, RefundPayment, NewRefund, creates="/refunds/{refund_id}")
async def refund_payment(visit: Visit, form: NewRefund) -> Response:
    """A refund by hand, of a part or of the rest."""
    return await visit.ask(RefundPayment(payment_id=visit.id("payment_id"), **vars(form), caller=visit.caller))
