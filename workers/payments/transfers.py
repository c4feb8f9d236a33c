"""Bank transfers of the shop's orders: a state machine that the shop drives by command.

AwaitTransfer   -> TransferAwaited     (AWAITING_TRANSFER)
ConfirmTransfer -> TransferConfirmed   (TRANSFER_CONFIRMED)
CancelTransfer  -> TransferCancelled   (TRANSFER_CANCELLED; `refund_owed` when the money had arrived)
ReturnTransfer  -> TransferReturned    (staff have sent back what was owed, once for each round of the order)
NameRefundAccount -> RefundAccountNamed (the member says to which account)

A command with an older version of the order changes nothing, and publishes the event of the current state.
"""

from __future__ import annotations

from contracts.base import Page
from contracts.refusals import NotFound, WrongState
from contracts.shop.refusals import AmountMismatch
from contracts.transfers import (
    AwaitTransfer,
    CancelTransfer,
    ConfirmTransfer,
    ListTransfers,
    NameRefundAccount,
    RefundAccountNamed,
    ReturnTransfer,
    TransferAwaited,
    TransferCancelled,
    TransferCommand,
    TransferConfirmed,
    TransferEvent,
    TransferItem,
    TransferReturn,
    TransferReturned,
    TransferState,
    TransferStatus,
)
from storage.database import Session
from storage.payments import transfers as store
from workers.payments.base import payments
from workers.runtime.processing.tx import RetryableNotFound, Tx

EVENT_OF_STATUS: dict[TransferStatus, type[TransferEvent]] = {
    TransferStatus.AWAITING_TRANSFER: TransferAwaited,
    TransferStatus.TRANSFER_CONFIRMED: TransferConfirmed,
    TransferStatus.TRANSFER_CANCELLED: TransferCancelled,
}


@payments.handles(AwaitTransfer)
async def await_transfer(command: AwaitTransfer, tx: Tx) -> None:
    await _apply(command, TransferStatus.AWAITING_TRANSFER, tx)


@payments.handles(ConfirmTransfer)
async def confirm_transfer(command: ConfirmTransfer, tx: Tx) -> None:
    await _apply(command, TransferStatus.TRANSFER_CONFIRMED, tx)


@payments.handles(CancelTransfer)
async def cancel_transfer(command: CancelTransfer, tx: Tx) -> None:
    await _apply(command, TransferStatus.TRANSFER_CANCELLED, tx)


async def _apply(command: TransferCommand, status: TransferStatus, tx: Tx) -> None:
    transfer = await store.apply_command(tx, command, status)
    tx.publish(EVENT_OF_STATUS[transfer.status].of(transfer))


@payments.handles(ReturnTransfer)
async def return_transfer(command: ReturnTransfer, tx: Tx) -> TransferReturn:
    returned = await store.give_back(tx, command)
    if returned is not None:
        tx.publish(TransferReturned.of(returned))
        return _return_of(returned)
    known = await store.find(tx, command.transfer_id)
    if known is None:
        raise NotFound
    if command.amount != known.amount:
        raise AmountMismatch(
            expected=known.amount, order_id=str(known.order_id), current_status=known.status, allowed_actions=()
        )
    if known.refund_owed or known.returned_at is None:
        raise WrongState(current_status=known.status)
    return _return_of(known)


def _return_of(transfer: TransferState) -> TransferReturn:
    return TransferReturn.model_validate({**vars(transfer), "reference": transfer.return_reference})


@payments.handles(NameRefundAccount)
async def name_refund_account(command: NameRefundAccount, tx: Tx) -> TransferState:
    transfer = await store.of_order(tx, command.order_id)
    if transfer is None or transfer.member_id != command.caller.member_id:
        raise RetryableNotFound
    named = await store.name_account(tx, transfer.transfer_id, command.account)
    tx.publish(RefundAccountNamed.of(named))
    return named


@payments.handles(ListTransfers)
async def list_transfers(query: ListTransfers, session: Session) -> Page[TransferItem]:
    return await store.newest(session, query)
