"""What payments rely on, whoever the provider is; the provider's own books decide."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.payments.providers.conftest import Played
from workers.payments.provider import Approved, Declined, NoCharge, NotRefunded, Refunded, Voided

PATIENCE = 0.5
"""Seconds that a caller waits for a call that gets no answer."""


async def no_answer(call: Coroutine[Any, Any, Any]) -> None:
    """Make a call that is given up, as `ProviderClient` does."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await call


async def eventually(played: Played, key: Any, amount: int) -> None:
    """Wait until the books keep this amount of a payment."""
    async with asyncio.timeout(10):
        while await played.net_of(key) != amount:
            await asyncio.sleep(0.05)


async def test_a_charge_is_captured(played: Played) -> None:
    key = uuid4()

    assert await played.provider.charge(key, 9000, played.good) == Approved(9000)

    assert await played.net_of(key) == 9000


async def test_a_declined_charge_has_its_reason_and_is_void_for_good(played: Played) -> None:
    key = uuid4()

    assert await played.provider.charge(key, 9000, played.declined) == Declined(played.reason)

    assert await played.provider.void(key) == Voided(0)
    assert await played.net_of(key) == 0


async def test_a_charge_that_gets_lost_charges_nothing(played: Played) -> None:
    key = uuid4()
    played.plan("charge", "lost", 1)

    await no_answer(played.provider.charge(key, 9000, played.good))

    assert await played.provider.void(key) == NoCharge()
    assert await played.net_of(key) == 0


async def test_a_charge_whose_answer_gets_lost_is_found_and_voided(played: Played) -> None:
    key = uuid4()
    played.plan("charge", "unanswered", 1)

    await no_answer(played.provider.charge(key, 9000, played.good))
    assert await played.net_of(key) == 9000

    assert await played.provider.void(key) == Voided(9000)
    assert await played.net_of(key) == 0


async def test_a_charge_in_flight_while_it_is_voided_is_voided_by_the_next_look(played: Played) -> None:
    key = uuid4()
    played.plan("charge", "lost", 1)
    await no_answer(played.provider.charge(key, 9000, played.good))
    assert await played.provider.void(key) == NoCharge()

    played.faults.release.set()
    await eventually(played, key, 9000)

    assert await played.provider.void(key) == Voided(9000)
    assert await played.net_of(key) == 0


async def test_a_key_is_charged_once(played: Played) -> None:
    key = uuid4()

    first = await asyncio.gather(
        *(played.provider.charge(key, 9000, played.good) for _ in range(5)), return_exceptions=True
    )
    again = await played.provider.charge(key, 9000, played.good)

    assert again == Approved(9000)
    assert {one for one in first if not isinstance(one, Exception)} == {Approved(9000)}
    assert await played.net_of(key) == 9000


async def test_a_repeated_charge_after_a_lost_answer_charges_no_second_time(played: Played) -> None:
    key = uuid4()
    played.plan("charge", "unanswered", 1)
    await no_answer(played.provider.charge(key, 9000, played.good))

    assert await played.provider.charge(key, 9000, played.good) == Approved(9000)

    assert await played.net_of(key) == 9000


async def test_a_key_that_was_charged_is_never_approved_for_another_amount(played: Played) -> None:
    key = uuid4()
    await played.provider.charge(key, 9000, played.good)

    with pytest.raises(Exception):  # noqa: B017 - each provider has its own error
        await played.provider.charge(key, 9001, played.good)

    assert await played.net_of(key) == 9000


async def test_a_void_gives_everything_back_once(played: Played) -> None:
    key = uuid4()
    await played.provider.charge(key, 9000, played.good)

    assert await played.provider.void(key) == Voided(9000)
    assert await played.provider.void(key) == Voided(9000)

    assert await played.net_of(key) == 0


async def test_an_unknown_key_has_nothing_to_void(played: Played) -> None:
    assert await played.provider.void(uuid4()) == NoCharge()
    assert await played.provider.find_charge(uuid4()) is None
    assert await played.provider.find_refund(uuid4(), uuid4()) is None


async def refunded(played: Played, refund: Any, charge: Any, amount: int) -> Refunded:
    """Refund as payments do, until it is done."""
    for _ in range(4):
        answer = await played.provider.refund(refund, charge, amount)
        if isinstance(answer, Refunded):
            return answer
    raise AssertionError(answer)


async def test_refunds_in_part_never_exceed_the_charge(played: Played) -> None:
    charge, first, second = uuid4(), uuid4(), uuid4()
    await played.provider.charge(charge, 9000, played.good)

    assert await refunded(played, first, charge, 4000) == Refunded(4000)
    assert await refunded(played, second, charge, 3000) == Refunded(3000)
    assert isinstance(await played.provider.refund(uuid4(), charge, 3000), NotRefunded)

    assert await played.provider.find_refund(first, charge) == Refunded(4000)
    assert await played.provider.find_refund(uuid4(), charge) is None
    assert await played.net_of(charge) == 2000
    assert await played.provider.void(charge) == Voided(2000)
    assert await played.net_of(charge) == 0


