"""What was taken can be given back, never more than that, and never twice."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from contracts.payments import DriveRefund, PaymentRefunded, PaymentStatus, RefundStatus, RefundSucceeded
from tests.payments.conftest import Site, part_of, request, rest_of, void
from workers.payments.provider import ProviderClient

S = PaymentStatus


async def money_agrees(desk: Site) -> None:
    """Rows, entries and the provider's ledger say the same."""
    rows = await desk.rows("select * from payments.payments")
    assert sum(row["captured"] - row["refunded"] for row in rows) == await desk.kept()
    for row in rows:
        entries = await desk.rows(f"select * from payments.entries where payment_id = '{row['payment_id']}'")
        given = [one["amount"] for one in entries if one["what"] == "REFUND_REFUNDED"]
        assert sum(given) == row["refunded"]
        states = [one["version"] for one in entries if one["subject_id"] == row["payment_id"]]
        assert sorted(states) == list(range(1, row["version"] + 1))


async def test_the_rest_is_given_back(desk: Site) -> None:
    wish = request()
    await desk.asked(wish)
    refund = rest_of(wish)

    await desk.tell(refund)
    assert (await desk.payment(wish.payment_id)).refunding == 9000
    await desk.until(wish.payment_id, S.REFUNDED)

    assert (await desk.refund(refund.refund_id)).status is RefundStatus.REFUNDED
    assert await desk.titles() == ["PaymentApproved", "RefundStarted", "RefundSucceeded", "PaymentRefunded"]
    assert await desk.kept() == 0
    await money_agrees(desk)


async def test_the_rest_after_a_part_is_what_is_left(desk: Site) -> None:
    wish = request()
    await desk.asked(wish)

    assert await desk.asked(part_of(wish, 4000)) == "PENDING"
    refund = rest_of(wish)
    await desk.tell(refund)
    await desk.until(wish.payment_id, S.REFUNDED)

    assert (await desk.refund(refund.refund_id)).amount == 5000
    statuses = [event.status for event in await desk.news() if isinstance(event, PaymentRefunded)]
    assert statuses == [S.PARTIALLY_REFUNDED, S.REFUNDED]
    await money_agrees(desk)


async def test_more_than_what_is_left_is_refused(desk: Site) -> None:
    wish = request()
    await desk.asked(wish)
    await desk.asked(part_of(wish, 4000))

    assert await desk.asked(part_of(wish, 5001)) == "refund_too_large"
    assert await desk.asked(part_of(wish, 5000)) == "PENDING"
    await desk.until(wish.payment_id, S.REFUNDED)
    assert await desk.asked(part_of(wish, 1)) == "refund_too_large"


async def test_refunds_at_once_never_reserve_more_than_was_taken(desk: Site) -> None:
    wish = request()
    await desk.asked(wish)

    answers = await asyncio.gather(*(desk.asked(part_of(wish, 2000)) for _ in range(20)))
    await desk.until(wish.payment_id, S.PARTIALLY_REFUNDED)
    for _ in range(3):
        await desk.due()

    assert (answers.count("PENDING"), answers.count("refund_too_large")) == (4, 16)
    assert (await desk.payment(wish.payment_id)).refunded == 8000
    await money_agrees(desk)


async def test_the_same_refund_many_times_at_once_is_one(desk: Site) -> None:
    wish = request()
    await desk.asked(wish)
    refund = rest_of(wish)

    await asyncio.gather(*(desk.tell(refund) for _ in range(20)))
    await desk.until(wish.payment_id, S.REFUNDED)
    await desk.tell(refund)

    succeeded = [event.version for event in await desk.news() if isinstance(event, RefundSucceeded)]
    assert succeeded == [2, 2]
    assert len(await desk.rows("select 1 from payments.refunds")) == 1
    await money_agrees(desk)


async def test_one_key_posted_twenty_times_is_one_refund(desk: Site) -> None:
    wish = request()
    await desk.asked(wish)
    message_id = uuid4()

    answers = await asyncio.gather(*(desk.asked(part_of(wish, 2000), id=message_id) for _ in range(20)))

    assert set(answers) == {"PENDING"}
    assert (await desk.payment(wish.payment_id)).refunding == 2000


