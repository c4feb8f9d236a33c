"""Bank transfers, which payments keeps: they follow the order that they pay for, by command.

AwaitTransfer   -> TransferAwaited
ConfirmTransfer -> TransferConfirmed
CancelTransfer  -> TransferCancelled

Each command carries all that is known of the transfer and the version of the order that it speaks of: whichever comes
first makes the record, and an older one changes nothing. It is answered by the event of the state that stands then,
with that state's version again when nothing changed.
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
    """The version of the order that this speaks of."""
    round: int
    """Counts the deadlines that the order was given: 1, and one more with each revival."""
    member_id: MemberId
    amount: Won
    bank_account: str
    reference: str
    """What the buyer writes on the transfer."""
    deadline: AwareDatetime
    refund_owed: bool
    """The money came, and what it paid for is cancelled."""
    reason: str | None


class TransferState(TransferTerms):
    """A transfer as the system may know it; `version` counts from 1."""

    status: TransferStatus
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class TransferPart(Shape):
    """A transfer as it is nested in other things; `status` is None until payments has its record."""

    transfer_id: UUID
    status: TransferStatus | None
    amount: Won
    bank_account: str
    reference: str
    deadline: AwareDatetime
    refund_owed: bool


class TransferCommand(TransferTerms, Command[None]):
    """How a transfer is to stand from this version of its order on."""


class AwaitTransfer(TransferCommand):
    topic = "payments.await_transfer"


class ConfirmTransfer(TransferCommand):
    topic = "payments.confirm_transfer"


class CancelTransfer(TransferCommand):
    """The order is cancelled; the money is owed back if it came, now or in an earlier round."""

    topic = "payments.cancel_transfer"


class TransferEvent(TransferState, Event):
    """What happened to a transfer, with its state afterwards."""


class TransferAwaited(TransferEvent):
    topic = "payments.transfer_awaited"


class TransferConfirmed(TransferEvent):
    topic = "payments.transfer_confirmed"


class TransferCancelled(TransferEvent):
    topic = "payments.transfer_cancelled"


class ListTransfers(Query[Page[TransferState]]):
    topic = "payments.list_transfers"

    status: TransferStatus | None = None
    refund_owed: bool | None = None
    limit: int = 50
    cursor: str | None = None
