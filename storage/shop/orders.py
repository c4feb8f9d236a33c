"""Shop: orders, who confirmed their payments, and a copy of the products."""

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
    """An order from its row, with the parts that others told of."""
    fields = dict(row)
    fields["transfer"] = {
        "transfer_id": fields["transfer_id"],
        "status": fields["transfer_status"],
        "amount": fields["total"],
        "bank_account": fields["bank_account"],
        "reference": fields["reference"],
        "deadline": fields["transfer_deadline"],
        "refund_owed": fields["refund_owed"],
    }
    if fields["delivery_id"] is not None:
        fields["delivery"] = {"delivery_id": fields["delivery_id"], "status": fields["delivery_status"]}
    return Order.model_validate(fields)


# -- ordering

_PLACE = Statement("""
    with product as (
      select product_id, price, status from shop_orders.products where product_id = :product_id),
    made as (
      insert into shop_orders.orders (order_id, member_id, product_id, quantity, unit_price, total, status,
        transfer_id, bank_account, reference, transfer_deadline)
      select :order_id, :member_id, product_id, cast(:quantity as integer), price,
        price * cast(:quantity as integer), 'ORDER_PLACED',
        :transfer_id, :bank_account, :reference, now() + cast(:patience as interval)
      from product where status = 'ON_SALE' returning *)
    select made.*, exists (select from product) as known from (select 1) one left join made on true""")


async def place(
    session: Session,
    order_id: UUID,
    command: PlaceOrder,
    *,
    transfer_id: UUID,
    bank_account: str,
    reference: str,
    patience: timedelta,
) -> tuple[Order | None, bool]:
    """Write an order at the product's price of now: no order when it is not on sale, and whether it is known."""
    row = await session.one(
        _PLACE,
        order_id=order_id,
        member_id=command.caller.member_id,
        product_id=command.product_id,
        quantity=command.quantity,
        transfer_id=transfer_id,
        bank_account=bank_account,
        reference=reference,
        patience=patience,
    )
    assert row is not None
    return order_of(row) if row["order_id"] else None, row["known"]


# -- changing

_LOCK = Statement("select * from shop_orders.orders where order_id = :order_id for update")


async def lock(session: Session, order_id: UUID) -> Order | None:
    """An order that nobody else changes until this transaction ends."""
    row = await session.one(_LOCK, order_id=order_id)
    return order_of(row) if row else None


_LOCK_FOR = Statement("""
    select o.*, c.round as confirmed_round from shop_orders.orders o
    left join shop_orders.confirmations c on c.confirmation_id = :confirmation_id and c.order_id = o.order_id
    where o.order_id = :order_id for update of o""")


async def lock_for(session: Session, confirmation_id: UUID, order_id: UUID) -> tuple[Order, int | None] | None:
    """As `lock`, with the round that this confirmation is about; None for one that is only coming."""
    row = await session.one(_LOCK_FOR, confirmation_id=confirmation_id, order_id=order_id)
    return (order_of(row), row["confirmed_round"]) if row else None


def _move(changes: str, guard: str) -> Statement:
    """A change of an order that stands where it must, else of nothing."""
    return Statement(f"""
        update shop_orders.orders set {changes}, modified_at = now(), version = version + 1
        where order_id = :order_id and {guard} returning *""")  # noqa: S608 - both parts are constants of this module


async def _moved(session: Session, move: Statement, **values: Any) -> Order | None:
    row = await session.one(move, **values)
    return order_of(row) if row else None


_OPEN = "status in ('ORDER_PLACED', 'AWAITING_PAYMENT')"

_CANCEL = _move("status = 'ORDER_CANCELLED', reason = :reason, cancelled_by = :by", _OPEN)


async def cancel(session: Session, order_id: UUID, by: CancelledBy, reason: str) -> Order | None:
    """Cancel an order whose payment nobody has confirmed; None for any other."""
    return await _moved(session, _CANCEL, order_id=order_id, by=by.value, reason=reason)


