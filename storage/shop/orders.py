"""Shop: orders, the sellers' confirmations of payment, and a projection of the products."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from contracts.base import Page
from contracts.shop.deliveries import DeliveryState
from contracts.shop.orders import CancelledBy, ConfirmPayment, ListOrders, Order, PlaceOrder
from contracts.shop.products import ProductState
from contracts.transfers import TransferState
from storage import paging
from storage.database import Row, Session, Statement


def order_of(row: Row) -> Order:
    """An order from its row, with its transfer, and its delivery if an event of it has arrived."""
    fields = dict(row)
    fields["transfer"] = {
        "transfer_id": fields["transfer_id"],
        "status": fields["transfer_status"],
        "amount": fields["total"],
        "bank_account": fields["bank_account"],
        "reference": fields["reference"],
        "deadline": fields["transfer_deadline"],
        "refund_owed": fields["refund_owed"],
        "returned_at": fields["returned_at"],
        "returned_amount": fields["total"] if fields["returned_at"] else None,
        "refund_account_last4": fields["refund_account_last4"],
    }
    if fields["delivery_id"] is not None:
        fields["delivery"] = {"delivery_id": fields["delivery_id"], "status": fields["delivery_status"]}
    return Order.model_validate(fields)


# -- ordering

_PLACE = Statement("""
    with product as (
      select product_id, price, status from shop_orders.products where product_id = :product_id),
    inserted as (
      insert into shop_orders.orders (order_id, member_id, product_id, quantity, unit_price, total, status,
        transfer_id, bank_account, reference, transfer_deadline)
      select :order_id, :member_id, product_id, cast(:quantity as integer), price,
        price * cast(:quantity as integer), 'ORDER_PLACED',
        :transfer_id, :bank_account, :reference, now() + cast(:transfer_time as interval)
      from product where status = 'ON_SALE'
        and price * cast(:quantity as integer) = coalesce(cast(:expected_price as bigint), price * :quantity)
      returning *)
    select inserted.*, p.status as product_status, p.price * cast(:quantity as integer) as price_now
    from (select 1) one left join product p on true left join inserted on true""")


class PlaceResult:
    """The result of `place`: the order, or None with the reasons; `product_status` is None for an unknown product."""

    __slots__ = ("order", "price", "product_status")

    def __init__(self, row: Row) -> None:
        self.product_status: str | None = row["product_status"]
        self.price: int = row["price_now"]
        """What the order costs now, in won."""
        self.order = order_of(row) if row["order_id"] else None


async def place(
    session: Session,
    order_id: UUID,
    command: PlaceOrder,
    *,
    transfer_id: UUID,
    bank_account: str,
    reference: str,
    transfer_time: timedelta,
) -> PlaceResult:
    """Insert an order at the product's current price."""
    row = await session.one(
        _PLACE,
        order_id=order_id,
        member_id=command.caller.member_id,
        product_id=command.product_id,
        quantity=command.quantity,
        expected_price=command.expected_price,
        transfer_id=transfer_id,
        bank_account=bank_account,
        reference=reference,
        transfer_time=transfer_time,
    )
    assert row is not None
    return PlaceResult(row)


# -- changing an order

_LOCK = Statement("select * from shop_orders.orders where order_id = :order_id for update")


async def lock(session: Session, order_id: UUID) -> Order | None:
    """An order, locked until this transaction ends; None when there is none."""
    row = await session.one(_LOCK, order_id=order_id)
    return order_of(row) if row else None


_LOCK_WITH_CONFIRMATION = Statement("""
    select o.*, c.round as confirmed_round from shop_orders.orders o
    left join shop_orders.confirmations c on c.confirmation_id = :confirmation_id and c.order_id = o.order_id
    where o.order_id = :order_id for update of o""")


async def lock_with_confirmation(
    session: Session, confirmation_id: UUID, order_id: UUID
) -> tuple[Order, int | None] | None:
    """As `lock`, with the round that a stored confirmation belongs to (None for a new confirmation)."""
    row = await session.one(_LOCK_WITH_CONFIRMATION, confirmation_id=confirmation_id, order_id=order_id)
    return (order_of(row), row["confirmed_round"]) if row else None


def _transition(changes: str, guard: str) -> Statement:
    """A statement that changes an order which fulfils `guard`, and returns it."""
    return Statement(f"""
        update shop_orders.orders set {changes}, modified_at = now(), version = version + 1
        where order_id = :order_id and {guard} returning *""")  # noqa: S608 - both parts are constants of this module


