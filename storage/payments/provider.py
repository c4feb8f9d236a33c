"""The payment simulator's ledger of charges and refunds by idempotency key, in a database of its own."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from storage.database import Row, Session, Statement

_CHARGE = Statement("""
    insert into provider.charges as existing (key, amount, captured, declined, failing_refunds)
    values (:key, :amount, :captured, :declined, :failing_refunds)
    on conflict (key) do update set calls = existing.calls + 1
    returning amount, captured, declined""")


async def charge(session: Session, key: UUID, amount: int, *, declined: str | None, failing_refunds: int) -> Row:
    """Insert a charge, captured or declined; for a known key the row of the first call is returned."""
    captured = 0 if declined else amount
    row = await session.one(
        _CHARGE, key=key, amount=amount, captured=captured, declined=declined, failing_refunds=failing_refunds
    )
    assert row is not None
    return row


_VOID = Statement("""
    update provider.charges set voided = captured - refunded where key = :key returning voided""")


async def void(session: Session, key: UUID) -> int | None:
    """Void the rest of a charge; returns the voided amount in won, None when there is no charge under this key."""
    voided: int | None = await session.value(_VOID, key=key)
    return voided


_CHARGES = "select key, captured, voided, refunded, created_at from provider.charges "
_FIND_CHARGE = Statement(_CHARGES + "where key = :key")
_CHARGES_BETWEEN = Statement(_CHARGES + "where created_at >= :since and created_at < :until order by created_at, key")


async def find_charge(session: Session, key: UUID) -> Row | None:
    """A charge; None when there is none under this key."""
    return await session.one(_FIND_CHARGE, key=key)


async def charges_between(session: Session, since: datetime, until: datetime) -> list[Row]:
    """The charges that were created from `since` on and before `until`, oldest first."""
    return await session.all(_CHARGES_BETWEEN, since=since, until=until)


_FIND_REFUND = Statement("select charge_key, amount from provider.refunds where key = :key")


async def find_refund(session: Session, key: UUID) -> Row | None:
    """A refund; None when there is none under this key."""
    return await session.one(_FIND_REFUND, key=key)


_LOCK_CHARGE = Statement("""
    select captured - voided - refunded as rest, failing_refunds from provider.charges where key = :key for update""")


async def lock_charge(session: Session, key: UUID) -> Row | None:
    """`rest` (the refundable amount in won) and `failing_refunds` of a charge, locked until the transaction ends."""
    return await session.one(_LOCK_CHARGE, key=key)


_CONSUME_FAILING_REFUND = Statement(
    "update provider.charges set failing_refunds = failing_refunds - 1 where key = :key"
)


async def consume_failing_refund(session: Session, key: UUID) -> None:
    """Decrease the number of refunds that will fail."""
    await session.value(_CONSUME_FAILING_REFUND, key=key)


_REFUND = Statement("""
    with inserted as (
      insert into provider.refunds (key, charge_key, amount) values (:key, :charge_key, :amount) returning charge_key)
    update provider.charges set refunded = refunded + :amount from inserted where charges.key = inserted.charge_key""")


async def refund(session: Session, key: UUID, charge_key: UUID, amount: int) -> None:
    """Insert a refund of a locked charge; raises asyncpg.UniqueViolationError for a known key."""
    await session.value(_REFUND, key=key, charge_key=charge_key, amount=amount)
