"""Payments and refunds: customers see their own, staff see all."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from contracts.base import MemberId, Won
from contracts.payment_discrepancies import (
    DiscrepancyStatus,
    ListDiscrepancies,
    ResolveDiscrepancy,
    ShowProvider,
)
from contracts.payments import (
    ListPayments,
    ListRefunds,
    PaymentStatus,
    RefundPayment,
    RefundStatus,
    ShowPayment,
    ShowRefund,
)
from gateway_api.bodies import Form, NonBlankReason, Paging, example, optional
from gateway_api.dependencies import Anyone, Commands, Queries, ResourceId, Staff
from gateway_api.gateway import owned
from gateway_api.routing import GatewayRoute, sends

DESCRIPTION = "Payments and refunds of all businesses."
router = APIRouter(prefix="/v1", tags=["payments"], route_class=GatewayRoute)


class PaymentFilters(Paging):
    payer: MemberId = optional()
    status: PaymentStatus = optional()
    purpose: Annotated[str, Field(min_length=1, max_length=100)] = optional()


class RefundFilters(Paging):
    payer: MemberId = optional()
    status: RefundStatus = optional()
    payment_id: UUID = optional()


class DiscrepancyFilters(Paging):
    status: DiscrepancyStatus = optional()


class DiscrepancyResolution(Form):
    model_config = example(resolution="카드사에 소명 자료를 보냄")

    resolution: NonBlankReason


class NewRefund(Form):
    model_config = example(amount=1500, reason="흠집")

    amount: Annotated[Won, Field(gt=0)]
    reason: NonBlankReason


@router.get("/payments")
@sends(ListPayments)
async def list_payments(filters: Annotated[PaymentFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ListPayments(**owned(caller, filters, "payer")))


@router.get("/payments/{payment_id}")
@sends(ShowPayment)
async def show_payment(payment_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowPayment(payment_id=payment_id, caller=caller))


@router.get("/refunds")
@sends(ListRefunds)
async def list_refunds(filters: Annotated[RefundFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ListRefunds(**owned(caller, filters, "payer")))


@router.get("/refunds/{refund_id}")
@sends(ShowRefund)
async def show_refund(refund_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowRefund(refund_id=refund_id, caller=caller))


@router.post("/payments/{payment_id}/refunds")
@sends(RefundPayment, creates="/v1/refunds/{refund_id}")
async def refund_payment(payment_id: ResourceId, form: NewRefund, caller: Staff, commands: Commands) -> Response:
    """A refund by hand, of a part or of the rest."""
    return await commands.send(RefundPayment(payment_id=payment_id, **vars(form), caller=caller))


@router.get("/payment-provider")
@sends(ShowProvider)
async def show_payment_provider(_: Staff, queries: Queries) -> Response:
    """The payment provider in use, and whether real money moves: `simulated`, `test` or `live`."""
    return await queries.send(ShowProvider())


@router.get("/payment-discrepancies")
@sends(ListDiscrepancies)
async def list_payment_discrepancies(
    filters: Annotated[DiscrepancyFilters, Query()], _: Staff, queries: Queries
) -> Response:
    """What the provider's books say otherwise than ours: refunds by its dashboard, chargebacks, unknown charges."""
    return await queries.send(ListDiscrepancies(**vars(filters)))


@router.post("/payment-discrepancies/{discrepancy_id}/resolution")
@sends(ResolveDiscrepancy)
async def resolve_payment_discrepancy(
    discrepancy_id: ResourceId, form: DiscrepancyResolution, caller: Staff, commands: Commands
) -> Response:
    """Staff have dealt with it; it leaves the worklist."""
    return await commands.send(
        ResolveDiscrepancy(discrepancy_id=discrepancy_id, resolution=form.resolution, caller=caller)
    )
