"""The rules of the shop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.base import Refused
from contracts.shop.order_status import NextAction
from contracts.shop.orders import CancelledBy, Order
from contracts.shop.states import OrderStatus
from contracts.transfers import TransferPart
from storage.shop.order_status import next_action
from workers.shop.orders import rules
from workers.shop.orders.rules import Confirmation

ID = UUID("0a1b2c3d-0000-4000-8000-000000000001")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=14)


def order(status: str = "AWAITING_PAYMENT", **more: Any) -> Order:
    known: dict[str, Any] = {
        "order_id": ID,
        "member_id": "kim",
        "product_id": ID,
        "quantity": 2,
        "unit_price": 1000,
        "total": 2000,
        "status": OrderStatus(status),
        "reason": None,
        "cancelled_by": None,
        "round": 1,
        "transfer_id": ID,
        "bank_account": "110-000-123456",
        "reference": "YK-0A1B2C3D",
        "transfer_deadline": NOW,
        "refund_owed": False,
        "reminded_at": None,
        "receipt_deadline": None,
        "created_at": NOW,
        "modified_at": NOW,
        "version": 1,
    }
    transfer = TransferPart(
        transfer_id=ID,
        status=None,
        amount=2000,
        bank_account="110-000-123456",
        reference="YK-0A1B2C3D",
        deadline=NOW,
        refund_owed=False,
    )
    return Order(**(known | more), transfer=transfer)


@pytest.mark.parametrize(
    ("status", "cancelled_by", "amount", "round", "expected"),
    [
        ("ORDER_PLACED", None, None, None, Confirmation.BEGIN),
        ("AWAITING_PAYMENT", None, 2000, None, Confirmation.BEGIN),
        ("AWAITING_PAYMENT", None, 1999, None, "amount_mismatch"),
        ("AWAITING_PAYMENT", None, 0, None, "amount_mismatch"),
        ("AWAITING_PAYMENT", None, None, 1, "wrong_state"),
        ("AWAITING_PAYMENT", None, None, 2, Confirmation.BEGIN),
        ("CONFIRMING", None, None, None, Confirmation.JOIN),
        ("CONFIRMING", None, None, 2, Confirmation.JOIN),
        ("CONFIRMING", None, None, 1, "wrong_state"),
        ("CONFIRMING", None, 1, None, "amount_mismatch"),
        ("PAYMENT_CONFIRMED", None, None, None, Confirmation.DONE),
        ("PAYMENT_CONFIRMED", None, None, 1, Confirmation.DONE),
        ("PREPARING", None, 2000, None, Confirmation.DONE),
        ("DELIVERING", None, None, None, Confirmation.DONE),
        ("CLOSED", None, None, None, Confirmation.DONE),
        ("CLOSED", None, 5, None, "amount_mismatch"),
        ("PAYMENT_CANCELLED", "STOCK", None, None, "out_of_stock"),
        ("ORDER_CANCELLED", "DEADLINE", None, None, Confirmation.LATE),
        ("ORDER_CANCELLED", "DEADLINE", 1, None, "amount_mismatch"),
        ("ORDER_CANCELLED", "MEMBER", None, None, Confirmation.LATE),
        ("ORDER_CANCELLED", "STAFF", 2000, None, Confirmation.LATE),
    ],
)
def test_what_a_confirmation_leads_to(
    status: str, cancelled_by: str | None, amount: int | None, round: int | None, expected: Confirmation | str
) -> None:
    by = CancelledBy(cancelled_by) if cancelled_by else None

    found = rules.confirmation(order(status, cancelled_by=by, round=2), amount, round)

    assert (found.code if isinstance(found, Refused) else found) == expected


@pytest.mark.parametrize(
    ("cancelled_by", "code", "allowed"),
    [("DEADLINE", "deadline_passed", ["revival"]), ("MEMBER", "wrong_state", []), ("STAFF", "wrong_state", [])],
)
def test_money_for_a_cancelled_order_is_refused_by_who_cancelled(
    cancelled_by: str, code: str, allowed: list[str]
) -> None:
    refusal = rules.late_transfer_refusal(order("ORDER_CANCELLED", cancelled_by=CancelledBy(cancelled_by), reason="so"))

    assert (refusal.code, refusal.details["allowed_actions"], refusal.details["reason"]) == (code, allowed, "so")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("PAYMENT_CONFIRMED", None),
        ("CLOSED", None),
        ("PAYMENT_CANCELLED", "out_of_stock"),
        ("AWAITING_PAYMENT", "wrong_state"),
    ],
)
def test_the_answer_for_a_round_that_another_request_settled(status: str, code: str | None) -> None:
    found = rules.settled_answer(order(status))

    assert (found.code if isinstance(found, Refused) else None) == code


def test_the_reference_is_short_and_the_orders_own() -> None:
    assert rules.reference(ID) == "YK-0A1B2C3D"


@pytest.mark.parametrize(("hours", "expected"), [(72, 54), (1, 0.75), (0.001, 0.00075)])
def test_the_reminder_comes_at_three_quarters(hours: float, expected: float) -> None:
    assert rules.remind_after(timedelta(hours=hours)) == timedelta(hours=expected)


@pytest.mark.parametrize(
    ("status", "refund_owed", "action", "deadline"),
    [
        ("ORDER_PLACED", False, NextAction.TRANSFER, NOW),
        ("AWAITING_PAYMENT", False, NextAction.TRANSFER, NOW),
        ("CONFIRMING", False, NextAction.WAIT_FOR_STOCK, None),
        ("PAYMENT_CONFIRMED", False, NextAction.WAIT_FOR_DELIVERY, None),
        ("PREPARING", False, NextAction.WAIT_FOR_DELIVERY, None),
        ("DELIVERING", False, NextAction.CONFIRM_RECEIPT, LATER),
        ("CLOSED", False, None, None),
        ("ORDER_CANCELLED", False, None, None),
        ("ORDER_CANCELLED", True, NextAction.REFUND, None),
        ("PAYMENT_CANCELLED", True, NextAction.REFUND, None),
    ],
)
def test_the_next_action_and_the_deadline_of_each_status(
    status: str, refund_owed: bool, action: NextAction | None, deadline: datetime | None
) -> None:
    row = {"status": status, "refund_owed": refund_owed, "transfer_deadline": NOW, "receipt_deadline": LATER}

    assert next_action(row) == (action, deadline)
