"""Bank transfers: one row per transfer with the terms of its order's newest version, and an entry per change."""

from __future__ import annotations

from contracts.base import Page
from contracts.transfers import ListTransfers, TransferCommand, TransferState, TransferStatus, TransferTerms
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


_NEWEST = Statement("""
    select * from payments.transfers
    where (cast(:status as text) is null or status = :status)
      and (cast(:refund_owed as boolean) is null or refund_owed = :refund_owed)
      and (cast(:at as timestamptz) is null or (created_at, transfer_id) < (:at, cast(:id as uuid)))
    order by created_at desc, transfer_id desc limit :limit""")


async def newest(session: Session, query: ListTransfers) -> Page[TransferState]:
    """One page of transfers, newest first."""
    at, id = paging.decode(query.cursor)
    rows = await session.all(
        _NEWEST, status=query.status, refund_owed=query.refund_owed, at=at, id=id, limit=query.limit + 1
    )
    items, cursor = paging.page(rows, query.limit, transfer_of, lambda one: (one.created_at, one.transfer_id))
    return Page[TransferState](items=items, next_cursor=cursor)
