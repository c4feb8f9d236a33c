"""The payments worker, and the resource that opens its payment provider."""

from __future__ import annotations

from collections.abc import AsyncIterator

from storage.database import Database
from workers.payments.provider import ProviderClient
from workers.payments.settings import PaymentsSettings
from workers.payments.simulator import Simulator
from workers.runtime.worker import Worker

worker = payments = Worker("payments")

LEDGER_CONNECTIONS = 12


@payments.resource
async def open_provider(settings: PaymentsSettings) -> AsyncIterator[ProviderClient]:
    """Open the simulator; a real provider replaces it here."""
    calls = settings.payments_provider_calls
    database = Database(settings.provider_database, size=min(calls, LEDGER_CONNECTIONS))
    await database.start()
    simulator = Simulator(database, slow_seconds=settings.payments_slow_seconds)
    try:
        yield ProviderClient(simulator, calls=calls, limit=settings.payments_provider_ms / 1000)
    finally:
        await simulator.stop()
        await database.close()
