"""Refunding: never more than was captured, and never twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any
from uuid import uuid4

import pytest

from contracts.payments import (
    DriveRefund,
    LetGoOfPayment,
    PaymentRefunded,
    PaymentStatus,
    PaymentUse,
    RefundRefused,
    RefundStatus,
    RefundSucceeded,
    UsePayment,
)
from tests.payments.conftest import Payments, amount_of, part_of, request, rest_of, void
from workers.payments.provider import ProviderClient

S = PaymentStatus


async def money_agrees(payments: Payments) -> None:
    """Rows, entries and the charges of the provider agree."""
    rows = await payments.rows("select * from payments.payments")
    assert sum(row["captured"] - row["refunded"] for row in rows) == await payments.net_charges()
    for row in rows:
        entries = await payments.rows(f"select * from payments.entries where payment_id = '{row['payment_id']}'")
        given = [one["amount"] for one in entries if one["what"] == "REFUND_REFUNDED"]
        assert sum(given) == row["refunded"]
        states = [one["version"] for one in entries if one["subject_id"] == row["payment_id"]]
        assert sorted(states) == list(range(1, row["version"] + 1))


async def test_the_rest_is_given_back(payments: Payments) -> None:
    command = request()
    await payments.answer(command)
    refund = rest_of(command)

    await payments.handle(refund)
    assert (await payments.payment(command.payment_id)).refunding == 9000
    await payments.wait_for(command.payment_id, S.REFUNDED)

    assert (await payments.refund(refund.refund_id)).status is RefundStatus.REFUNDED
    assert await payments.event_names() == ["PaymentApproved", "RefundStarted", "RefundSucceeded", "PaymentRefunded"]
    assert await payments.net_charges() == 0
    await money_agrees(payments)


async def test_the_rest_after_a_part_is_what_is_left(payments: Payments) -> None:
    command = request()
    await payments.answer(command)

    assert await payments.answer(part_of(command, 4000)) == "PENDING"
    refund = rest_of(command)
    await payments.handle(refund)
    await payments.wait_for(command.payment_id, S.REFUNDED)

    assert (await payments.refund(refund.refund_id)).amount == 5000
    statuses = [event.status for event in await payments.events() if isinstance(event, PaymentRefunded)]
    assert statuses == [S.PARTIALLY_REFUNDED, S.REFUNDED]
    await money_agrees(payments)


async def test_more_than_what_is_left_is_refused(payments: Payments) -> None:
    command = request()
    await payments.answer(command)
    await payments.answer(part_of(command, 4000))

    assert await payments.answer(part_of(command, 5001)) == "refund_too_large"
    assert await payments.answer(part_of(command, 5000)) == "PENDING"
    await payments.wait_for(command.payment_id, S.REFUNDED)
    assert await payments.answer(part_of(command, 1)) == "refund_too_large"


async def test_refunds_at_once_never_reserve_more_than_was_taken(payments: Payments) -> None:
    command = request()
    await payments.answer(command)

    answers = await asyncio.gather(*(payments.answer(part_of(command, 2000)) for _ in range(20)))
    await payments.wait_for(command.payment_id, S.PARTIALLY_REFUNDED)
    for _ in range(3):
        await payments.run_timers()

    assert (answers.count("PENDING"), answers.count("refund_too_large")) == (4, 16)
    assert (await payments.payment(command.payment_id)).refunded == 8000
    await money_agrees(payments)


async def test_the_same_refund_many_times_at_once_is_one(payments: Payments) -> None:
    command = request()
    await payments.answer(command)
    refund = rest_of(command)

    await asyncio.gather(*(payments.handle(refund) for _ in range(20)))
    await payments.wait_for(command.payment_id, S.REFUNDED)
    await payments.handle(refund)

    succeeded = [event.version for event in await payments.events() if isinstance(event, RefundSucceeded)]
    assert succeeded == [2, 2]
    assert len(await payments.rows("select 1 from payments.refunds")) == 1
    await money_agrees(payments)


async def test_one_key_posted_twenty_times_is_one_refund(payments: Payments) -> None:
    command = request()
    await payments.answer(command)
    message_id = uuid4()

    answers = await asyncio.gather(*(payments.answer(part_of(command, 2000), id=message_id) for _ in range(20)))

    assert set(answers) == {"PENDING"}
    assert (await payments.payment(command.payment_id)).refunding == 2000


@pytest.mark.parametrize("before", ["unknown", "declined", "voiding", "voided", "refunded"])
async def test_a_refund_of_nothing_ends_too(payments: Payments, before: str) -> None:
    command = request({"declined": "tok_declined", "voiding": "tok_error"}.get(before, "tok_visa"))
    if before != "unknown":
        await payments.answer(command)
    if before == "voided":
        await payments.handle(void(command))
        await payments.wait_for(command.payment_id, S.VOIDED)
    if before == "refunded":
        await payments.handle(rest_of(command))
        await payments.wait_for(command.payment_id, S.REFUNDED)
    refund = rest_of(command)

    await payments.handle(refund)
    await payments.handle(refund)

    events = [event for event in await payments.events() if getattr(event, "refund_id", None) == refund.refund_id]
    assert [(type(event), event.amount, event.version) for event in events] == [(RefundSucceeded, 0, 1)] * 2
    await money_agrees(payments)


async def test_a_failing_refund_is_tried_until_it_is_through(payments: Payments) -> None:
    command = request("tok_refund_error")
    await payments.answer(command)
    refund = rest_of(command)
    await payments.handle(refund)

    await payments.run_timers()
    failed = await payments.refund(refund.refund_id)
    assert (failed.status, failed.failure) == (RefundStatus.REFUND_FAILED, "provider_failed")
    await payments.wait_for(command.payment_id, S.REFUNDED)

    names = await payments.event_names()
    assert names == ["PaymentApproved", "RefundStarted", "RefundFailed", "RefundSucceeded", "PaymentRefunded"]
    assert (await payments.refund(refund.refund_id)).failure is None
    await money_agrees(payments)


async def test_a_refund_whose_answer_is_lost_is_looked_up_before_it_is_tried_again(
    payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = request()
    await payments.answer(command)
    refund = rest_of(command)
    await payments.handle(refund)
    provider: Any = payments.runtime.resource(ProviderClient)._provider
    original, calls = provider.refund, []

    async def without_answer(*call: Any) -> Any:
        calls.append(call)
        await original(*call)
        raise ConnectionError("the answer was lost")

    monkeypatch.setattr(provider, "refund", without_answer)
    await payments.run_timers()
    assert (await payments.refund(refund.refund_id)).status is RefundStatus.REFUND_FAILED
    await payments.wait_for(command.payment_id, S.REFUNDED)

    assert len(calls) == 1
    await money_agrees(payments)


async def test_two_drives_at_once_give_back_once(payments: Payments) -> None:
    command = request()
    await payments.answer(command)
    refund = rest_of(command)
    await payments.handle(refund)

    await asyncio.gather(
        *(payments.handle(DriveRefund(refund_id=refund.refund_id)) for _ in range(8)), payments.run_timers()
    )

    assert (await payments.event_names()).count("PaymentRefunded") == 1
    assert await payments.net_charges() == 0
    await money_agrees(payments)


@pytest.mark.parametrize("token", ["tok_visa", "tok_refund_error"])
async def test_refunds_and_voids_at_once_end_with_nothing_kept(payments: Payments, token: str) -> None:
    commands = [request(token) for _ in range(5)]
    await asyncio.gather(*(payments.answer(command) for command in commands))

    steps: list[Coroutine[Any, Any, Any]] = [
        payments.answer(part_of(command, amount)) for command in commands for amount in (1000, 3000, 6000)
    ]
    steps += [payments.handle(step(command)) for command in commands for step in (rest_of, void, rest_of)]
    await asyncio.gather(*steps)
    for command in commands:
        await payments.wait_for(command.payment_id, S.REFUNDED, S.VOIDED)

    assert await payments.net_charges() == 0
    await money_agrees(payments)


async def test_an_unknown_payment_cannot_be_refunded_by_hand(payments: Payments) -> None:
    assert await payments.answer(part_of(request(), 1000)) == "not_found"


async def test_a_voided_payment_cannot_be_refunded_by_hand(payments: Payments) -> None:
    command = request()
    await payments.answer(command)
    await payments.handle(void(command))

    assert await payments.answer(part_of(command, 1000)) == "wrong_state"


# -- a part, for the business that requested the payment


async def test_a_part_is_given_back_for_the_business(payments: Payments) -> None:
    command = request()
    await payments.answer(command)
    refund = amount_of(command, 4000)

    for _ in range(3):
        await payments.handle(refund)
    await payments.wait_for(command.payment_id, S.PARTIALLY_REFUNDED)
    await payments.handle(refund)

    assert await payments.net_charges() == 5000
    names = await payments.event_names()
    assert names == ["PaymentApproved", *["RefundStarted"] * 3, "RefundSucceeded", "PaymentRefunded", "RefundSucceeded"]
    await money_agrees(payments)


@pytest.mark.parametrize(
    ("before", "failure"),
    [
        ("approved", "refund_too_large"),
        ("declined", "wrong_state"),
        ("unknown", "not_found"),
        ("voided", "wrong_state"),
    ],
)
async def test_more_than_is_left_is_refused_for_good(payments: Payments, before: str, failure: str) -> None:
    command = request("tok_declined" if before == "declined" else "tok_visa")
    if before != "unknown":
        await payments.answer(command)
    if before == "voided":
        await payments.handle(void(command))
        await payments.wait_for(command.payment_id, S.VOIDED)
    refund = amount_of(command, 9001)

    await payments.handle(refund)
    await payments.answer(command)
    await payments.handle(refund)
    await payments.run_timers()

    refused = [event for event in await payments.events() if isinstance(event, RefundRefused)]
    assert [(one.status, one.amount, one.failure, one.version) for one in refused] == [
        (RefundStatus.REFUSED, 9001, failure, 1)
    ] * 2
    await money_agrees(payments)


async def test_parts_at_once_never_reserve_more_than_was_taken(payments: Payments) -> None:
    command = request()
    await payments.answer(command)
    refunds = [amount_of(command, 2000) for _ in range(10)]

    await asyncio.gather(*(payments.handle(refund) for refund in refunds))
    for _ in range(3):
        await payments.run_timers()

    statuses = [(await payments.refund(refund.refund_id)).status for refund in refunds]
    assert (statuses.count(RefundStatus.REFUNDED), statuses.count(RefundStatus.REFUSED)) == (4, 6)
    await money_agrees(payments)


# -- refunds by hand of what a business counts on


async def test_a_payment_in_use_is_not_refunded_by_hand_until_the_business_lets_go(payments: Payments) -> None:
    use = PaymentUse(object_id=uuid4(), href="/v1/video-rental/rentals/1/cancellation")
    command = request().model_copy(update={"use": use})
    await payments.answer(command)

    refusal = await payments.handle(part_of(command, 1000))
    await payments.handle(LetGoOfPayment(payment_id=command.payment_id))
    await payments.handle(UsePayment(payment_id=command.payment_id, use=use))  # overtaken by the one above

    assert json.loads(refusal.body) == {
        "code": "refund_through_business",
        "business": "video_rental.rentals",
        "object_id": str(use.object_id),
        "href": use.href,
    }
    assert await payments.answer(part_of(command, 1000)) == "PENDING"


async def test_a_payment_is_in_use_from_when_the_business_says_so(payments: Payments) -> None:
    command = request()
    await payments.answer(command)

    use = PaymentUse(object_id=uuid4(), href="/v1/video-rental/rentals/1/return")
    await payments.handle(UsePayment(payment_id=command.payment_id, use=use))

    assert await payments.answer(part_of(command, 1000)) == "refund_through_business"


async def test_the_refund_of_the_rest_lets_go_of_the_payment(payments: Payments) -> None:
    command = request().model_copy(update={"use": PaymentUse(object_id=uuid4(), href="/v1/x")})
    await payments.answer(command)

    await payments.handle(rest_of(command))

    assert await payments.answer(part_of(command, 1000)) == "refund_too_large"
