"""The payments worker, and the resource that opens its payment provider."""

from __future__ import annotations

from collections.abc import AsyncIterator

from contracts.payment_discrepancies import NoteProviderEvent
from storage.database import Database
from workers.payments.provider import Provider, ProviderClient
from workers.payments.settings import PaymentsSettings
from workers.runtime.worker import Worker

worker = payments = Worker("payments", sends=(NoteProviderEvent,))

LEDGER_CONNECTIONS = 12


@payments.resource
async def open_provider(settings: PaymentsSettings) -> AsyncIterator[ProviderClient]:
    """Open the provider that the settings name."""
    provider = await provider_of(settings)
    try:
        yield ProviderClient(
            provider,
            calls=settings.payments_provider_calls,
            limit=settings.payments_provider_ms / 1000,
            mode=settings.provider_mode,
        )
    finally:
        await provider.close()


async def provider_of(settings: PaymentsSettings) -> Provider:
    """The provider that the settings name; its SDK is imported only where it is used."""
    match settings.payments_provider:
        case "stripe":
            from workers.payments.stripe_provider import StripeProvider

            assert settings.payments_stripe_key
            return StripeProvider(settings.payments_stripe_key.get_secret_value(), url=settings.payments_stripe_url)
        case "portone":
            from workers.payments.portone_provider import PortOneProvider

            assert settings.payments_portone_secret
            return PortOneProvider(
                settings.payments_portone_secret.get_secret_value(),
                store_id=settings.payments_portone_store_id,
                channel_key=settings.payments_portone_channel_key,
                order_name=settings.payments_portone_order_name,
                live=settings.payments_portone_channel == "live",
                url=settings.payments_portone_url,
            )
    from workers.payments.simulator import Simulator

    database = Database(settings.provider_database, size=min(settings.payments_provider_calls, LEDGER_CONNECTIONS))
    await database.start()
    return Simulator(database, slow_seconds=settings.payments_slow_seconds)