async def _apply(session: Session, transition: Statement, **values: Any) -> Order | None:
    """Execute a transition; the changed order, None when its guard was not fulfilled."""
    row = await session.one(transition, **values)
    return order_of(row) if row else None


_OPEN = "status in ('ORDER_PLACED', 'AWAITING_PAYMENT')"

_CANCEL = _transition("status = 'ORDER_CANCELLED', reason = :reason, cancelled_by = :by", _OPEN)


async def cancel(session: Session, order_id: UUID, by: CancelledBy, reason: str) -> Order | None:
    """Cancel an order whose payment is not confirmed; None for any other."""
    return await _apply(session, _CANCEL, order_id=order_id, by=by.value, reason=reason)


_EXPIRE = _transition(
    "status = 'ORDER_CANCELLED', reason = 'deadline_passed', cancelled_by = 'DEADLINE'", f"{_OPEN} and round = :round"
)


async def expire(session: Session, order_id: UUID, round: int) -> Order | None:
    """Cancel an order at the deadline of a round; None when its payment was confirmed, or it has another round."""
    return await _apply(session, _EXPIRE, order_id=order_id, round=round)


_REMIND = _transition("reminded_at = now()", f"{_OPEN} and round = :round and reminded_at is null")


async def remind(session: Session, order_id: UUID, round: int) -> Order | None:
    """Record that the buyer was reminded in a round; None when that was done, or the order is not open any more."""
    return await _apply(session, _REMIND, order_id=order_id, round=round)


_REVIVE = _transition(
    """status = 'AWAITING_PAYMENT', reason = null, cancelled_by = null, reminded_at = null, round = round + 1,
    transfer_deadline = now() + cast(:transfer_time as interval)""",
    "cancelled_by in ('DEADLINE', 'STOCK')",
)


async def revive(session: Session, order_id: UUID, transfer_time: timedelta) -> Order | None:
    """Start a new round with a new deadline; None unless the order was cancelled by DEADLINE or STOCK."""
    return await _apply(session, _REVIVE, order_id=order_id, transfer_time=transfer_time)


# -- confirming the payment

_NOTE_CONFIRMATION = Statement("""
    insert into shop_orders.confirmations (confirmation_id, order_id, round, seller, amount, depositor)
    values (:confirmation_id, :order_id, :round, :seller, :amount, :depositor) on conflict do nothing returning 1""")


async def note_confirmation(session: Session, confirmation_id: UUID, command: ConfirmPayment, round: int) -> None:
    """Store a seller's confirmation with the round that it belongs to."""
    await session.value(
        _NOTE_CONFIRMATION,
        confirmation_id=confirmation_id,
        order_id=command.order_id,
        round=round,
        seller=command.caller.member_id,
        amount=command.amount,
        depositor=command.depositor,
    )


_BEGIN = _transition("status = 'CONFIRMING', money_came = true", _OPEN)


async def begin_confirming(session: Session, order_id: UUID) -> Order | None:
    """Set an order to CONFIRMING, after which it cannot be cancelled; None when it is not open."""
    return await _apply(session, _BEGIN, order_id=order_id)


_OF_CONFIRMATION = """status = 'CONFIRMING' and round =
    (select c.round from shop_orders.confirmations c where c.confirmation_id = :confirmation_id)"""
_CONFIRM = _transition("status = 'PAYMENT_CONFIRMED'", _OF_CONFIRMATION)
_CANCEL_OUT_OF_STOCK = _transition(
    "status = 'PAYMENT_CANCELLED', reason = :reason, cancelled_by = 'STOCK'", _OF_CONFIRMATION
)


async def confirm(session: Session, order_id: UUID, confirmation_id: UUID) -> Order | None:
    """Set an order to PAYMENT_CONFIRMED; None when another handling has settled the confirmation's round."""
    return await _apply(session, _CONFIRM, order_id=order_id, confirmation_id=confirmation_id)


async def cancel_out_of_stock(session: Session, order_id: UUID, confirmation_id: UUID, reason: str) -> Order | None:
    """Set an order to PAYMENT_CANCELLED for lack of stock; None when another handling has settled the round."""
    return await _apply(
        session, _CANCEL_OUT_OF_STOCK, order_id=order_id, confirmation_id=confirmation_id, reason=reason
    )


_NOTE_LATE_TRANSFER = _transition("money_came = true", "status = 'ORDER_CANCELLED' and not money_came")