_EXPIRE = _move(
    "status = 'ORDER_CANCELLED', reason = 'deadline_passed', cancelled_by = 'DEADLINE'", f"{_OPEN} and round = :round"
)


async def expire(session: Session, order_id: UUID, round: int) -> Order | None:
    """The deadline of a round is over; None when the order went on, or has another round."""
    return await _moved(session, _EXPIRE, order_id=order_id, round=round)


_REMIND = _move("reminded_at = now()", f"{_OPEN} and round = :round and reminded_at is null")


async def remind(session: Session, order_id: UUID, round: int) -> Order | None:
    return await _moved(session, _REMIND, order_id=order_id, round=round)


_REVIVE = _move(
    """status = 'AWAITING_PAYMENT', reason = null, cancelled_by = null, reminded_at = null, round = round + 1,
    transfer_deadline = now() + cast(:patience as interval)""",
    "cancelled_by in ('DEADLINE', 'STOCK')",
)


async def revive(session: Session, order_id: UUID, patience: timedelta) -> Order | None:
    """A new round, with a new deadline; None unless the deadline or the stock had cancelled the order."""
    return await _moved(session, _REVIVE, order_id=order_id, patience=patience)


# -- confirming the payment

_NOTE_CONFIRMATION = Statement("""
    insert into shop_orders.confirmations (confirmation_id, order_id, round, seller, amount, depositor)
    values (:confirmation_id, :order_id, :round, :seller, :amount, :depositor) on conflict do nothing returning 1""")


async def note_confirmation(session: Session, confirmation_id: UUID, command: ConfirmPayment, round: int) -> None:
    """Keep what a seller said, and of which round."""
    await session.value(
        _NOTE_CONFIRMATION,
        confirmation_id=confirmation_id,
        order_id=command.order_id,
        round=round,
        seller=command.caller.member_id,
        amount=command.amount,
        depositor=command.depositor,
    )


_BEGIN = _move("status = 'CONFIRMING', money_came = true", _OPEN)


async def begin_confirming(session: Session, order_id: UUID) -> Order | None:
    """From now on the order cannot be cancelled; None when somebody else decided before."""
    return await _moved(session, _BEGIN, order_id=order_id)


_OF_CONFIRMATION = """status = 'CONFIRMING' and round =
    (select c.round from shop_orders.confirmations c where c.confirmation_id = :confirmation_id)"""
_CONFIRM = _move("status = 'PAYMENT_CONFIRMED'", _OF_CONFIRMATION)
_CALL_OFF = _move("status = 'PAYMENT_CANCELLED', reason = :reason, cancelled_by = 'STOCK'", _OF_CONFIRMATION)


async def confirm(session: Session, order_id: UUID, confirmation_id: UUID) -> Order | None:
    """The stock is taken; None when another handling has settled this round."""
    return await _moved(session, _CONFIRM, order_id=order_id, confirmation_id=confirmation_id)


async def call_off(session: Session, order_id: UUID, confirmation_id: UUID, reason: str) -> Order | None:
    """There is no stock; None when another handling has settled this round."""
    return await _moved(session, _CALL_OFF, order_id=order_id, confirmation_id=confirmation_id, reason=reason)


_NOTE_MONEY = _move("money_came = true", "status = 'ORDER_CANCELLED' and not money_came")


async def note_money(session: Session, order_id: UUID) -> Order | None:
    """The money came for an order that is cancelled; None when that is known."""
    return await _moved(session, _NOTE_MONEY, order_id=order_id)


# -- what payments and deliveries told

_NOTE_TRANSFER = Statement("""
    update shop_orders.orders set transfer_status = :status, transfer_version = :version
    where order_id = :order_id and transfer_version < :version""")

_AWAIT = _move("status = 'AWAITING_PAYMENT'", "status = 'ORDER_PLACED'")


