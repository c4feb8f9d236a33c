"""The payment simulator's ledger, in a database of its own: what a provider would remember, by key."""

from __future__ import annotations

from uuid import UUID

from storage.database import Row, Session, Statement

_CHARGE = Statement("""
    insert into provider.charges as known (key, amount, captured, declined, failing_refunds)
    values (:key, :amount, :captured, :declined, :failing_refunds)
    on conflict (key) do update set calls = known.calls + 1
    returning amount, captured, declined""")


async def charge(session: Session, key: UUID, amount: int, *, declined: str | None, failing_refunds: int) -> Row:
    """Capture, or note why not; a key that is known answers with what was noted first."""
    captured = 0 if declined else amount
    row = await session.one(
        _CHARGE, key=key, amount=amount, captured=captured, declined=declined, failing_refunds=failing_refunds
    )
    assert row is not None
    return row


_VOID = Statement("""
    update provider.charges set voided = captured - refunded where key = :key returning voided""")


async def void(session: Session, key: UUID) -> int | None:
    """Give up what is left of a charge; the amount given up, None when there is no such charge (yet)."""
    voided: int | None = await session.value(_VOID, key=key)
    return voided


_CHARGED = Statement("select amount, captured, voided, refunded, declined from provider.charges where key = :key")


async def charged(session: Session, key: UUID) -> Row | None:
    return await session.one(_CHARGED, key=key)


_GIVEN_BACK = Statement("select charge_key, amount from provider.refunds where key = :key")


async def given_back(session: Session, key: UUID) -> Row | None:
    return await session.one(_GIVEN_BACK, key=key)


_LOCK = Statement("""
    select captured - voided - refunded as rest, failing_refunds from provider.charges where key = :key for update""")


async def lock(session: Session, key: UUID) -> Row | None:
    """What is left of a charge, locked until the transaction ends."""
    return await session.one(_LOCK, key=key)


_FAIL_ONCE = Statement("update provider.charges set failing_refunds = failing_refunds - 1 where key = :key")


async def fail_once(session: Session, key: UUID) -> None:
    """One refund less of those that are to fail."""
    await session.value(_FAIL_ONCE, key=key)


_GIVE_BACK = Statement("""
    with given as (
      insert into provider.refunds (key, charge_key, amount) values (:key, :charge_key, :amount) returning charge_key)
    update provider.charges set refunded = refunded + :amount from given where charges.key = given.charge_key""")


async def give_back(session: Session, key: UUID, charge_key: UUID, amount: int) -> None:
    """Refund a part of a locked charge; a key that is known raises `asyncpg.UniqueViolationError`."""
    await session.value(_GIVE_BACK, key=key, charge_key=charge_key, amount=amount)
