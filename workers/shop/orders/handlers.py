"""Shop: take orders around the clock, see the money, take the stock, close.

PlaceOrder     -> OrderPlaced, AwaitTransfer -> PaymentAwaited          (payments has its record)
ConfirmPayment -> ConfirmationStarted -> TakeStock -> PaymentConfirmed, ConfirmTransfer
                                                   -> PaymentCancelled, CancelTransfer, ReturnStock   (out of stock)
                                                   -> still CONFIRMING: goes on by itself             (no answer)
               -> LateTransferNoted, CancelTransfer                     (the order is cancelled)
CancelOrder, ExpireOrder -> OrderCancelled, CancelTransfer
ReviveOrder    -> OrderRevived, AwaitTransfer
DeliveryPrepared -> OrderPreparing,  DeliveryStarted -> OrderDelivering
ConfirmReceipt, CloseOrder -> OrderClosed
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from contracts.base import Caller, Page, Refused
from contracts.outcomes import Outcome
from contracts.shop.deliveries import DeliveryCompleted, DeliveryPrepared, DeliveryStarted
from contracts.shop.orders import (
    BuyerReminded,
    CancelledBy,
    CancelOrder,
    CloseOrder,
    ConfirmationStarted,
    ConfirmPayment,
    ConfirmReceipt,
    ExpireOrder,
    LateTransferNoted,
    ListOrders,
    Order,
    OrderCancelled,
    OrderClosed,
    OrderDelivering,
    OrderEvent,
    OrderPlaced,
    OrderPreparing,
    OrderRevived,
    PaymentAwaited,
    PaymentCancelled,
    PaymentConfirmed,
    PlaceOrder,
    RemindBuyer,
    ReviveOrder,
    ShowOrder,
)
from contracts.shop.products import (
    ProductChanged,
    ProductRegistered,
    ProductRestocked,
    ReturnStock,
    StockReturned,
    StockTake,
    StockTaken,
    TakeStock,
)
from contracts.shop.states import OrderStatus
from contracts.transfers import (
    AwaitTransfer,
    CancelTransfer,
    ConfirmTransfer,
    TransferAwaited,
    TransferCancelled,
    TransferCommand,
    TransferConfirmed,
)
from storage.database import Session
from storage.shop import orders as store
from workers.runtime.processing.tx import NoReply, Request, RetryableNotFound, RunAgain, Tx
from workers.runtime.worker import Worker
from workers.shop.orders import rules
from workers.shop.orders.rules import Confirmation

worker = orders = Worker("shop.orders", sends=(AwaitTransfer, CancelTransfer, ConfirmTransfer, ReturnStock, TakeStock))

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0


def say(tx: Tx, event: type[OrderEvent], order: Order) -> None:
    tx.publish(event.of(order, order_status=order.status))


def tell_payments(tx: Tx, command: type[TransferCommand], order: Order) -> None:
    """Payments' record follows the order; its version says which of two commands is the newer."""
    tx.publish(
        command(
            transfer_id=order.transfer_id,
            order_id=order.order_id,
            order_status=order.status,
            order_version=order.version,
            round=order.round,
            member_id=order.member_id,
            amount=order.total,
            bank_account=order.bank_account,
            reference=order.reference,
            deadline=order.transfer_deadline,
            refund_owed=order.refund_owed,
            reason=order.reason,
        )
    )


def await_money(tx: Tx, order: Order) -> None:
    """Payments is told, and the clock of this round runs."""
    tell_payments(tx, AwaitTransfer, order)
    patience = tx.settings.transfer_time
    round = {"order_id": order.order_id, "round": order.round}
    tx.schedule(RemindBuyer(**round), after=rules.remind_after(patience))
    tx.schedule(ExpireOrder(**round), after=patience)


async def locked(tx: Tx, order_id: UUID, caller: Caller) -> Order:
    """The caller's order, held until the step ends; raises Refused (`not_found`)."""
    order = await store.lock(tx, order_id)
    if order is None or not caller.may_see(order.member_id):
        raise Refused("not_found")
    return order


