"""Shop: orders, from placing through bank transfer and delivery to closing.

PlaceOrder      -> OrderPlaced -> PaymentAwaited   (payments has stored the transfer)
ConfirmPayment  -> ConfirmationStarted -> PaymentConfirmed -> OrderPreparing -> OrderDelivering -> OrderClosed
                                       -> PaymentCancelled (out of stock)
                -> LateTransferNoted               (the money arrived for a cancelled order)
CancelOrder, ExpireOrder -> OrderCancelled
ReviveOrder     -> OrderRevived
TransferReturned -> PaymentReturned                (the seller has sent back what was owed)
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Reason, Shape, Won
from contracts.refusals import NotFound, PriceChanged
from contracts.shop.deliveries import DeliveryPart
from contracts.shop.products import Quantity
from contracts.shop.refusals import (
    AmountMismatch,
    DeadlinePassed,
    OrderOutOfStock,
    OrderStillConfirming,
    OrderWrongState,
    ProductNotOnSale,
)
from contracts.shop.states import OrderStatus
from contracts.transfers import TransferPart

Depositor = Annotated[str, Field(min_length=1, max_length=100)]


class CancelledBy(StrEnum):
    MEMBER = "MEMBER"
    STAFF = "STAFF"
    DEADLINE = "DEADLINE"
    STOCK = "STOCK"


class OrderState(Shape):
    """The public state of an order; prices in won."""

    order_id: UUID
    member_id: MemberId
    product_id: UUID
    quantity: int
    unit_price: Won
    """The product's price at the time of ordering."""
    total: Won
    status: OrderStatus
    reason: str | None
    cancelled_by: CancelledBy | None
    round: int
    """The number of the payment period: 1, and one more with each revival."""
    transfer_id: UUID
    bank_account: str
    reference: str
    """What the buyer writes on the transfer."""
    transfer_deadline: AwareDatetime
    refund_owed: bool
    """The money has arrived, and the order is cancelled."""
    reminded_at: AwareDatetime | None
    receipt_deadline: AwareDatetime | None
    """When the order is closed without a confirmation of receipt."""
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class Order(OrderState):
    """An order with its transfer and delivery, as of the last events that orders has received."""

    transfer: TransferPart
    delivery: DeliveryPart | None = None


class PlaceOrder(Command[Order]):
    """A customer orders at the current price; stock is not checked. The order has the id of this message."""

    topic = "shop.orders.place_order"
    refusals = (NotFound, ProductNotOnSale, PriceChanged)

    product_id: UUID
    quantity: Quantity
    expected_price: Won | None = None
    """What the caller was shown, for the whole of it, in won; refused (`price_changed`) if it costs another price."""
    caller: Caller


class CancelOrder(Command[Order]):
    topic = "shop.orders.cancel_order"
    refusals = (NotFound, OrderWrongState)

    order_id: UUID
    reason: Reason | None = None
    caller: Caller


class ConfirmPayment(Command[Order]):
    """The seller confirms that the money has arrived.

    While products does not reply the order stays CONFIRMING, and the step is repeated.
    """

    topic = "shop.orders.confirm_payment"
    refusals = (NotFound, AmountMismatch, OrderOutOfStock, DeadlinePassed, OrderWrongState, OrderStillConfirming)

    order_id: UUID
    amount: Won | None = None
    depositor: Depositor | None = None
    caller: Caller


class ReviveOrder(Command[Order]):
    """Reopen an order that was cancelled by its deadline or for lack of stock, with a new payment period."""

    topic = "shop.orders.revive_order"
    refusals = (NotFound, OrderWrongState)

    order_id: UUID
    caller: Caller


class ConfirmReceipt(Command[Order]):
    topic = "shop.orders.confirm_receipt"
    refusals = (NotFound, OrderWrongState)

    order_id: UUID
    caller: Caller


class RemindBuyer(Command[None]):
    """Three quarters of the payment period have passed; orders schedules it for itself."""

    topic = "shop.orders.remind_buyer"

    order_id: UUID
    round: int


class ExpireOrder(Command[None]):
    """The payment period has ended; orders schedules it for itself."""

    topic = "shop.orders.expire_order"

    order_id: UUID
    round: int


class CloseOrder(Command[None]):
    """The receipt was not confirmed in time; orders schedules it for itself."""

    topic = "shop.orders.close_order"

    order_id: UUID


class OrderEvent(OrderState, Event):
    """A change of an order, with its state after the change."""

    order_status: OrderStatus


class OrderPlaced(OrderEvent):
    topic = "shop.orders.order_placed"


class PaymentAwaited(OrderEvent):
    topic = "shop.orders.payment_awaited"


class BuyerReminded(OrderEvent):
    """Three quarters of the payment period have passed."""

    topic = "shop.orders.buyer_reminded"


class ConfirmationStarted(OrderEvent):
    topic = "shop.orders.confirmation_started"


class PaymentConfirmed(OrderEvent):
    """The money has arrived and the stock is taken."""

    topic = "shop.orders.payment_confirmed"


class PaymentCancelled(OrderEvent):
    """The money has arrived, but there is no stock: a refund is owed."""

    topic = "shop.orders.payment_cancelled"


class OrderPreparing(OrderEvent):
    topic = "shop.orders.order_preparing"


class OrderDelivering(OrderEvent):
    topic = "shop.orders.order_delivering"


class OrderClosed(OrderEvent):
    topic = "shop.orders.order_closed"


class OrderCancelled(OrderEvent):
    topic = "shop.orders.order_cancelled"


class OrderRevived(OrderEvent):
    topic = "shop.orders.order_revived"


class LateTransferNoted(OrderEvent):
    """The money arrived for a cancelled order: a refund is owed."""

    topic = "shop.orders.late_transfer_noted"


class PaymentReturned(OrderEvent):
    """The seller has sent the money back: nothing is owed any more."""

    topic = "shop.orders.payment_returned"


class ShowOrder(Query[Order]):
    topic = "shop.orders.show_order"
    refusals = (NotFound,)

    order_id: UUID
    caller: Caller


class ListOrders(Query[Page[Order]]):
    topic = "shop.orders.list_orders"
    refusals = ()

    member_id: str | None = None
    status: OrderStatus | None = None
    limit: int = 50
    cursor: str | None = None