async def note_transfer(session: Session, transfer: TransferState) -> Order | None:
    """Keep how a transfer stands; the order, if payments' record was all that it waited for."""
    values = {"status": transfer.status.value, "version": transfer.version}
    await session.value(_NOTE_TRANSFER, order_id=transfer.order_id, **values)
    return await _moved(session, _AWAIT, order_id=transfer.order_id)


_NOTE_DELIVERY = Statement("""
    update shop_orders.orders set delivery_id = :delivery_id, delivery_status = :status, delivery_version = :version
    where order_id = :order_id and delivery_version < :version""")


async def note_delivery(session: Session, delivery: DeliveryState) -> None:
    """Keep how a delivery stands."""
    await session.value(
        _NOTE_DELIVERY,
        order_id=delivery.order_id,
        delivery_id=delivery.delivery_id,
        status=delivery.status.value,
        version=delivery.version,
    )


_PREPARE = _move("status = 'PREPARING'", "status = 'PAYMENT_CONFIRMED'")
_DELIVER = _move(
    "status = 'DELIVERING', receipt_deadline = now() + cast(:patience as interval)",
    "status in ('PAYMENT_CONFIRMED', 'PREPARING')",
)
_CLOSE = _move("status = 'CLOSED', reason = :reason", "status = 'DELIVERING'")


async def prepare(session: Session, order_id: UUID) -> Order | None:
    return await _moved(session, _PREPARE, order_id=order_id)


async def deliver(session: Session, order_id: UUID, patience: timedelta) -> Order | None:
    """It is on its way, also when the news of its preparation comes later; None when that is known."""
    return await _moved(session, _DELIVER, order_id=order_id, patience=patience)


async def close(session: Session, order_id: UUID, reason: str | None = None) -> Order | None:
    """It was received; None when it is not on its way."""
    return await _moved(session, _CLOSE, order_id=order_id, reason=reason)


_COPY = Statement("""
    insert into shop_orders.products as mine
      (product_id, name, price, stock, status, registered_by, created_at, modified_at, version)
    values (:product_id, :name, :price, :stock, :status, :registered_by, :created_at, :modified_at, :version)
    on conflict (product_id) do update set name = excluded.name, price = excluded.price, stock = excluded.stock,
      status = excluded.status, modified_at = excluded.modified_at, version = excluded.version
      where mine.version < excluded.version""")


async def copy_product(session: Session, product: ProductState) -> None:
    """Keep the newest state of a product; an older one never replaces it."""
    await session.value(_COPY, **{name: getattr(product, name) for name in ProductState.model_fields})


# -- looking

_FIND = Statement("select * from shop_orders.orders where order_id = :order_id")


async def find(session: Session, order_id: UUID) -> Order | None:
    row = await session.one(_FIND, order_id=order_id)
    return order_of(row) if row else None


_NEWEST = """
    select * from shop_orders.orders
    where {whose} (cast(:status as text) is null or status = :status)
      and (cast(:at as timestamptz) is null or (created_at, order_id) < (:at, cast(:id as uuid)))
    order by created_at desc, order_id desc limit :most"""
_NEWEST_OF_ALL = Statement(_NEWEST.format(whose=""))
_NEWEST_OF_MEMBER = Statement(_NEWEST.format(whose="member_id = :member_id and"))


async def newest(session: Session, query: ListOrders) -> Page[Order]:
    at, id = paging.decode(query.cursor)
    place: dict[str, Any] = {"status": query.status, "at": at, "id": id, "most": query.limit + 1}
    if query.member_id is None:
        rows = await session.all(_NEWEST_OF_ALL, **place)
    else:
        rows = await session.all(_NEWEST_OF_MEMBER, member_id=query.member_id, **place)
    items, cursor = paging.page(rows, query.limit, order_of, lambda one: (one.created_at, one.order_id))
    return Page[Order](items=items, next_cursor=cursor)