# -- ordering


@orders.handles(PlaceOrder)
async def place_order(command: PlaceOrder, tx: Tx) -> Order:
    order, known = await store.place(
        tx,
        tx.id,
        command,
        transfer_id=uuid5(tx.id, "transfer"),
        bank_account=tx.settings.shop_bank_account,
        reference=rules.reference(tx.id),
        patience=tx.settings.transfer_time,
    )
    if order is None:
        raise Refused("product_not_on_sale") if known else RetryableNotFound()
    say(tx, OrderPlaced, order)
    await_money(tx, order)
    return order


async def note_transfer(event: Any, tx: Tx) -> None:
    order = await store.note_transfer(tx, event)
    if order is not None:
        say(tx, PaymentAwaited, order)


for transfer_event in (TransferAwaited, TransferConfirmed, TransferCancelled):
    orders.handles(transfer_event)(note_transfer)


# -- confirming the payment


# Without `requests=`: a seller's word is taken while products is away, too, and the order goes on when it is back.
@orders.handles(ConfirmPayment)
async def confirm_payment(command: ConfirmPayment, tx: Tx) -> Order | Request | Refused:
    found = await store.lock_for(tx, tx.id, command.order_id)
    if found is None:
        raise Refused("not_found")
    order, round = found
    todo = rules.confirmation(order, command.amount, round)
    if isinstance(todo, Refused) or todo is Confirmation.DONE:
        return todo if isinstance(todo, Refused) else order
    if todo is Confirmation.LATE:
        return await _money_came_late(tx, order)
    if todo is Confirmation.BEGIN:
        begun = await store.begin_confirming(tx, order.order_id)
        assert begun is not None  # the row is locked
        say(tx, ConfirmationStarted, begun)
        order = begun
    await store.note_confirmation(tx, tx.id, command, order.round)
    take = TakeStock(product_id=order.product_id, order_id=order.order_id, round=order.round, quantity=order.quantity)
    return tx.request(take, within=tx.settings.shop_stock_ms / 1000)


async def _money_came_late(tx: Tx, order: Order) -> Refused:
    noted = await store.note_money(tx, order.order_id)
    if noted is not None:
        say(tx, LateTransferNoted, noted)
        tell_payments(tx, CancelTransfer, noted)
    return rules.too_late(order)


@confirm_payment.then
async def settle_confirmation(
    command: ConfirmPayment, outcome: StockTake | Refused | NoReply, tx: Tx
) -> Order | Refused | RunAgain:
    match outcome:
        case StockTake():
            order = await store.confirm(tx, command.order_id, tx.id)
            if order is not None:
                say(tx, PaymentConfirmed, order)
                tell_payments(tx, ConfirmTransfer, order)
                return order
        case Refused():
            order = await store.call_off(tx, command.order_id, tx.id, outcome.code)
            if order is not None:
                say(tx, PaymentCancelled, order)
                tell_payments(tx, CancelTransfer, order)
                tx.publish(_return_of(order, order.round))
                return rules.settled(order)
    order = await store.find(tx, command.order_id)
    assert order is not None
    if isinstance(outcome, StockTake) and order.status not in rules.PAID:
        tx.publish(_return_of(order, outcome.round))
    if isinstance(outcome, Outcome) and order.status is OrderStatus.CONFIRMING:
        return RunAgain(tx.backoff(FIRST_DELAY, LONGEST_DELAY), meanwhile=rules.refusal("still_confirming", order))
    return rules.settled(order)


def _return_of(order: Order, round: int) -> ReturnStock:
    return ReturnStock(product_id=order.product_id, order_id=order.order_id, order_status=order.status, round=round)


# -- cancelling and reviving


