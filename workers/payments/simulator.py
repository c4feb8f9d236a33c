"""The built-in provider: a ledger in a database of its own, and tokens that trigger failures.

tok_declined      declines with `insufficient_funds`
tok_slow          captures after a delay, even if the client has gone; a restart of the process loses the charge
tok_error         raises ProviderFailed and charges nothing
tok_refund_error  approves, and fails the first two refunds
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from contracts.payment_discrepancies import ProviderName
from storage.database import Database, Row
from storage.payments import provider as ledger
from workers.payments.provider import (
    Approved,
    Declined,
    NoCharge,
    NotRefunded,
    ProviderCharge,
    ProviderFailed,
    Refunded,
    Voided,
)

DECLINING = {"tok_declined": "insufficient_funds"}
FAILING_REFUNDS = {"tok_refund_error": 2}
CAPTURE_MARGIN = 2.0
"""Seconds that a capture may take once it has started."""


class Simulator:
    """Stores one charge and one refund per key, also for repeated and concurrent calls."""

    name: ProviderName = "simulator"

    def __init__(self, database: Database, *, slow_seconds: float) -> None:
        self._database = database
        self._slow_seconds = slow_seconds
        self._slow: set[asyncio.Task[Approved | Declined]] = set()
        self.capture_window = slow_seconds + CAPTURE_MARGIN

    async def close(self) -> None:
        """Cancel the slow charges in progress, and close the database."""
        for task in self._slow:
            task.cancel()
        await asyncio.gather(*self._slow, return_exceptions=True)
        await self._database.close()

    async def charge(self, key: UUID, amount: int, token: str) -> Approved | Declined:
        if token == "tok_error":
            raise ProviderFailed("the provider is unavailable")
        if token != "tok_slow":
            return await self._charge(key, amount, token)
        task = asyncio.create_task(self._charge_later(key, amount, token))
        self._slow.add(task)
        task.add_done_callback(self._slow.discard)
        return await asyncio.shield(task)

    async def _charge_later(self, key: UUID, amount: int, token: str) -> Approved | Declined:
        await asyncio.sleep(self._slow_seconds)
        async with asyncio.timeout(CAPTURE_MARGIN):
            return await self._charge(key, amount, token)

    async def _charge(self, key: UUID, amount: int, token: str) -> Approved | Declined:
        async with self._database.session() as session:
            row = await ledger.charge(
                session, key, amount, declined=DECLINING.get(token), failing_refunds=FAILING_REFUNDS.get(token, 0)
            )
        if row["amount"] != amount:
            raise ProviderFailed("the key was used for another amount")
        return Declined(row["declined"]) if row["declined"] else Approved(row["captured"])

    async def void(self, key: UUID) -> Voided | NoCharge:
        async with self._database.session() as session:
            voided = await ledger.void(session, key)
        return NoCharge() if voided is None else Voided(voided)

    async def refund(self, key: UUID, charge_key: UUID, amount: int) -> Refunded | NotRefunded:
        async with self._database.transaction() as session:
            charge = await ledger.lock_charge(session, charge_key)
            if known := await ledger.find_refund(session, key):
                return Refunded(known["amount"])
            if charge is None:
                return NotRefunded("no_charge")
            if charge["failing_refunds"] > 0:
                await ledger.consume_failing_refund(session, charge_key)
                return NotRefunded("provider_failed")
            if charge["rest"] < amount:
                return NotRefunded("nothing_left")
            await ledger.refund(session, key, charge_key, amount)
            return Refunded(amount)

    async def find_refund(self, key: UUID, charge_key: UUID) -> Refunded | None:
        async with self._database.session() as session:
            refund = await ledger.find_refund(session, key)
        return Refunded(refund["amount"]) if refund else None

    async def find_charge(self, key: UUID | None, reference: str = "") -> ProviderCharge | None:
        async with self._database.session() as session:
            row = await ledger.find_charge(session, key or UUID(reference))
        return _charge_of(row) if row else None

    async def charges(self, since: datetime, until: datetime) -> AsyncIterator[ProviderCharge]:
        async with self._database.session() as session:
            rows = await ledger.charges_between(session, since, until)
        for row in rows:
            yield _charge_of(row)


def _charge_of(row: Row) -> ProviderCharge:
    return ProviderCharge(
        key=row["key"],
        reference=str(row["key"]),
        captured=row["captured"],
        given_back=row["voided"] + row["refunded"],
        disputed=0,
        created_at=row["created_at"],
    )
