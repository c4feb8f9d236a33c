"""Shop: orders, from placing through bank transfer and delivery to closing.

PlaceOrder     -> OrderPlaced, AwaitTransfer -> PaymentAwaited          (payments has stored the transfer)
ConfirmPayment -> ConfirmationStarted -> TakeStock -> PaymentConfirmed, ConfirmTransfer
                                                   -> PaymentCancelled, CancelTransfer, ReturnStock   (out of stock)
                                                   -> still CONFIRMING, the step is repeated          (no reply)
               -> LateTransferNoted, CancelTransfer                     (the order is cancelled)
CancelOrder, ExpireOrder -> OrderCancelled, CancelTransfer
ReviveOrder    -> OrderRevived, AwaitTransfer
TransferReturned -> PaymentReturned, CancelTransfer                     (what was owed is sent back)
DeliveryPrepared -> OrderPreparing,  DeliveryStarted -> OrderDelivering
ConfirmReceipt, CloseOrder -> OrderClosed
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from contracts.base import Caller, Page, Refused
from contracts.outcomes import Outcome
from contracts.refusals import NotFound, PriceChanged
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
    PaymentReturned,
    PlaceOrder,
    RemindBuyer,
    ReviveOrder,
    ShowOrder,
)
from contracts.shop.products import (
    ProductChanged,
    ProductRegistered,
    ProductRestocked,
    ProductStatus,
    ReturnStock,
    StockReturned,
    StockTake,
    StockTaken,
    TakeStock,
)
from contracts.shop.refusals import OrderStillConfirming, ProductNotOnSale
from contracts.shop.states import OrderStatus
from contracts.transfers import (
    AwaitTransfer,
    CancelTransfer,
    ConfirmTransfer,
    RefundAccountNamed,
    TransferAwaited,
    TransferCancelled,
    TransferCommand,
    TransferConfirmed,
    TransferReturned,
)
from storage.database import Session
from storage.shop import orders as store
from workers.runtime.processing.tx import NoReply, Request, Retryable, RetryableNotFound, RunAgain, Tx
from workers.runtime.worker import Worker
from workers.shop.orders import rules
from workers.shop.orders.rules import Confirmation
from workers.shop.settings import ShopSettings

worker = orders = Worker("shop.orders", sends=(AwaitTransfer, CancelTransfer, ConfirmTransfer, ReturnStock, TakeStock))

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0


def publish_event(tx: Tx, event: type[OrderEvent], order: Order) -> None:
    tx.publish(event.of(order, order_status=order.status))


def send_transfer_command(tx: Tx, command: type[TransferCommand], order: Order) -> None:
    """Send the order's transfer terms to payments; the order's version decides which of two commands is newer."""
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


def start_transfer_period(tx: Tx, order: Order) -> None:
    """Send the transfer to payments, and schedule the reminder and the deadline of this round."""
    send_transfer_command(tx, AwaitTransfer, order)
    transfer_time = tx.settings(ShopSettings).transfer_time
    round = {"order_id": order.order_id, "round": order.round}
    tx.schedule(RemindBuyer(**round), after=rules.remind_after(transfer_time))
    tx.schedule(ExpireOrder(**round), after=transfer_time)


async def locked(tx: Tx, order_id: UUID, caller: Caller) -> Order:
    """The caller's order, locked until the step ends; raises NotFound."""
    order = await store.lock(tx, order_id)
    if order is None or not caller.may_see(order.member_id):
        raise NotFound
    return order


# -- ordering


@orders.handles(PlaceOrder, replays=store.find)
async def place_order(command: PlaceOrder, tx: Tx) -> Order:
    placed = await store.place(
        tx,
        tx.id,
        command,
        transfer_id=uuid5(tx.id, "transfer"),
        bank_account=tx.settings(ShopSettings).shop_bank_account,
        reference=rules.reference(tx.id),
        transfer_time=tx.settings(ShopSettings).transfer_time,
    )
    order = placed.order
    if order is None:
        raise _place_refusal(placed, command.expected_price)
    publish_event(tx, OrderPlaced, order)
    start_transfer_period(tx, order)
    return order


def _place_refusal(placed: store.PlaceResult, expected_price: int | None) -> Refused:
    if placed.product_status is None:
        return RetryableNotFound()
    if placed.product_status == ProductStatus.ON_SALE and expected_price != placed.price:
        return Retryable(PriceChanged(price=placed.price))
    return ProductNotOnSale()


async def note_transfer(event: Any, tx: Tx) -> None:
    order = await store.note_transfer(tx, event)
    if order is not None:
        publish_event(tx, PaymentAwaited, order)


for transfer_event in (TransferAwaited, TransferConfirmed, TransferCancelled, RefundAccountNamed):
    orders.handles(transfer_event)(note_transfer)


@orders.handles(TransferReturned)
async def note_return(event: TransferReturned, tx: Tx) -> None:
    await store.note_transfer(tx, event)
    order = await store.note_return(tx, event)
    if order is not None:
        publish_event(tx, PaymentReturned, order)
        if order.status in rules.CANCELLED:  # payments may have been told meanwhile that it is owed
            send_transfer_command(tx, CancelTransfer, order)


# -- confirming the payment


