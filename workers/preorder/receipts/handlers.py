"""Phone pre-order: one receipt for each paid reservation, voided when the reservation is cancelled.

ReservationConfirmed -> ReceiptIssued     (dated by the payment, even if the event arrives late)
VoidReceipt          -> ReceiptVoided     (a tombstone if none was issued: then none will be)
"""

from __future__ import annotations

from uuid import UUID, uuid5

from contracts.base import Page
from contracts.preorder.receipts import (
    ListReceipts,
    ReceiptIssued,
    ReceiptState,
    ReceiptVoided,
    ShowReceipt,
    VoidReceipt,
)
from contracts.preorder.reservations import ReservationConfirmed
from storage.database import Session
from storage.preorder import receipts as store
from workers.preorder.receipts import rules
from workers.runtime.processing.tx import RetryableNotFound, Tx
from workers.runtime.worker import Worker

worker = receipts = Worker("preorder.receipts")


def receipt_id_of(reservation_id: UUID) -> UUID:
    """The id of a reservation's only receipt."""
    return uuid5(reservation_id, "receipt")


@receipts.handles(ReservationConfirmed)
async def issue_receipt(event: ReservationConfirmed, tx: Tx) -> None:
    assert event.paid_at is not None
    expected = rules.expected_delivery(event.paid_at)
    receipt = await store.issue(tx, receipt_id_of(event.reservation_id), event, expected)
    if receipt is not None:
        tx.publish(ReceiptIssued.of(receipt))


@receipts.handles(VoidReceipt)
async def void_receipt(command: VoidReceipt, tx: Tx) -> None:
    receipt = await store.void(tx, receipt_id_of(command.reservation_id), command)
    tx.publish(ReceiptVoided.of(receipt))


@receipts.handles(ShowReceipt)
async def show_receipt(query: ShowReceipt, session: Session) -> ReceiptState:
    receipt = await store.find(session, query.receipt_id)
    if receipt is None or not query.caller.may_see(receipt.member_id):
        raise RetryableNotFound
    return receipt


@receipts.handles(ListReceipts)
async def list_receipts(query: ListReceipts, session: Session) -> Page[ReceiptState]:
    return await store.newest(session, query)
