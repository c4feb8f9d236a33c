"""Shop: what orders can be told, and what they tell the system.

PlaceOrder      -> OrderPlaced -> PaymentAwaited   (payments has its record of the transfer)
ConfirmPayment  -> ConfirmationStarted -> PaymentConfirmed -> OrderPreparing -> OrderDelivering -> OrderClosed
                                       -> PaymentCancelled (out of stock)
                -> LateTransferNoted               (the money came for an order that is cancelled)
CancelOrder, ExpireOrder -> OrderCancelled
ReviveOrder     -> OrderRevived
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Reason, Shape, Won
from contracts.shop.deliveries import DeliveryPart
from contracts.shop.products import Quantity
from contracts.shop.states import OrderStatus
from contracts.transfers import TransferPart

Depositor = Annotated[str, Field(min_length=1, max_length=100)]


class CancelledBy(StrEnum):
    MEMBER = "MEMBER"
    STAFF = "STAFF"
    DEADLINE = "DEADLINE"
    STOCK = "STOCK"


class OrderState(Shape):
    """An order as the system may know it; prices in won."""

    order_id: UUID
    member_id: MemberId
    product_id: UUID
    quantity: int
    unit_price: Won
    """As it was at ordering."""
    total: Won
    status: OrderStatus
    reason: str | None
    cancelled_by: CancelledBy | None
    round: int
    """Counts the deadlines that the order was given: 1, and one more with each revival."""
    transfer_id: UUID
    bank_account: str
    reference: str
    """What the buyer writes on the transfer."""
    transfer_deadline: AwareDatetime
    refund_owed: bool
    """The money came, and the order is cancelled."""
    reminded_at: AwareDatetime | None
    receipt_deadline: AwareDatetime | None
    """When the order is closed although nobody confirmed the receipt."""
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class Order(OrderState):
    """An order with its transfer, and its delivery as orders last heard of it."""

    transfer: TransferPart
    delivery: DeliveryPart | None = None


class PlaceOrder(Command[Order]):
    """A client orders at today's price; stock is not looked at. The order takes the message's id."""

    topic = "shop.orders.place_order"

    product_id: UUID
    quantity: Quantity
    caller: Caller


class CancelOrder(Command[Order]):
    topic = "shop.orders.cancel_order"

    order_id: UUID
    reason: Reason | None = None
    caller: Caller


class ConfirmPayment(Command[Order]):
    """The seller has seen the money.

    Refused with `amount_mismatch` (and `expected`), `out_of_stock`, `deadline_passed`, `wrong_state`, or
    `still_confirming` while products says nothing: the order is CONFIRMING then, and goes on by itself.
    """

    topic = "shop.orders.confirm_payment"

    order_id: UUID
    amount: Won | None = None
    depositor: Depositor | None = None
    caller: Caller


class ReviveOrder(Command[Order]):
    """An order that its deadline or the stock has cancelled gets a new deadline."""

    topic = "shop.orders.revive_order"

    order_id: UUID
    caller: Caller


class ConfirmReceipt(Command[Order]):
    topic = "shop.orders.confirm_receipt"

    order_id: UUID
    caller: Caller


class RemindBuyer(Command[None]):
    """Three quarters of the time to transfer are over: orders tells itself."""

    topic = "shop.orders.remind_buyer"

    order_id: UUID
    round: int


class ExpireOrder(Command[None]):
    """The time to transfer is over: orders tells itself."""

    topic = "shop.orders.expire_order"

    order_id: UUID
    round: int


class CloseOrder(Command[None]):
    """Nobody confirmed the receipt in time: orders tells itself."""

    topic = "shop.orders.close_order"

    order_id: UUID


class OrderEvent(OrderState, Event):
    """What happened to an order, with its state afterwards."""

    order_status: OrderStatus


class OrderPlaced(OrderEvent):
    topic = "shop.orders.order_placed"


class PaymentAwaited(OrderEvent):
    topic = "shop.orders.payment_awaited"


class BuyerReminded(OrderEvent):
    """Three quarters of the time to transfer are over."""

    topic = "shop.orders.buyer_reminded"


class ConfirmationStarted(OrderEvent):
    topic = "shop.orders.confirmation_started"


class PaymentConfirmed(OrderEvent):
    """The money is there and the stock is taken."""

    topic = "shop.orders.payment_confirmed"


class PaymentCancelled(OrderEvent):
    """The money is there, the stock is not: it is owed back."""

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
    """The money came for an order that is cancelled: it is owed back."""

    topic = "shop.orders.late_transfer_noted"


class ShowOrder(Query[Order]):
    topic = "shop.orders.show_order"

    order_id: UUID
    caller: Caller


class ListOrders(Query[Page[Order]]):
    topic = "shop.orders.list_orders"

    member_id: str | None = None
    status: OrderStatus | None = None
    limit: int = 50
    cursor: str | None = None
