"""Bank transfers of the shop's orders. Payments stores them; the orders context drives them by command.

AwaitTransfer   -> TransferAwaited
ConfirmTransfer -> TransferConfirmed
CancelTransfer  -> TransferCancelled

Each command has the complete terms of the transfer and the version of its order. The first command that arrives creates
the transfer, and one with an older order version changes nothing. Each command leads to the event of the transfer's
current state, with an unchanged version if nothing changed.
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Command, Event, MemberId, Page, Query, Shape, Won
from contracts.shop.states import OrderStatus


class TransferStatus(StrEnum):
    AWAITING_TRANSFER = "AWAITING_TRANSFER"
    TRANSFER_CONFIRMED = "TRANSFER_CONFIRMED"
    TRANSFER_CANCELLED = "TRANSFER_CANCELLED"


class TransferTerms(Shape):
    """What is to be transferred, and for what."""

    transfer_id: UUID
    order_id: UUID
    order_status: OrderStatus
    order_version: int
    """The version of the order that these terms belong to."""
    round: int
    """The number of the order's payment period: 1, and one more with each revival."""
    member_id: MemberId
    amount: Won
    bank_account: str
    reference: str
    """What the buyer writes on the transfer."""
    deadline: AwareDatetime
    refund_owed: bool
    """The money has arrived, and the order is cancelled."""
    reason: str | None


class TransferState(TransferTerms):
    """The public state of a transfer; `version` counts from 1."""

    status: TransferStatus
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class TransferPart(Shape):
    """A transfer as it is nested in other answers; `status` is None until payments has stored the transfer."""

    transfer_id: UUID
    status: TransferStatus | None
    amount: Won
    bank_account: str
    reference: str
    deadline: AwareDatetime
    refund_owed: bool


class TransferCommand(TransferTerms, Command[None]):
    """The terms of a transfer as of a version of its order."""


class AwaitTransfer(TransferCommand):
    topic = "payments.await_transfer"


class ConfirmTransfer(TransferCommand):
    topic = "payments.confirm_transfer"


class CancelTransfer(TransferCommand):
    """The order is cancelled; `refund_owed` if the money has arrived, in this or in an earlier round."""

    topic = "payments.cancel_transfer"


class TransferEvent(TransferState, Event):
    """A change of a transfer, with its state after the change."""


class TransferAwaited(TransferEvent):
    topic = "payments.transfer_awaited"


class TransferConfirmed(TransferEvent):
    topic = "payments.transfer_confirmed"


class TransferCancelled(TransferEvent):
    topic = "payments.transfer_cancelled"


class ListTransfers(Query[Page[TransferState]]):
    topic = "payments.list_transfers"
    refusals = ()

    status: TransferStatus | None = None
    refund_owed: bool | None = None
    limit: int = 50
    cursor: str | None = None
