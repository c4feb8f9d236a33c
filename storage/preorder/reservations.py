"""Phone pre-order: reservations, the number of reserved units per model (`quotas`), and a projection of the models.

The count `taken` is not a column of the projection, because a newer event replaces that row. It counts reservations
that are AWAITING_PAYMENT, CONFIRMED or CANCELLING; the statement that changes to another status decreases it.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg

from contracts.base import Page
from contracts.preorder.products import ProductState
from contracts.preorder.receipts import ReceiptState
from contracts.preorder.reservations import (
    FreeCount,
    FreeCounts,
    ListReservations,
    Reservation,
    ReservationStatus,
    ReservationWithAddress,
    ReservePhone,
)
from storage import paging
from storage.database import Row, Session, Statement
from storage.paid import BEGIN_REFUND, SETTLE_PAYMENT, PaidThings, Settlement

ACTIVE_CONSTRAINT = "reservations_one_active"

paid = PaidThings("preorder_reservations.reservations", "reservation_id")


def _fields_of(row: Row) -> dict[str, Any]:
    """A reservation's fields, with payment, refund and receipt if events of them have arrived."""
    receipt = None
    if row["receipt_id"] is not None:
        receipt = {
            "receipt_id": row["receipt_id"],
            "status": row["receipt_status"],
            "issued_at": row["receipt_issued_at"],
            "expected_delivery": row["expected_delivery"],
        }
    return {**row, **paid.parts(row), "receipt": receipt}


def reservation_of(row: Row) -> Reservation:
    return Reservation.model_validate(_fields_of(row))


def _with_address(row: Row) -> ReservationWithAddress:
    return ReservationWithAddress.model_validate(_fields_of(row))


# -- reserving

_RESERVE = Statement("""
    with product as (
      select p.product_id, p.price, p.quota, p.status from preorder_reservations.products p
      where p.product_id = :product_id),
    active as (
      select 1 from preorder_reservations.reservations where member_id = :member_id and product_id = :product_id
        and status in ('AWAITING_PAYMENT', 'CONFIRMED', 'CANCELLING') limit 1),
    counted as (
      update preorder_reservations.quotas q set taken = taken + 1 from product p
      where q.product_id = p.product_id and p.status = 'OPEN' and (p.quota is null or q.taken < p.quota)
        and p.price = coalesce(cast(:expected_price as bigint), p.price)
        and not exists (select from active)
      returning p.price),
    inserted as (
      insert into preorder_reservations.reservations
        (reservation_id, product_id, member_id, address, price, status, payment_id)
      select :reservation_id, :product_id, :member_id, :address, price, 'AWAITING_PAYMENT', :payment_id
      from counted returning *)
    select inserted.*, (select status from product) as product_status, (select p.price from product p) as price_now,
      exists (select from active) as active
    from (select 1) one left join inserted on true""")


class ReserveResult:
    """The result of `reserve`: the reservation, or None with the reasons.

    `product_status` is None when the product is unknown; `active`: the member has a reservation of it already.
    """

    __slots__ = ("active", "price", "product_status", "reservation")

    def __init__(self, row: Row) -> None:
        self.product_status: str | None = row["product_status"]
        self.price: int = row["price_now"]
        self.active: bool = row["active"]
        self.reservation = reservation_of(row) if row["reservation_id"] else None


async def reserve(session: Session, reservation_id: UUID, payment_id: UUID, command: ReservePhone) -> ReserveResult:
    """Take one unit of the quota and insert the reservation that is AWAITING_PAYMENT.

    Raises asyncpg.UniqueViolationError (ACTIVE_CONSTRAINT) for two concurrent reservations of a model by one member.
    """
    row = await session.one(
        _RESERVE,
        reservation_id=reservation_id,
        payment_id=payment_id,
        product_id=command.product_id,
        member_id=command.caller.member_id,
        address=command.address,
        expected_price=command.expected_price,
    )
    assert row is not None
    return ReserveResult(row)


def is_second_reservation(error: asyncpg.UniqueViolationError) -> bool:
    """Whether the error comes from two concurrent reservations of a model by one member."""
    return bool(error.constraint_name == ACTIVE_CONSTRAINT)


_SETTLE = Statement(f"""
    with settled as (
      update preorder_reservations.reservations set status = cast(:to as text), reason = :reason, paid_at = :paid_at,
        {SETTLE_PAYMENT},
        modified_at = now(), version = version + 1
      where reservation_id = :reservation_id and status = 'AWAITING_PAYMENT' returning *),
    freed as (
      update preorder_reservations.quotas q set taken = q.taken - 1 from settled s
      where q.product_id = s.product_id and s.status <> 'CONFIRMED')
    select * from settled""")  # noqa: S608 - a constant


async def settle(session: Session, reservation_id: UUID, settled: Settlement[ReservationStatus]) -> Reservation | None:
    """Set the outcome of a reservation that is AWAITING_PAYMENT, and free its unit unless it is CONFIRMED.

    None when it was settled before.
    """
    row = await session.one(_SETTLE, reservation_id=reservation_id, **settled.values())
    return reservation_of(row) if row else None


# -- cancelling

_LOCK = Statement("select * from preorder_reservations.reservations where reservation_id = :reservation_id for update")


async def lock(session: Session, reservation_id: UUID) -> Reservation | None:
    """A reservation, locked until this transaction ends; None when there is none."""
    row = await session.one(_LOCK, reservation_id=reservation_id)
    return reservation_of(row) if row else None


