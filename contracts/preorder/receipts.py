"""Phone pre-order: the receipt of a paid reservation, with the expected date of delivery.

ReservationConfirmed -> ReceiptIssued
VoidReceipt          -> ReceiptVoided     (if there is no receipt yet: a tombstone, and none will be issued)
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Shape, Won
from contracts.refusals import NotFound


class ReceiptStatus(StrEnum):
    ISSUED = "ISSUED"
    VOIDED = "VOIDED"


class ReceiptState(Shape):
    """A receipt; one that was voided before it was issued has no `issued_at` and no `expected_delivery`."""

    receipt_id: UUID
    reservation_id: UUID
    member_id: MemberId
    product_id: UUID
    amount: Won
    status: ReceiptStatus
    reason: str | None
    issued_at: AwareDatetime | None
    """The time of the payment, even if the receipt was written later."""
    expected_delivery: date | None
    """A date in Seoul."""
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class ReceiptPart(Shape):
    """A receipt as it is nested in other answers."""

    receipt_id: UUID
    status: ReceiptStatus
    issued_at: AwareDatetime | None
    expected_delivery: date | None


class VoidReceipt(Command[None]):
    """The reservation is cancelled: void its receipt, or prevent its issue. It ends in `ReceiptVoided`."""

    topic = "preorder.receipts.void_receipt"

    reservation_id: UUID
    member_id: MemberId
    product_id: UUID
    amount: Won
    reason: str


class ReceiptEvent(ReceiptState, Event):
    """A change of a receipt, with its state after the change."""


class ReceiptIssued(ReceiptEvent):
    topic = "preorder.receipts.receipt_issued"


class ReceiptVoided(ReceiptEvent):
    """The reservation has no valid receipt; published again, with the same version, for each repeated `VoidReceipt`."""

    topic = "preorder.receipts.receipt_voided"


class ShowReceipt(Query[ReceiptState]):
    topic = "preorder.receipts.show_receipt"
    refusals = (NotFound,)

    receipt_id: UUID
    caller: Caller


class ListReceipts(Query[Page[ReceiptState]]):
    topic = "preorder.receipts.list_receipts"
    refusals = ()

    member_id: str | None = None
    status: ReceiptStatus | None = None
    limit: int = 50
    cursor: str | None = None