async def test_a_refund_key_refunds_once(played: Played) -> None:
    charge, refund = uuid4(), uuid4()
    await played.provider.charge(charge, 9000, played.good)
    await refunded(played, refund, charge, 4000)

    again = await asyncio.gather(
        *(played.provider.refund(refund, charge, 4000) for _ in range(4)), return_exceptions=True
    )

    assert set(again) == {Refunded(4000)}
    assert await played.net_of(charge) == 5000


async def test_a_refund_whose_answer_gets_lost_is_found(played: Played) -> None:
    charge, refund = uuid4(), uuid4()
    await played.provider.charge(charge, 9000, played.good)
    if played.name == "simulator":
        assert [await played.provider.refund(refund, charge, 4000) for _ in range(2)] == [
            NotRefunded("provider_failed")
        ] * 2
    played.plan("refund", "unanswered", 1)
    await no_answer(played.provider.refund(refund, charge, 4000))

    assert await played.provider.find_refund(refund, charge) == Refunded(4000)
    assert await played.provider.refund(refund, charge, 4000) == Refunded(4000)
    assert await played.net_of(charge) == 5000


async def test_a_refund_that_fails_is_tried_again(played: Played) -> None:
    charge, refund = uuid4(), uuid4()
    await played.provider.charge(charge, 9000, played.good)
    if played.name != "simulator":
        played.plan("refund", "refused", 1)

    assert isinstance(await played.provider.refund(refund, charge, 9000), NotRefunded)
    assert await played.net_of(charge) == 9000

    assert await refunded(played, refund, charge, 9000) == Refunded(9000)
    assert await played.net_of(charge) == 0


@pytest.mark.parametrize("fault", ["rate_limited", "outage"])
async def test_a_provider_that_refuses_to_work_charges_nothing_and_recovers(played: Played, fault: Any) -> None:
    key = uuid4()
    played.plan("charge", fault, 2)  # Stripe's client repeats a call once after an outage
    with pytest.raises(Exception):  # noqa: B017 - each provider has its own error
        await played.provider.charge(key, 9000, played.good)
    played.faults.planned.clear()

    assert await played.provider.void(key) == NoCharge()
    assert await played.provider.charge(uuid4(), 9000, played.good) == Approved(9000)


async def test_the_books_are_read_by_key_and_by_time(played: Played) -> None:
    begun = datetime.now(UTC).replace(microsecond=0)
    kept, voided, declined = uuid4(), uuid4(), uuid4()
    await played.provider.charge(kept, 9000, played.good)
    await played.provider.charge(voided, 5000, played.good)
    await played.provider.charge(declined, 7000, played.declined)
    await refunded(played, uuid4(), kept, 2500)
    await played.provider.void(voided)

    until = datetime.now(UTC) + timedelta(seconds=5)
    listed = {one.key: one async for one in played.provider.charges(begun, until)}

    assert {key: (listed[key].captured, listed[key].given_back) for key in (kept, voided, declined)} == {
        kept: (9000, 2500),
        voided: (5000, 5000),
        declined: (0, 0),
    }
    found = await played.provider.find_charge(kept)
    assert found == listed[kept]
    assert await played.provider.find_charge(None, found.reference) == found
    assert kept not in {one.key async for one in played.provider.charges(begun - timedelta(days=2), begun)}


async def test_stripe_is_asked_for_the_last_hour_while_its_search_lags_behind(stripe: Played) -> None:
    key = uuid4()
    await stripe.provider.charge(key, 9000, stripe.good)
    stripe.server.searchable = False

    assert await stripe.provider.void(key) == Voided(9000)
    assert await stripe.net_of(key) == 0


async def test_a_card_that_asks_for_its_holder_is_declined(stripe: Played) -> None:
    key = uuid4()
    card = await stripe.server.card("4000002500003155")

    assert await stripe.provider.charge(key, 9000, card) == Declined("authentication_required")
    assert await stripe.provider.void(key) == Voided(0)


@pytest.mark.parametrize(("token", "reason"), [("billing-key-unknown", "billing_key_not_found")])
async def test_a_billing_key_that_portone_does_not_know_is_declined(portone: Played, token: str, reason: str) -> None:
    assert await portone.provider.charge(uuid4(), 9000, token) == Declined(reason)


async def test_a_payment_method_that_stripe_does_not_know_is_declined(stripe: Played) -> None:
    assert await stripe.provider.charge(uuid4(), 9000, "pm_unknown") == Declined("invalid_request")
