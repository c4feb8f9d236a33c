"""Fields of events of video rental and payments, for tests that make events themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from contracts.video_rental.rentals import LateFeeStatus, RentalStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def rental_fields(**changes: Any) -> dict[str, Any]:
    """The fields of a BOOKED rental of one day for 1000 won."""
    fields: dict[str, Any] = {
        "rental_id": uuid4(),
        "video_id": uuid4(),
        "member_id": "kim",
        "days": 1,
        "daily_price": 1000,
        "price": 1000,
        "status": RentalStatus.BOOKED,
        "reason": None,
        "payment_id": uuid4(),
        "pickup_until": None,
        "picked_up_at": None,
        "due_at": None,
        "returned_at": None,
        "late_fee": 0,
        "late_fee_status": LateFeeStatus.NONE,
        "late_fee_payment_id": None,
        "created_at": NOW,
        "modified_at": NOW,
        "version": 1,
    }
    return fields | changes


def payment_fields(**changes: Any) -> dict[str, Any]:
    """The fields of a payment of 1000 won that was captured; `payment_id`, `status` and `version` are to be given."""
    fields: dict[str, Any] = {
        "payer": "kim",
        "amount": 1000,
        "purpose": "video_rental.rentals",
        "method": "card",
        "last4": "4242",
        "brand": "visa",
        "captured": 1000,
        "refunding": 0,
        "refunded": 0,
        "reason": None,
        "created_at": NOW,
        "modified_at": NOW,
    }
    return fields | changes
