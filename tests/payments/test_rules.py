"""The rules of payments."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from contracts.base import Refused
from contracts.payments import PaymentState, PaymentStatus
from tests.payments.conftest import request
from workers.payments import rules

ID = UUID(int=7)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def payment(
    status: str, *, captured: int = 0, refunding: int = 0, refunded: int = 0, payer: str = "kim"
) -> PaymentState:
    return PaymentState(
        payment_id=ID,
        status=PaymentStatus(status),
        payer=payer,
        amount=9000,
        purpose="video_rental.rentals",
        method="card",
        last4="4242",
        brand="visa",
        captured=captured,
        refunding=refunding,
        refunded=refunded,
        reason="insufficient_funds" if status == "DECLINED" else None,
        created_at=NOW,
        modified_at=NOW,
        version=1,
    )


@pytest.mark.parametrize(
    ("limit", "budget", "seconds"),
    [(2.0, None, 2.0), (2.0, 2.4, 2.0), (2.0, 0.5, 0.4), (2.0, 0.1, 0.0), (2.0, 0.0, -0.1)],
)
def test_the_provider_has_the_time_that_the_caller_can_wait(limit: float, budget: float | None, seconds: float) -> None:
    assert rules.time_for_provider(limit, budget) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("known", "answer"),
    [
        (payment("REQUESTED"), "still_running"),
        (payment("DECLINED"), "declined"),
        (payment("VOIDING"), "voided"),
        (payment("VOIDED"), "voided"),
        (payment("APPROVED", captured=9000), "APPROVED"),
        (payment("PARTIALLY_REFUNDED", captured=9000, refunded=1), "PARTIALLY_REFUNDED"),
        (payment("REFUNDED", captured=9000, refunded=9000), "REFUNDED"),
        (payment("APPROVED", captured=9000, payer="lee"), "payment_mismatch"),
        (payment("VOIDED", payer=""), "voided"),
    ],
)
def test_a_known_payment_answers_its_request_again(known: PaymentState, answer: str) -> None:
    answered = rules.answer_to_repeat(known, request(payment_id=ID))

    assert (answered.code if isinstance(answered, Refused) else answered.status) == answer


@pytest.mark.parametrize(
    ("status", "refunding", "refunded", "amount", "refusal"),
    [
        ("APPROVED", 0, 0, 9000, None),
        ("APPROVED", 0, 0, 9001, Refused("refund_too_large", left=9000, current_status="APPROVED")),
        ("APPROVED", 4000, 0, 5000, None),
        ("APPROVED", 4000, 0, 5001, Refused("refund_too_large", left=5000, current_status="APPROVED")),
        ("PARTIALLY_REFUNDED", 1000, 8000, 1, Refused("refund_too_large", left=0, current_status="PARTIALLY_REFUNDED")),
        ("REFUNDED", 0, 9000, 1, Refused("refund_too_large", left=0, current_status="REFUNDED")),
        ("VOIDING", 0, 0, 1, Refused("wrong_state", current_status="VOIDING")),
        ("REQUESTED", 0, 0, 1, Refused("wrong_state", current_status="REQUESTED")),
        ("DECLINED", 0, 0, 1, Refused("wrong_state", current_status="DECLINED")),
    ],
)
def test_a_refund_by_hand_is_within_what_is_left(
    status: str, refunding: int, refunded: int, amount: int, refusal: Refused | None
) -> None:
    known = payment(status, captured=9000, refunding=refunding, refunded=refunded)

    assert rules.refund_refusal(known, amount) == refusal


def test_nothing_can_be_refunded_of_a_voided_payment() -> None:
    assert rules.refundable_amount(None) == 0
    assert rules.refundable_amount(payment("VOIDING", captured=9000)) == 0
    assert rules.refundable_amount(payment("PARTIALLY_REFUNDED", captured=9000, refunding=1000, refunded=2000)) == 6000
