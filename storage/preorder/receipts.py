"""Phone pre-order: receipts, one row per reservation; a tombstone if the void arrived first."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from contracts.base import Page
from contracts.preorder.receipts import ListReceipts, ReceiptState, VoidReceipt
from contracts.preorder.reservations import ReservationConfirmed
from storage import paging
from storage.database import Row, Session, Statement


def receipt_of(row: Row) -> ReceiptState:
    return ReceiptState.model_validate(dict(row))


_ISSUE = Statement("""
    insert into preorder_receipts.receipts (receipt_id, reservation_id, member_id, product_id, amount, status,
      issued_at, expected_delivery)
    values (:receipt_id, :reservation_id, :member_id, :product_id, :amount, 'ISSUED', :issued_at, :expected_delivery)
    on conflict (reservation_id) do nothing returning *""")


async def issue(
    session: Session, receipt_id: UUID, reservation: ReservationConfirmed, expected_delivery: date
) -> ReceiptState | None:
    """Insert a receipt dated by the payment; None when the reservation has one, also a voided one."""
    row = await session.one(
        _ISSUE,
        receipt_id=receipt_id,
        reservation_id=reservation.reservation_id,
        member_id=reservation.member_id,
        product_id=reservation.product_id,
        amount=reservation.price,
        issued_at=reservation.paid_at,
        expected_delivery=expected_delivery,
    )
    return receipt_of(row) if row else None


_VOID = Statement("""
    insert into preorder_receipts.receipts as existing
      (receipt_id, reservation_id, member_id, product_id, amount, status, reason)
    values (:receipt_id, :reservation_id, :member_id, :product_id, :amount, 'VOIDED', :reason)
    on conflict (reservation_id) do update set status = 'VOIDED', reason = excluded.reason, modified_at = now(),
      version = existing.version + 1
    where existing.status = 'ISSUED' returning *""")
_FIND_OF = Statement("select * from preorder_receipts.receipts where reservation_id = :reservation_id")


async def void(session: Session, receipt_id: UUID, command: VoidReceipt) -> ReceiptState:
    """Void the receipt of a reservation, or insert a tombstone that prevents its issue; returns the voided receipt."""
    row = await session.one(
        _VOID,
        receipt_id=receipt_id,
        reservation_id=command.reservation_id,
        member_id=command.member_id,
        product_id=command.product_id,
        amount=command.amount,
        reason=command.reason,
    )
    row = row or await session.one(_FIND_OF, reservation_id=command.reservation_id)
    return receipt_of(row or {})


_FIND = Statement("select * from preorder_receipts.receipts where receipt_id = :receipt_id")


async def find(session: Session, receipt_id: UUID) -> ReceiptState | None:
    """A receipt; None when there is none."""
    row = await session.one(_FIND, receipt_id=receipt_id)
    return receipt_of(row) if row else None


_NEWEST = paging.Newest(
    ReceiptState, "preorder_receipts.receipts", "receipt_id", filters=("member_id", "status"), make=receipt_of
)


async def newest(session: Session, query: ListReceipts) -> Page[ReceiptState]:
    """One page of receipts, newest first."""
    return await _NEWEST.page(session, query)