@pytest.mark.parametrize("before", ["unknown", "declined", "voiding", "voided", "refunded"])
async def test_a_refund_of_nothing_ends_too(desk: Site, before: str) -> None:
    wish = request({"declined": "tok_declined", "voiding": "tok_error"}.get(before, "tok_visa"))
    if before != "unknown":
        await desk.asked(wish)
    if before == "voided":
        await desk.tell(void(wish))
        await desk.until(wish.payment_id, S.VOIDED)
    if before == "refunded":
        await desk.tell(rest_of(wish))
        await desk.until(wish.payment_id, S.REFUNDED)
    refund = rest_of(wish)

    await desk.tell(refund)
    await desk.tell(refund)

    told = [event for event in await desk.news() if getattr(event, "refund_id", None) == refund.refund_id]
    assert [(type(event), event.amount, event.version) for event in told] == [(RefundSucceeded, 0, 1)] * 2
    await money_agrees(desk)


async def test_a_failing_refund_is_tried_until_it_is_through(desk: Site) -> None:
    wish = request("tok_refund_error")
    await desk.asked(wish)
    refund = rest_of(wish)
    await desk.tell(refund)

    await desk.due()
    failed = await desk.refund(refund.refund_id)
    assert (failed.status, failed.failure) == (RefundStatus.REFUND_FAILED, "provider_failed")
    await desk.until(wish.payment_id, S.REFUNDED)

    titles = await desk.titles()
    assert titles == ["PaymentApproved", "RefundStarted", "RefundFailed", "RefundSucceeded", "PaymentRefunded"]
    assert (await desk.refund(refund.refund_id)).failure is None
    await money_agrees(desk)


async def test_a_refund_that_was_not_heard_is_looked_up_before_it_is_tried_again(
    desk: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = request()
    await desk.asked(wish)
    refund = rest_of(wish)
    await desk.tell(refund)
    provider: Any = desk.context.resource(ProviderClient)._provider
    original, calls = provider.refund, []

    async def unheard(*call: Any) -> Any:
        calls.append(call)
        await original(*call)
        raise ConnectionError("the answer was lost")

    monkeypatch.setattr(provider, "refund", unheard)
    await desk.due()
    assert (await desk.refund(refund.refund_id)).status is RefundStatus.REFUND_FAILED
    await desk.until(wish.payment_id, S.REFUNDED)

    assert len(calls) == 1
    await money_agrees(desk)


async def test_two_drives_at_once_give_back_once(desk: Site) -> None:
    wish = request()
    await desk.asked(wish)
    refund = rest_of(wish)
    await desk.tell(refund)

    await asyncio.gather(*(desk.tell(DriveRefund(refund_id=refund.refund_id)) for _ in range(8)), desk.due())

    assert (await desk.titles()).count("PaymentRefunded") == 1
    assert await desk.kept() == 0
    await money_agrees(desk)


@pytest.mark.parametrize("token", ["tok_visa", "tok_refund_error"])
async def test_refunds_and_voids_at_once_end_with_nothing_kept(desk: Site, token: str) -> None:
    wishes = [request(token) for _ in range(5)]
    await asyncio.gather(*(desk.asked(wish) for wish in wishes))

    steps = [desk.asked(part_of(wish, amount)) for wish in wishes for amount in (1000, 3000, 6000)]
    steps += [desk.tell(step(wish)) for wish in wishes for step in (rest_of, void, rest_of)]
    await asyncio.gather(*steps)
    for wish in wishes:
        await desk.until(wish.payment_id, S.REFUNDED, S.VOIDED)

    assert await desk.kept() == 0
    await money_agrees(desk)


async def test_an_unknown_payment_cannot_be_refunded_by_hand(desk: Site) -> None:
    assert await desk.asked(part_of(request(), 1000)) == "not_found"


async def test_a_voided_payment_cannot_be_refunded_by_hand(desk: Site) -> None:
    wish = request()
    await desk.asked(wish)
    await desk.tell(void(wish))

    assert await desk.asked(part_of(wish, 1000)) == "wrong_state"
