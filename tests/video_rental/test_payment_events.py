"""Payment events in rentals: the newest state of the rental's own payment and refund is stored, in any order."""

from __future__ import annotations

from uuid import uuid4

import pytest

from contracts.payments import PaymentStatus, RefundStatus
from contracts.video_rental.rentals import Rental, RentalStatus
from tests.video_rental.conftest import Statements, payment_state, refund_state


def parts(rental: Rental) -> tuple[str | None, str | None]:
    """The statuses of payment and refund."""
    return rental.payment.status if rental.payment else None, rental.refund.status if rental.refund else None


async def test_an_older_payment_event_never_replaces_a_newer_one(statements: Statements) -> None:
    rental = await statements.booked(await statements.video())

    await statements.note_payment(payment_state(rental.payment_id, PaymentStatus.REFUNDED, version=3))
    await statements.note_payment(payment_state(rental.payment_id, PaymentStatus.PARTIALLY_REFUNDED, version=2))

    assert parts(await statements.find(rental)) == ("REFUNDED", None)


async def test_an_event_of_another_payment_changes_nothing(statements: Statements) -> None:
    rental = await statements.booked(await statements.video())

    await statements.note_payment(payment_state(uuid4(), PaymentStatus.REFUNDED, version=9))

    assert parts(await statements.find(rental)) == ("APPROVED", None)


async def test_what_was_refunded_by_hand_is_not_refunded_again(statements: Statements) -> None:
    rental = await statements.booked(await statements.video(daily_price=1000))
    await statements.note_payment(
        payment_state(rental.payment_id, PaymentStatus.PARTIALLY_REFUNDED, version=2, refunded=300)
    )

    cancelled = await statements.cancel(rental)

    assert cancelled is not None
    assert cancelled.refund is not None
    assert (cancelled.refund.status, cancelled.refund.amount) == (RefundStatus.PENDING, 700)


async def test_an_older_refund_event_never_replaces_a_newer_one(statements: Statements) -> None:
    rental = await statements.booked(await statements.video())
    refund_id = uuid4()
    await statements.cancel(rental, refund_id)

    await statements.note_refund(refund_state(rental, refund_id, RefundStatus.REFUNDED, version=3))
    await statements.note_refund(refund_state(rental, refund_id, RefundStatus.REFUND_FAILED, version=2))

    assert parts(await statements.find(rental)) == ("APPROVED", "REFUNDED")


async def test_a_refund_by_hand_is_not_taken_for_the_refund_of_the_cancellation(statements: Statements) -> None:
    rental = await statements.booked(await statements.video())
    await statements.cancel(rental)

    await statements.note_refund(refund_state(rental, uuid4(), RefundStatus.REFUNDED, version=2))

    assert parts(await statements.find(rental)) == ("APPROVED", "PENDING")


@pytest.mark.parametrize(
    ("to", "expected", "later"),
    [
        (RentalStatus.CANCELLED, PaymentStatus.VOIDING, PaymentStatus.VOIDED),
        (RentalStatus.BOOKED, PaymentStatus.APPROVED, PaymentStatus.PARTIALLY_REFUNDED),
    ],
)
async def test_a_payment_event_before_the_booking_is_settled_is_kept(
    statements: Statements, to: RentalStatus, expected: PaymentStatus, later: PaymentStatus
) -> None:
    rental = await statements.held(await statements.video())
    await statements.note_payment(payment_state(rental.payment_id, later, version=2))

    await statements.settle(rental, to, expected)

    assert parts(await statements.find(rental)) == (later, None)
