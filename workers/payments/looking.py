"""What one may look at: a customer their own, staff everything."""

from __future__ import annotations

from contracts.base import Page
from contracts.payments import ListPayments, ListRefunds, PaymentState, RefundState, ShowPayment, ShowRefund
from storage import payments as store
from storage import refunds
from storage.database import Session
from workers.payments.base import payments
from workers.runtime.processing.tx import NotKnownYet


@payments.on(ShowPayment)
async def show_payment(question: ShowPayment, session: Session) -> PaymentState:
    payment = await store.find(session, question.payment_id)
    if payment is None or not question.caller.may_see(payment.payer):
        raise NotKnownYet
    return payment


@payments.on(ListPayments)
async def list_payments(question: ListPayments, session: Session) -> Page[PaymentState]:
    return await store.newest(session, question)


@payments.on(ShowRefund)
async def show_refund(question: ShowRefund, session: Session) -> RefundState:
    refund = await refunds.find(session, question.refund_id)
    if refund is None or not question.caller.may_see(refund.payer):
        raise NotKnownYet
    return refund


@payments.on(ListRefunds)
async def list_refunds(question: ListRefunds, session: Session) -> Page[RefundState]:
    return await refunds.newest(session, question)
