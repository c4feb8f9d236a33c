"""The handlers of payments with the providers that exist: the way of the money from the command to their books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from contracts.payment_discrepancies import NoteProviderEvent
from contracts.payments import PaymentStatus, PaymentVoided, RefundSucceeded
from gateway_api.payment_webhooks import read_portone, read_stripe
from ops.settings import SystemSettings
from tests.gateway_api.test_payment_webhooks import (
    PORTONE_SECRET,
    STRIPE_SECRET,
    by_portone,
    by_stripe,
    portone_body,
    stripe_body,
)
from tests.payments.conftest import Payments, part_of, replica, request
from tests.payments.providers.conftest import Played
from tests.payments.providers.test_contract import eventually

TIMEOUT_MS = 1500


@pytest.fixture(params=["stripe", "portone"])
def played(request: pytest.FixtureRequest) -> Played:
    """Each provider that moves real money, in turn."""
    found: Played = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def payments(played: Played, database_url: str, tmp_path: Path) -> AsyncIterator[Payments]:
    """One replica of payments, which opens the provider that its settings name."""
    settings = SystemSettings(
        database_url=database_url,
        payments_provider_ms=TIMEOUT_MS,
        payments_refund_log=tmp_path / "log.jsonl",
        **played.settings,
    )
    async with replica(settings) as one:
        yield one


async def charge(payments: Payments, command: Any) -> str:
    return await payments.answer(command, deadline=10.0)


async def webhook(played: Played, payment_id: UUID) -> NoteProviderEvent:
    """What the gateway makes of the provider's signed event about a payment."""
    if played.name == "portone":
        body = portone_body(paymentId=str(payment_id))
        event = read_portone(PORTONE_SECRET, body.decode(), by_portone(body))
    else:
        found = await played.provider.find_charge(payment_id)
        assert found
        body = stripe_body(object="payment_intent", id=found.reference, metadata={"payment_id": str(payment_id)})
        event = read_stripe(STRIPE_SECRET, body.decode(), by_stripe(body))
    assert event
    return event


async def test_a_charge_is_approved_and_a_part_of_it_refunded(played: Played, payments: Payments) -> None:
    command = request(played.good)

    assert await charge(payments, command) == "APPROVED"
    assert await played.net_of(command.payment_id) == 9000
    await payments.answer(part_of(command, 2500))
    await payments.wait_for(command.payment_id, PaymentStatus.PARTIALLY_REFUNDED)

    assert await played.net_of(command.payment_id) == 6500
    assert [event.amount for event in await payments.events() if isinstance(event, RefundSucceeded)] == [2500]


async def test_a_declined_charge_keeps_nothing(played: Played, payments: Payments) -> None:
    command = request(played.declined)

    assert await charge(payments, command) == "declined"

    payment = await payments.payment(command.payment_id)
    assert (payment.status, payment.reason) == (PaymentStatus.DECLINED, played.reason)
    assert await played.net_of(command.payment_id) == 0


async def test_a_charge_whose_answer_got_lost_is_voided(played: Played, payments: Payments) -> None:
    command = request(played.good)
    played.plan("charge", "unanswered", 1)

    assert await charge(payments, command) == "provider_unavailable"
    assert await played.net_of(command.payment_id) == 9000
    await payments.wait_for(command.payment_id, PaymentStatus.VOIDED)

    assert await played.net_of(command.payment_id) == 0


async def test_a_charge_that_a_webhook_reports_after_its_void_is_voided_at_once(
    played: Played, payments: Payments
) -> None:
    command = request(played.good)
    played.plan("charge", "lost", 1)
    assert await charge(payments, command) == "provider_unavailable"
    await payments.execute("update payments.payments set asked_at = asked_at - interval '1 day'")
    await payments.wait_for(command.payment_id, PaymentStatus.VOIDED)
    played.faults.release.set()
    await eventually(played, command.payment_id, 9000)

    await payments.handle(await webhook(played, command.payment_id))
    await payments.run_timers()

    assert await played.net_of(command.payment_id) == 0
    assert [event.version for event in await payments.events() if isinstance(event, PaymentVoided)] == [2, 3]
