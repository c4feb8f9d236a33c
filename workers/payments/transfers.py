"""Bank transfers of the shop's orders: a state machine that the shop drives by command.

AwaitTransfer   -> TransferAwaited     (AWAITING_TRANSFER)
ConfirmTransfer -> TransferConfirmed   (TRANSFER_CONFIRMED)
CancelTransfer  -> TransferCancelled   (TRANSFER_CANCELLED; `refund_owed` when the money had arrived)

A command with an older version of the order changes nothing, and publishes the event of the current state.
"""

from __future__ import annotations

from contracts.base import Page
from contracts.transfers import (
    AwaitTransfer,
    CancelTransfer,
    ConfirmTransfer,
    ListTransfers,
    TransferAwaited,
    TransferCancelled,
    TransferCommand,
    TransferConfirmed,
    TransferEvent,
    TransferState,
    TransferStatus,
)
from storage.database import Session
from storage.payments import transfers as store
from workers.payments.base import payments
from workers.runtime.processing.tx import Tx

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


@payments.handles(ListTransfers)
async def list_transfers(query: ListTransfers, session: Session) -> Page[TransferState]:
    return await store.newest(session, query)
