"""Payments and refunds of all businesses: customers see their own, staff see all."""

from __future__ import annotations

from gateway_api.console.actions import Action, Business, FormField, Item, Listing, status_in
from gateway_api.console.businesses import BUSINESSES
from gateway_api.console.words import (
    CREATED,
    MEMBER,
    PAYMENTS,
    REFUNDS,
    Fact,
    Money,
    Text,
    Timestamp,
    reason_facts,
)
from gateway_api.gateway import STAFF

AMOUNT, REASON = Text("금액", "Amount"), Text("사유", "Reason")


def _purpose(item: Item) -> Text:
    """Return what a payment is for: the title that its business has for it, or the name of the business."""
    purpose = str(item["purpose"])
    family = purpose.partition(".")[0]
    paid = next((one for one in BUSINESSES if one.family == family), None)
    return paid.purposes.get(purpose, paid.name) if paid else Text("결제", "Payment")


def _payment_facts(payment: Item) -> list[Fact]:
    facts: list[Fact] = [(MEMBER, payment["payer"]), (AMOUNT, Money(payment["amount"]))]
    if payment["last4"]:
        facts += [(Text("카드", "Card"), f"{payment['brand']} ···· {payment['last4']}")]
    if payment["refunded"]:
        facts += [(Text("환불된 금액", "Refunded"), Money(payment["refunded"]))]
    if payment["refunding"]:
        facts += [(Text("환불 중인 금액", "Being refunded"), Money(payment["refunding"]))]
    return [*facts, (CREATED, Timestamp(payment["created_at"])), *reason_facts(payment)]


def _refund_facts(refund: Item) -> list[Fact]:
    facts: list[Fact] = [(MEMBER, refund["payer"]), (AMOUNT, Money(refund["amount"]))]
    return [*facts, (CREATED, Timestamp(refund["created_at"])), *reason_facts(refund)]


def _refundable(payment: Item) -> int:
    return int(payment["amount"] - payment["refunded"] - payment["refunding"])


refund = Action(
    "refund",
    Text("환불하기", "Refund"),
    "/v1/payments/{id}/refunds",
    (FormField("amount", AMOUNT, "won", compute=_refundable), FormField("reason", REASON)),
    roles=STAFF,
    when=status_in("APPROVED", "PARTIALLY_REFUNDED"),
)


def _refunds(slug: str, name: Text, path: str, *, is_work: bool = False) -> Listing:
    return Listing(
        slug,
        name,
        path,
        "refund_id",
        _purpose,
        item="/v1/refunds/{id}",
        state=lambda refund: REFUNDS.get(refund["status"]),
        facts=_refund_facts,
        empty=Text("없습니다.", "None."),
        is_work=is_work,
    )


EVENTS = {
    "PaymentApproved": Text("결제가 승인되었습니다", "Payment approved"),
    "PaymentDeclined": Text("결제가 거절되었습니다", "Payment declined"),
    "PaymentVoiding": Text("결제를 취소하고 있습니다", "Payment is being undone"),
    "PaymentVoided": Text("결제를 취소했습니다", "Payment undone"),
    "PaymentRefunded": Text("환불이 반영되었습니다", "Payment refunded"),
    "RefundStarted": Text("환불을 시작했습니다", "Refund begun"),
    "RefundFailed": Text("환불에 실패해 다시 시도합니다", "Refund failed, it is tried again"),
    "RefundSucceeded": Text("환불했습니다", "Refund done"),
    "TransferAwaited": Text("입금을 기다립니다", "Transfer awaited"),
    "TransferConfirmed": Text("입금을 확인했습니다", "Transfer confirmed"),
    "TransferCancelled": Text("입금을 취소했습니다", "Transfer cancelled"),
}


business = Business(
    "payments",
    "payments",
    Text("결제와 환불", "Payments"),
    Text("낸 돈과 돌려받은 돈입니다.", "What was paid, and what was given back."),
    catalogue=None,
    records=Listing(
        "payments",
        Text("결제", "Payments"),
        "/v1/payments?limit=50",
        "payment_id",
        _purpose,
        item="/v1/payments/{id}",
        state=lambda payment: PAYMENTS.get(payment["status"]),
        facts=_payment_facts,
        actions=(refund,),
    ),
    more_listings=(
        _refunds(
            "failed-refunds",
            Text("실패해 다시 시도하는 환불", "Refunds being tried again"),
            "/v1/refunds?status=REFUND_FAILED&limit=50",
            is_work=True,
        ),
        _refunds("refunds", Text("환불", "Refunds"), "/v1/refunds?limit=20"),
    ),
    events=EVENTS,
)

ALL: tuple[Business, ...] = (*BUSINESSES, business)
"""What has pages: the businesses, and payments."""
