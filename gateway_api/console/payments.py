"""Payments and refunds of all businesses: customers see their own, staff see all."""

from __future__ import annotations

from gateway_api.console.actions import Action, Business, FormField, Item, Listing, StaffNotice, status_in
from gateway_api.console.businesses import BUSINESSES
from gateway_api.console.words import (
    CREATED,
    MEMBER,
    PAYMENTS,
    REFUNDS,
    Fact,
    Money,
    State,
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


PROVIDERS = {"simulator": "simulator", "stripe": "Stripe", "portone": "PortOne"}


def _mode(provider: Item) -> Text:
    name = PROVIDERS.get(provider["name"], provider["name"])
    match provider["mode"]:
        case "live":
            return Text(f"{name}에 연결되어 있습니다. 실제 돈이 움직입니다.", f"Connected to {name}: real money moves.")
        case "test":
            return Text(
                f"{name}의 테스트 모드입니다. 실제 돈은 움직이지 않습니다.",
                f"{name} in test mode: no real money moves.",
            )
    return Text("모의 결제입니다. 실제 돈은 움직이지 않습니다.", "Payments are simulated: no real money moves.")


DISCREPANCIES = {
    "REFUNDED_AT_PROVIDER": State("결제사에서 환불됨", "refunded at the provider", "bad"),
    "REFUND_REVERSED": State("환불이 되돌아옴", "refund came back", "bad"),
    "DISPUTED": State("카드사 이의 제기", "disputed (chargeback)", "bad"),
    "UNKNOWN_CHARGE": State("모르는 결제", "unknown charge", "bad"),
    "MISSING_CHARGE": State("결제사에 없는 결제", "charge missing at the provider", "bad"),
    "AMOUNT_DIFFERS": State("금액이 다름", "amount differs", "bad"),
}
RESOLUTION = Text("처리한 내용", "What was done")


def _discrepancy_facts(discrepancy: Item) -> list[Fact]:
    facts: list[Fact] = [
        (MEMBER, discrepancy["payer"] or "-"),
        (AMOUNT, Money(discrepancy["amount"])),
        (Text("결제사", "Provider"), f"{discrepancy['provider']} {discrepancy['reference']}"),
        (Text("발견", "Found"), Timestamp(discrepancy["found_at"])),
    ]
    if discrepancy["resolution"]:
        facts += [(RESOLUTION, f"{discrepancy['resolution']} ({discrepancy['resolved_by']})")]
    return facts


resolve = Action(
    "resolve",
    Text("처리함", "Dealt with"),
    "/v1/payment-discrepancies/{id}/resolution",
    (FormField("resolution", RESOLUTION, "long"),),
    roles=STAFF,
    when=status_in("OPEN"),
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
    "RefundRefused": Text("환불할 금액이 남지 않았습니다", "Nothing left to refund"),
    "TransferAwaited": Text("입금을 기다립니다", "Transfer awaited"),
    "TransferConfirmed": Text("입금을 확인했습니다", "Transfer confirmed"),
    "TransferCancelled": Text("입금을 취소했습니다", "Transfer cancelled"),
    "TransferReturned": Text("입금액을 돌려보냈습니다", "Transfer sent back"),
    "RefundAccountNamed": Text("환불 계좌를 알렸습니다", "Account for the refund named"),
    "DiscrepancyFound": Text("결제사 장부와 다릅니다", "The provider's books differ"),
    "DiscrepancyResolved": Text("결제사 장부와의 차이를 처리했습니다", "The difference was dealt with"),
}


business = Business(
    "payments",
    "payments",
    Text("결제와 환불", "Payments"),
    Text("낸 돈과 돌려받은 돈입니다.", "What was paid, and what was given back."),
    catalogue=None,
    staff_notice=StaffNotice("/v1/payment-provider", _mode),
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
        Listing(
            "discrepancies",
            Text("결제사 장부와 다른 결제", "Payments that differ from the provider's books"),
            "/v1/payment-discrepancies?status=OPEN&limit=50",
            "discrepancy_id",
            _purpose,
            state=lambda discrepancy: DISCREPANCIES.get(discrepancy["kind"]),
            facts=_discrepancy_facts,
            actions=(resolve,),
            roles=STAFF,
            empty=Text("장부가 맞습니다.", "The books agree."),
            is_work=True,
        ),
        _refunds("refunds", Text("환불", "Refunds"), "/v1/refunds?limit=20"),
    ),
    events=EVENTS,
)

ALL: tuple[Business, ...] = (*BUSINESSES, business)
"""What has pages: the businesses, and payments."""
