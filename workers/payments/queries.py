"""Queries of payments and refunds: a customer sees their own, staff see all."""

from __future__ import annotations

from contracts.base import Page
from contracts.payments import ListPayments, ListRefunds, PaymentState, RefundState, ShowPayment, ShowRefund
from storage.database import Session
from storage.payments import payments as store
from storage.payments import refunds
from workers.payments.base import payments
from workers.runtime.processing.tx import RetryableNotFound


@payments.handles(ShowPayment)
async def show_payment(query: ShowPayment, session: Session) -> PaymentState:
    payment = await store.find(session, query.payment_id)
    if payment is None or not query.caller.may_see(payment.payer):
        raise RetryableNotFound
    return payment


@payments.handles(ListPayments)
async def list_payments(query: ListPayments, session: Session) -> Page[PaymentState]:
    return await store.newest(session, query)


@payments.handles(ShowRefund)
async def show_refund(query: ShowRefund, session: Session) -> RefundState:
    refund = await refunds.find(session, query.refund_id)
    if refund is None or not query.caller.may_see(refund.payer):
        raise RetryableNotFound
    return refund


@payments.handles(ListRefunds)
async def list_refunds(query: ListRefunds, session: Session) -> Page[RefundState]:
    return await refunds.newest(session, query)