async def note_late_transfer(session: Session, order_id: UUID) -> Order | None:
    """Record that the money arrived for a cancelled order; None when it is not cancelled, or that is recorded."""
    return await _apply(session, _NOTE_LATE_TRANSFER, order_id=order_id)


# -- states of transfers, deliveries and products

_NOTE_TRANSFER = Statement("""
    update shop_orders.orders set transfer_status = :status, transfer_version = :version,
      returned_at = :returned_at, refund_account_last4 = :refund_account_last4
    where order_id = :order_id and transfer_version < :version""")

_AWAIT = _transition("status = 'AWAITING_PAYMENT'", "status = 'ORDER_PLACED'")


async def note_transfer(session: Session, transfer: TransferState) -> Order | None:
    """Store the newest status of a transfer; returns the order if this changes it to AWAITING_PAYMENT."""
    values = {
        "status": transfer.status.value,
        "version": transfer.version,
        "returned_at": transfer.returned_at,
        "refund_account_last4": transfer.refund_account_last4,
    }
    await session.value(_NOTE_TRANSFER, order_id=transfer.order_id, **values)
    return await _apply(session, _AWAIT, order_id=transfer.order_id)


_NOTE_RETURN = _transition("money_came = false", "money_came and round >= :round")


async def note_return(session: Session, transfer: TransferState) -> Order | None:
    """Record that the money has gone back; None when that is recorded."""
    return await _apply(session, _NOTE_RETURN, order_id=transfer.order_id, round=transfer.returned_round)


_NOTE_DELIVERY = Statement("""
    update shop_orders.orders set delivery_id = :delivery_id, delivery_status = :status, delivery_version = :version
    where order_id = :order_id and delivery_version < :version""")


async def note_delivery(session: Session, delivery: DeliveryState) -> None:
    """Store the newest status of a delivery."""
    await session.value(
        _NOTE_DELIVERY,
        order_id=delivery.order_id,
        delivery_id=delivery.delivery_id,
        status=delivery.status.value,
        version=delivery.version,
    )


_PREPARE = _transition("status = 'PREPARING'", "status = 'PAYMENT_CONFIRMED'")
_DELIVER = _transition(
    "status = 'DELIVERING', receipt_deadline = now() + cast(:receipt_time as interval)",
    "status in ('PAYMENT_CONFIRMED', 'PREPARING')",
)
_CLOSE = _transition("status = 'CLOSED', reason = :reason", "status = 'DELIVERING'")


async def prepare(session: Session, order_id: UUID) -> Order | None:
    """Set an order to PREPARING; None when it is not PAYMENT_CONFIRMED."""
    return await _apply(session, _PREPARE, order_id=order_id)


async def deliver(session: Session, order_id: UUID, receipt_time: timedelta) -> Order | None:
    """Set an order to DELIVERING, from PREPARING or (if that event is still missing) PAYMENT_CONFIRMED; else None."""
    return await _apply(session, _DELIVER, order_id=order_id, receipt_time=receipt_time)


async def close(session: Session, order_id: UUID, reason: str | None = None) -> Order | None:
    """Set an order to CLOSED; None when it is not DELIVERING."""
    return await _apply(session, _CLOSE, order_id=order_id, reason=reason)


_PROJECT_PRODUCT = Statement("""
    insert into shop_orders.products as existing
      (product_id, name, price, stock, status, registered_by, created_at, modified_at, version)
    values (:product_id, :name, :price, :stock, :status, :registered_by, :created_at, :modified_at, :version)
    on conflict (product_id) do update set name = excluded.name, price = excluded.price, stock = excluded.stock,
      status = excluded.status, modified_at = excluded.modified_at, version = excluded.version
      where existing.version < excluded.version""")


async def project_product(session: Session, product: ProductState) -> None:
    """Project the newest state of a product; an older version never replaces it."""
    await session.value(_PROJECT_PRODUCT, **{name: getattr(product, name) for name in ProductState.model_fields})


# -- queries

_FIND = Statement("select * from shop_orders.orders where order_id = :order_id")


async def find(session: Session, order_id: UUID) -> Order | None:
    """An order; None when there is none."""
    row = await session.one(_FIND, order_id=order_id)
    return order_of(row) if row else None


_NEWEST = paging.Newest(Order, "shop_orders.orders", "order_id", filters=("member_id", "status"), make=order_of)


async def newest(session: Session, query: ListOrders) -> Page[Order]:
    """One page of orders, newest first."""
    return await _NEWEST.page(session, query)