@orders.handles(CancelOrder)
async def cancel_order(command: CancelOrder, tx: Tx) -> Order:
    order = await locked(tx, command.order_id, command.caller)
    if order.status is OrderStatus.ORDER_CANCELLED:
        return order
    by = CancelledBy.STAFF if command.caller.is_staff else CancelledBy.MEMBER
    cancelled = await store.cancel(tx, order.order_id, by, command.reason or f"cancelled_by_{by.lower()}")
    if cancelled is None:
        raise rules.refusal("wrong_state", order)
    _cancelled(tx, cancelled)
    return cancelled


@orders.handles(ExpireOrder)
async def expire_order(command: ExpireOrder, tx: Tx) -> None:
    order = await store.expire(tx, command.order_id, command.round)
    if order is not None:
        _cancelled(tx, order)


def _cancelled(tx: Tx, order: Order) -> None:
    say(tx, OrderCancelled, order)
    tell_payments(tx, CancelTransfer, order)


@orders.handles(RemindBuyer)
async def remind_buyer(command: RemindBuyer, tx: Tx) -> None:
    order = await store.remind(tx, command.order_id, command.round)
    if order is not None:
        say(tx, BuyerReminded, order)


@orders.handles(ReviveOrder)
async def revive_order(command: ReviveOrder, tx: Tx) -> Order:
    order = await locked(tx, command.order_id, command.caller)
    if order.status is OrderStatus.AWAITING_PAYMENT and order.round > 1:
        return order
    revived = await store.revive(tx, order.order_id, tx.settings.transfer_time)
    if revived is None:
        raise rules.refusal("wrong_state", order)
    say(tx, OrderRevived, revived)
    await_money(tx, revived)
    return revived


# -- delivery and receipt


@orders.handles(DeliveryPrepared)
async def note_preparing(event: DeliveryPrepared, tx: Tx) -> None:
    await store.note_delivery(tx, event)
    order = await store.prepare(tx, event.order_id)
    if order is not None:
        say(tx, OrderPreparing, order)


@orders.handles(DeliveryStarted)
async def note_delivering(event: DeliveryStarted, tx: Tx) -> None:
    await store.note_delivery(tx, event)
    patience = tx.settings.receipt_time
    order = await store.deliver(tx, event.order_id, patience)
    if order is not None:
        say(tx, OrderDelivering, order)
        tx.schedule(CloseOrder(order_id=order.order_id), after=patience)


@orders.handles(DeliveryCompleted)
async def note_delivered(event: DeliveryCompleted, tx: Tx) -> None:
    await store.note_delivery(tx, event)


@orders.handles(ConfirmReceipt)
async def confirm_receipt(command: ConfirmReceipt, tx: Tx) -> Order:
    order = await locked(tx, command.order_id, command.caller)
    if order.member_id != command.caller.member_id:
        raise Refused("not_found")
    if order.status is OrderStatus.CLOSED:
        return order
    closed = await store.close(tx, order.order_id)
    if closed is None:
        raise rules.refusal("wrong_state", order)
    say(tx, OrderClosed, closed)
    return closed


@orders.handles(CloseOrder)
async def close_order(command: CloseOrder, tx: Tx) -> None:
    order = await store.close(tx, command.order_id, "receipt_not_confirmed")
    if order is not None:
        say(tx, OrderClosed, order)


# -- the products' news


async def note_product(event: Any, tx: Tx) -> None:
    await store.copy_product(tx, event)


for product_event in (ProductRegistered, ProductChanged, ProductRestocked, StockTaken, StockReturned):
    orders.handles(product_event)(note_product)


# -- looking


@orders.handles(ShowOrder)
async def show_order(query: ShowOrder, session: Session) -> Order:
    order = await store.find(session, query.order_id)
    if order is None or not query.caller.may_see(order.member_id):
        raise Refused("not_found")
    return order


@orders.handles(ListOrders)
async def list_orders(query: ListOrders, session: Session) -> Page[Order]:
    return await store.newest(session, query)