_CANCEL_UNPAID = Statement("""
    update preorder_reservations.reservations set status = 'CANCELLING', reason = :reason, called_off = true,
      payment_status = case when payment_version > 0 then payment_status else 'VOIDING' end,
      modified_at = now(), version = version + 1
    where reservation_id = :reservation_id and status = 'AWAITING_PAYMENT' returning *""")


async def cancel_unpaid(session: Session, reservation_id: UUID, reason: str) -> Reservation | None:
    """Set a reservation to CANCELLING while its payment is pending; None when it is not AWAITING_PAYMENT."""
    row = await session.one(_CANCEL_UNPAID, reservation_id=reservation_id, reason=reason)
    return reservation_of(row) if row else None


_CANCEL = Statement(f"""
    update preorder_reservations.reservations set status = 'CANCELLING', reason = :reason,
      {BEGIN_REFUND},
      modified_at = now(), version = version + 1
    where reservation_id = :reservation_id and status = 'CONFIRMED' returning *""")  # noqa: S608 - a constant


async def cancel(session: Session, reservation_id: UUID, refund_id: UUID, reason: str) -> Reservation | None:
    """Set a paid reservation to CANCELLING, and store the pending refund; None when it is not CONFIRMED."""
    row = await session.one(_CANCEL, reservation_id=reservation_id, refund_id=refund_id, reason=reason)
    return reservation_of(row) if row else None


_END = Statement("""
    with ended as (
      update preorder_reservations.reservations set status = 'CANCELLED', modified_at = now(), version = version + 1
      where reservation_id = :reservation_id and status = 'CANCELLING'
        and case when called_off then payment_status in ('VOIDED', 'DECLINED', 'REFUNDED')
          else refund_status = 'REFUNDED' and receipt_status = 'VOIDED' end
      returning *),
    freed as (
      update preorder_reservations.quotas q set taken = q.taken - 1 from ended e where q.product_id = e.product_id)
    select * from ended""")


async def end_cancelling(session: Session, reservation_id: UUID) -> Reservation | None:
    """Set a reservation to CANCELLED and free its unit, if payment and receipt are undone; None when they are not."""
    row = await session.one(_END, reservation_id=reservation_id)
    return reservation_of(row) if row else None


# -- states of receipts and products

_NOTE_RECEIPT = Statement("""
    update preorder_reservations.reservations
    set receipt_id = :receipt_id, receipt_status = :status, receipt_issued_at = :issued_at,
      expected_delivery = :expected_delivery, receipt_version = :version
    where reservation_id = :reservation_id and receipt_version <= :version returning reservation_id""")


async def note_receipt(session: Session, receipt: ReceiptState) -> UUID | None:
    """Store the newest state of a receipt; the id of its reservation, None for an older version."""
    reservation_id: UUID | None = await session.value(
        _NOTE_RECEIPT,
        reservation_id=receipt.reservation_id,
        receipt_id=receipt.receipt_id,
        status=receipt.status,
        issued_at=receipt.issued_at,
        expected_delivery=receipt.expected_delivery,
        version=receipt.version,
    )
    return reservation_id


_PROJECT_PRODUCT = Statement("""
    with projected as (
      insert into preorder_reservations.products as existing
        (product_id, name, price, quota, status, registered_by, created_at, modified_at, version)
      values (:product_id, :name, :price, :quota, :status, :registered_by, :created_at, :modified_at, :version)
      on conflict (product_id) do update set name = excluded.name, price = excluded.price,
        quota = excluded.quota, status = excluded.status,
        modified_at = excluded.modified_at, version = excluded.version
        where existing.version < excluded.version)
    insert into preorder_reservations.quotas (product_id) values (:product_id) on conflict do nothing""")


async def project_product(session: Session, product: ProductState) -> None:
    """Project the newest state of a model; an older version never replaces it."""
    fields = {name: getattr(product, name) for name in ProductState.model_fields}
    await session.one(_PROJECT_PRODUCT, **fields)


# -- queries

_FIND = Statement("select * from preorder_reservations.reservations where reservation_id = :reservation_id")


async def find(session: Session, reservation_id: UUID) -> tuple[Reservation, bool] | None:
    """A reservation, and whether it was cancelled while its payment was pending; None when there is none."""
    row = await session.one(_FIND, reservation_id=reservation_id)
    return (reservation_of(row), row["called_off"]) if row else None


async def find_with_address(session: Session, reservation_id: UUID) -> ReservationWithAddress | None:
    """A reservation with its address; None when there is none."""
    row = await session.one(_FIND, reservation_id=reservation_id)
    return _with_address(row) if row else None


_NEWEST = paging.Newest(
    ReservationWithAddress,
    "preorder_reservations.reservations",
    "reservation_id",
    filters=("member_id", "status"),
    make=_with_address,
)


async def newest(session: Session, query: ListReservations) -> Page[ReservationWithAddress]:
    """One page of reservations, newest first."""
    return await _NEWEST.page(session, query)


_FREE = Statement("""
    select p.product_id, greatest(0, p.quota - q.taken) * (p.status = 'OPEN')::int as free
    from preorder_reservations.products p join preorder_reservations.quotas q using (product_id)
    where p.product_id = any(cast(:product_ids as uuid[])) and p.quota is not null""")


async def count_free(session: Session, product_ids: list[UUID]) -> FreeCounts:
    """The rest of some models' quotas; models without a quota, and unknown models, are left out."""
    rows = await session.all(_FREE, product_ids=product_ids)
    return FreeCounts(counts=[FreeCount.model_validate(dict(row)) for row in rows])
