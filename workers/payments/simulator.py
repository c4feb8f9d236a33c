"""The built-in provider: a ledger in its own database, and tokens that make it behave like a bad day.

tok_declined      declines: insufficient_funds
tok_slow          captures after a while, also when the client has gone; dies with the process
tok_error         fails like an outage, and charges nothing
tok_refund_error  approves, and fails the first two refunds
"""

from __future__ import annotations

import asyncio
from uuid import UUID

from storage import provider as ledger
from storage.database import Database
from workers.payments.provider import (
    Approved,
    Declined,
    GivenBack,
    NoCharge,
    NotGivenBack,
    ProviderFailed,
    Voided,
)

DECLINING = {"tok_declined": "insufficient_funds"}
FAILING_REFUNDS = {"tok_refund_error": 2}
CAPTURE_MARGIN = 2.0
"""Seconds that a capture may take once it is begun."""


class Simulator:
    """Keeps each charge and refund once per key, however often and at once it is asked."""

    def __init__(self, database: Database, *, slow_seconds: float) -> None:
        self._database = database
        self._slow_seconds = slow_seconds
        self._slow: set[asyncio.Task[Approved | Declined]] = set()
        self.longest = slow_seconds + CAPTURE_MARGIN

    async def stop(self) -> None:
        """Forget the slow charges that are under way."""
        for task in self._slow:
            task.cancel()
        await asyncio.gather(*self._slow, return_exceptions=True)

    async def charge(self, key: UUID, amount: int, token: str) -> Approved | Declined:
        if token == "tok_error":
            raise ProviderFailed("the provider is out of order")
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
            raise ProviderFailed("this key was used for another amount")
        return Declined(row["declined"]) if row["declined"] else Approved(row["captured"])

    async def void(self, key: UUID) -> Voided | NoCharge:
        async with self._database.session() as session:
            voided = await ledger.void(session, key)
        return NoCharge() if voided is None else Voided(voided)

    async def refund(self, key: UUID, charge_key: UUID, amount: int) -> GivenBack | NotGivenBack:
        async with self._database.transaction() as session:
            charge = await ledger.lock(session, charge_key)
            if known := await ledger.given_back(session, key):
                return GivenBack(known["amount"])
            if charge is None:
                return NotGivenBack("no_charge")
            if charge["failing_refunds"] > 0:
                await ledger.fail_once(session, charge_key)
                return NotGivenBack("provider_failed")
            if charge["rest"] < amount:
                return NotGivenBack("nothing_left")
            await ledger.give_back(session, key, charge_key, amount)
            return GivenBack(amount)

    async def look_up(self, key: UUID) -> Approved | Declined | Voided | GivenBack | None:
        async with self._database.session() as session:
            if refund := await ledger.given_back(session, key):
                return GivenBack(refund["amount"])
            charge = await ledger.charged(session, key)
        if charge is None:
            return None
        if charge["declined"]:
            return Declined(charge["declined"])
        return Voided(charge["voided"]) if charge["voided"] else Approved(charge["captured"])