# Not declared with `requests=`: the confirmation is accepted while products is down, and continues when it is up again.
@orders.handles(ConfirmPayment)
async def confirm_payment(command: ConfirmPayment, tx: Tx) -> Order | Request | Refused:
    found = await store.lock_with_confirmation(tx, tx.id, command.order_id)
    if found is None:
        raise NotFound
    order, round = found
    decision = rules.confirmation(order, command.amount, round)
    if isinstance(decision, Refused) or decision is Confirmation.DONE:
        return decision if isinstance(decision, Refused) else order
    if decision is Confirmation.LATE:
        return await _note_late_transfer(tx, order)
    if decision is Confirmation.BEGIN:
        begun = await store.begin_confirming(tx, order.order_id)
        assert begun is not None  # the row is locked
        publish_event(tx, ConfirmationStarted, begun)
        order = begun
    await store.note_confirmation(tx, tx.id, command, order.round)
    take = TakeStock(product_id=order.product_id, order_id=order.order_id, round=order.round, quantity=order.quantity)
    return tx.request(take, within=tx.settings(ShopSettings).shop_stock_ms / 1000)


async def _note_late_transfer(tx: Tx, order: Order) -> Refused:
    noted = await store.note_late_transfer(tx, order.order_id)
    if noted is not None:
        publish_event(tx, LateTransferNoted, noted)
        send_transfer_command(tx, CancelTransfer, noted)
    return rules.late_transfer_refusal(order)


@confirm_payment.then
async def settle_confirmation(
    command: ConfirmPayment, outcome: StockTake | Refused | NoReply, tx: Tx
) -> Order | Refused | RunAgain:
    match outcome:
        case StockTake():
            order = await store.confirm(tx, command.order_id, tx.id)
            if order is not None:
                publish_event(tx, PaymentConfirmed, order)
                send_transfer_command(tx, ConfirmTransfer, order)
                return order
        case Refused():
            order = await store.cancel_out_of_stock(tx, command.order_id, tx.id, outcome.code)
            if order is not None:
                publish_event(tx, PaymentCancelled, order)
                send_transfer_command(tx, CancelTransfer, order)
                tx.publish(_return_of(order, order.round))
                return rules.settled_answer(order)
    order = await store.find(tx, command.order_id)
    assert order is not None
    if isinstance(outcome, StockTake) and order.status not in rules.PAID:
        tx.publish(_return_of(order, outcome.round))
    if isinstance(outcome, Outcome) and order.status is OrderStatus.CONFIRMING:
        refusal = OrderStillConfirming(**rules.refusal_details(order))
        return RunAgain(tx.backoff(FIRST_DELAY, LONGEST_DELAY), meanwhile=refusal)
    return rules.settled_answer(order)


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
        raise rules.wrong_state(order)
    _publish_cancellation(tx, cancelled)
    return cancelled


@orders.handles(ExpireOrder)
async def expire_order(command: ExpireOrder, tx: Tx) -> None:
    order = await store.expire(tx, command.order_id, command.round)
    if order is not None:
        _publish_cancellation(tx, order)


def _publish_cancellation(tx: Tx, order: Order) -> None:
    publish_event(tx, OrderCancelled, order)
    send_transfer_command(tx, CancelTransfer, order)


@orders.handles(RemindBuyer)
async def remind_buyer(command: RemindBuyer, tx: Tx) -> None:
    order = await store.remind(tx, command.order_id, command.round)
    if order is not None:
        publish_event(tx, BuyerReminded, order)


@orders.handles(ReviveOrder)
async def revive_order(command: ReviveOrder, tx: Tx) -> Order:
    order = await locked(tx, command.order_id, command.caller)
    if order.status is OrderStatus.AWAITING_PAYMENT and order.round > 1:
        return order
    revived = await store.revive(tx, order.order_id, tx.settings(ShopSettings).transfer_time)
    if revived is None:
        raise rules.wrong_state(order)
    publish_event(tx, OrderRevived, revived)
    start_transfer_period(tx, revived)
    return revived


# -- delivery and receipt


@orders.handles(DeliveryPrepared)
async def note_preparing(event: DeliveryPrepared, tx: Tx) -> None:
    await store.note_delivery(tx, event)
    order = await store.prepare(tx, event.order_id)
    if order is not None:
        publish_event(tx, OrderPreparing, order)


@orders.handles(DeliveryStarted)
async def note_delivering(event: DeliveryStarted, tx: Tx) -> None:
    await store.note_delivery(tx, event)
    receipt_time = tx.settings(ShopSettings).receipt_time
    order = await store.deliver(tx, event.order_id, receipt_time)
    if order is not None:
        publish_event(tx, OrderDelivering, order)
        tx.schedule(CloseOrder(order_id=order.order_id), after=receipt_time)


@orders.handles(DeliveryCompleted)
async def note_delivered(event: DeliveryCompleted, tx: Tx) -> None:
    await store.note_delivery(tx, event)


@orders.handles(ConfirmReceipt)
async def confirm_receipt(command: ConfirmReceipt, tx: Tx) -> Order:
    order = await locked(tx, command.order_id, command.caller)
    if order.member_id != command.caller.member_id:
        raise NotFound
    if order.status is OrderStatus.CLOSED:
        return order
    closed = await store.close(tx, order.order_id)
    if closed is None:
        raise rules.wrong_state(order)
    publish_event(tx, OrderClosed, closed)
    return closed


@orders.handles(CloseOrder)
async def close_order(command: CloseOrder, tx: Tx) -> None:
    order = await store.close(tx, command.order_id, "receipt_not_confirmed")
    if order is not None:
        publish_event(tx, OrderClosed, order)


# -- events of products


async def note_product(event: Any, tx: Tx) -> None:
    await store.project_product(tx, event)


for product_event in (ProductRegistered, ProductChanged, ProductRestocked, StockTaken, StockReturned):
    orders.handles(product_event)(note_product)


# -- queries


@orders.handles(ShowOrder)
async def show_order(query: ShowOrder, session: Session) -> Order:
    order = await store.find(session, query.order_id)
    if order is None or not query.caller.may_see(order.member_id):
        raise NotFound
    return order


@orders.handles(ListOrders)
async def list_orders(query: ListOrders, session: Session) -> Page[Order]:
    return await store.newest(session, query)
