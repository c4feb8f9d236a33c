"""Bank transfers of the shop's orders. Payments stores them; the orders context drives them by command.

AwaitTransfer   -> TransferAwaited
ConfirmTransfer -> TransferConfirmed
CancelTransfer  -> TransferCancelled
ReturnTransfer  -> TransferReturned     (staff have sent the money back; orders follows)

Each command has the complete terms of the transfer and the version of its order. The first command that arrives creates
the transfer, and one with an older order version changes nothing. Each command leads to the event of the transfer's
current state, with an unchanged version if nothing changed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Shape, Won
from contracts.refusals import NotFound, WrongState
from contracts.shop.refusals import AmountMismatch
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
    returned_at: AwareDatetime | None = None
    """When staff sent the money back that was owed last; None while it was never."""
    returned_by: str | None = None
    return_reference: str | None = None
    """What staff wrote about the return: the bank's own number of it."""
    returned_round: int = 0
    """The round of the order whose money was sent back."""
    refund_account_last4: str | None = None
    """The last digits of the account that the member named for it."""
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class RefundAccount(Shape):
    """The account to which a member wants their money back; only staff see the whole of it."""

    bank: Annotated[str, Field(min_length=1, max_length=50)]
    number: Annotated[str, Field(min_length=6, max_length=30)]
    """Digits and hyphens."""
    holder: Annotated[str, Field(min_length=1, max_length=100)]

    @property
    def last4(self) -> str:
        return self.number.replace("-", "")[-4:]


class TransferItem(TransferState):
    """A transfer as staff see it."""

    refund_account: RefundAccount | None = None


class TransferReturn(Shape):
    """Money of a transfer that was sent back."""

    transfer_id: UUID
    order_id: UUID
    member_id: MemberId
    amount: Won
    refund_owed: bool
    returned_at: AwareDatetime
    returned_by: str
    reference: str
    """What staff wrote about the return."""
    refund_account_last4: str | None
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
    returned_at: AwareDatetime | None = None
    """When the money was sent back last; None where the reader does not know."""
    returned_amount: Won | None = None
    """How much was sent back then."""
    refund_account_last4: str | None = None


class TransferCommand(TransferTerms, Command[None]):
    """The terms of a transfer as of a version of its order."""


class AwaitTransfer(TransferCommand):
    topic = "payments.await_transfer"


class ConfirmTransfer(TransferCommand):
    topic = "payments.confirm_transfer"


class CancelTransfer(TransferCommand):
    """The order is cancelled; `refund_owed` if the money has arrived, in this or in an earlier round."""

    topic = "payments.cancel_transfer"


class ReturnTransfer(Command[TransferReturn]):
    """Staff have sent back the money that is owed; a repetition gets the first answer.

    Refused (`wrong_state`) while nothing is owed and nothing was returned.
    """

    topic = "payments.return_transfer"
    refusals = (NotFound, WrongState, AmountMismatch)

    transfer_id: UUID
    amount: Won
    reference: Annotated[str, Field(min_length=1, max_length=100)]
    caller: Caller


class NameRefundAccount(Command[TransferState]):
    """The member names the account to which their money is to be sent back."""

    topic = "payments.name_refund_account"
    refusals = (NotFound,)

    order_id: UUID
    account: RefundAccount
    caller: Caller


class TransferEvent(TransferState, Event):
    """A change of a transfer, with its state after the change."""


class TransferAwaited(TransferEvent):
    topic = "payments.transfer_awaited"


class TransferConfirmed(TransferEvent):
    topic = "payments.transfer_confirmed"


class TransferCancelled(TransferEvent):
    topic = "payments.transfer_cancelled"


class TransferReturned(TransferEvent):
    """The money that was owed is sent back."""

    topic = "payments.transfer_returned"


class RefundAccountNamed(TransferEvent):
    """The member has named an account; the event has its last digits only."""

    topic = "payments.refund_account_named"


class ListTransfers(Query[Page[TransferItem]]):
    topic = "payments.list_transfers"
    refusals = ()

    status: TransferStatus | None = None
    refund_owed: bool | None = None
    limit: int = 50
    cursor: str | None = None
