"""Bank transfers: one row per transfer with the terms of its order's newest version, and an entry per change."""

from __future__ import annotations

from uuid import UUID

from contracts.base import Page
from contracts.transfers import (
    ListTransfers,
    RefundAccount,
    ReturnTransfer,
    TransferCommand,
    TransferItem,
    TransferState,
    TransferStatus,
    TransferTerms,
)
from storage import paging
from storage.database import Row, Session, Statement

TERMS = tuple(TransferTerms.model_fields)


def transfer_of(row: Row) -> TransferState:
    return TransferState.model_validate(dict(row))


_APPLY = Statement(f"""
    with changed as (
      insert into payments.transfers as existing ({", ".join(TERMS)}, status)
      values ({", ".join(f":{name}" for name in TERMS)}, :status)
      on conflict (transfer_id) do update set
        {", ".join(f"{name} = excluded.{name}" for name in (*TERMS, "status"))},
        modified_at = now(), version = existing.version + 1
        where existing.order_version < excluded.order_version returning *),
    entry as (
      insert into payments.entries (subject_id, version, payment_id, what, amount, reason)
      select transfer_id, version, transfer_id, status, amount, reason from changed)
    select * from changed""")  # noqa: S608 - names of our own columns

_FIND = Statement("select * from payments.transfers where transfer_id = :transfer_id")


async def apply_command(session: Session, command: TransferCommand, status: TransferStatus) -> TransferState:
    """Set the terms and status of a transfer, unless it has those of a later version of its order.

    Returns the current transfer in both cases.
    """
    terms = {name: getattr(command, name) for name in TERMS}
    row = await session.one(_APPLY, **terms, status=status.value)
    row = row or await session.one(_FIND, transfer_id=command.transfer_id)
    assert row is not None
    return transfer_of(row)


_RETURN = Statement("""
    with changed as (
      update payments.transfers set refund_owed = false, returned_at = now(), returned_by = :returned_by,
        return_reference = :reference, returned_round = round, modified_at = now(), version = version + 1
      where transfer_id = :transfer_id and refund_owed and returned_round < round and amount = :amount returning *),
    entry as (
      insert into payments.entries (subject_id, version, payment_id, what, amount, reason)
      select transfer_id, version, transfer_id, 'TRANSFER_RETURNED', amount, return_reference from changed)
    select * from changed""")


async def give_back(session: Session, command: ReturnTransfer) -> TransferState | None:
    """Record that the money owed was sent back; None when none is owed, or another amount. A round returns once."""
    row = await session.one(
        _RETURN,
        transfer_id=command.transfer_id,
        amount=command.amount,
        reference=command.reference,
        returned_by=command.caller.member_id,
    )
    return transfer_of(row) if row else None


async def find(session: Session, transfer_id: UUID) -> TransferState | None:
    """A transfer; None when its id is unknown."""
    row = await session.one(_FIND, transfer_id=transfer_id)
    return transfer_of(row) if row else None


_OF_ORDER = Statement("select * from payments.transfers where order_id = :order_id")


async def of_order(session: Session, order_id: UUID) -> TransferState | None:
    """The transfer of an order; None when there is none."""
    row = await session.one(_OF_ORDER, order_id=order_id)
    return transfer_of(row) if row else None


_NAME_ACCOUNT = Statement("""
    with changed as (
      update payments.transfers set refund_bank = :bank, refund_number = :number, refund_holder = :holder,
        refund_account_last4 = :last4, modified_at = now(), version = version + 1
      where transfer_id = :transfer_id returning *),
    entry as (
      insert into payments.entries (subject_id, version, payment_id, what, amount, reason)
      select transfer_id, version, transfer_id, 'REFUND_ACCOUNT_NAMED', 0, null from changed)
    select * from changed""")


async def name_account(session: Session, transfer_id: UUID, account: RefundAccount) -> TransferState:
    """Store the account for a return, in place of an earlier one."""
    row = await session.one(_NAME_ACCOUNT, transfer_id=transfer_id, last4=account.last4, **vars(account))
    assert row is not None
    return transfer_of(row)


def _item_of(row: Row) -> TransferItem:
    account = {"bank": row["refund_bank"], "number": row["refund_number"], "holder": row["refund_holder"]}
    return TransferItem.model_validate({**dict(row), "refund_account": account if row["refund_number"] else None})


_NEWEST = paging.Newest(
    TransferItem, "payments.transfers", "transfer_id", filters=("status", "refund_owed"), make=_item_of
)


async def newest(session: Session, query: ListTransfers) -> Page[TransferItem]:
    """One page of transfers, newest first."""
    return await _NEWEST.page(session, query)
