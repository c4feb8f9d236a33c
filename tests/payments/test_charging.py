"""Charging: once for each payment, and every charge can be voided."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from contracts.payments import DriveVoid, PaymentStatus, PaymentVoided, RequestPayment
from tests.payments.conftest import Payments, request, rest_of, void
from workers.payments.provider import ProviderClient

S = PaymentStatus


@pytest.mark.parametrize(
    ("token", "answer", "status", "events"),
    [
        ("tok_visa", "APPROVED", S.APPROVED, ["PaymentApproved"]),
        ("tok_declined", "declined", S.DECLINED, ["PaymentDeclined"]),
        ("tok_slow", "provider_unavailable", S.VOIDING, ["PaymentVoiding"]),
        ("tok_error", "provider_unavailable", S.VOIDING, ["PaymentVoiding"]),
    ],
)
async def test_the_answer_of_the_provider_decides_reply_and_event(
    payments: Payments, token: str, answer: str, status: PaymentStatus, events: list[str]
) -> None:
    command = request(token)

    answered = await payments.answer(command)

    payment = await payments.payment(command.payment_id)
    assert (answered, payment.status, payment.version) == (answer, status, 1)
    assert await payments.event_names() == events


async def test_the_same_request_again_is_answered_the_same_and_charged_once(payments: Payments) -> None:
    command = request()
    message_id = uuid4()

    answers = [
        await payments.answer(command, id=message_id),
        await payments.answer(command, id=message_id),
        await payments.answer(command),
    ]

    assert answers == ["APPROVED"] * 3
    assert [row["calls"] for row in await payments.charges()] == [1]


async def test_fifty_requests_at_once_for_one_payment_charge_once(payments: Payments) -> None:
    command = request()

    answers = await asyncio.gather(*(payments.answer(command) for _ in range(50)))

    assert answers == ["APPROVED"] * 50
    assert await payments.net_charges() == 9000
    assert await payments.event_names() == ["PaymentApproved"]


async def test_another_amount_under_the_same_id_is_refused(payments: Payments) -> None:
    command = request(amount=9000)
    await payments.answer(command)

    assert await payments.answer(request(amount=9001, payment_id=command.payment_id)) == "payment_mismatch"


async def test_a_call_that_would_be_late_is_not_begun(payments: Payments) -> None:
    command = request()

    assert await payments.answer(command, deadline=0.05) == "provider_unavailable"
    assert await payments.rows("select 1 from payments.payments") == []
    assert await payments.charges() == []


async def test_a_slow_charge_that_succeeds_later_is_voided(payments: Payments) -> None:
    command = request("tok_slow")
    await payments.answer(command)
    await payments.wait_for_captured(9000)

    payment = await payments.wait_for(command.payment_id, S.VOIDED)

    assert (payment.captured, payment.version, payment.reason) == (0, 2, "provider_unavailable")
    assert await payments.net_charges() == 0
    assert (await payments.event_names())[-1] == "PaymentVoided"


async def test_a_void_without_a_charge_waits_until_no_charge_can_come(payments: Payments) -> None:
    command = request("tok_error")
    await payments.answer(command)
    for _ in range(3):
        await payments.run_timers()
    assert (await payments.payment(command.payment_id)).status is S.VOIDING

    capture_window = payments.runtime.resource(ProviderClient).capture_window
    await payments.execute(f"update payments.payments set asked_at = asked_at - interval '{capture_window} seconds'")
    await payments.run_timers()

    assert (await payments.payment(command.payment_id)).status is S.VOIDED


async def test_a_charge_that_succeeds_too_late_is_voided_by_a_later_look_up(payments: Payments) -> None:
    command = request("tok_slow")
    await payments.answer(command)
    await payments.execute("update payments.payments set asked_at = asked_at - interval '1 day'")
    await payments.wait_for(command.payment_id, S.VOIDED)
    await payments.wait_for_captured(9000)

    await payments.run_timers(hours=1)

    assert await payments.net_charges() == 0
    assert [event.version for event in await payments.events() if isinstance(event, PaymentVoided)] == [2, 3]
    await payments.run_timers(hours=24)
    assert (await payments.payment(command.payment_id)).version == 3
    assert await payments.rows("select 1 from payments.inbox where state <> 'done'") == []


async def test_a_void_before_the_request_declines_it(payments: Payments) -> None:
    command = request()
    await payments.handle(void(command))

    assert await payments.answer(command) == "voided"
    assert await payments.charges() == []
    assert await payments.event_names() == ["PaymentVoiding"]


async def test_a_void_with_the_call_in_flight_wins(payments: Payments) -> None:
    command = request("tok_slow")
    request_sent = asyncio.create_task(payments.answer(command))
    await asyncio.sleep(0.1)

    await payments.handle(void(command))

    assert await request_sent == "voided"
    await payments.wait_for_captured(9000)
    await payments.wait_for(command.payment_id, S.VOIDED)
    assert await payments.net_charges() == 0


@pytest.mark.parametrize("token", ["tok_visa", "tok_declined", "tok_error", "tok_slow"])
async def test_voids_and_requests_at_once_end_with_nothing_kept(payments: Payments, token: str) -> None:
    commands = [request(token) for _ in range(8)]
    messages = [step for command in commands for step in (command, void(command), void(command))]

    await asyncio.gather(*(payments.handle(message) for message in messages))
    await asyncio.sleep(1.2 if token == "tok_slow" else 0)
    await payments.execute("update payments.payments set asked_at = asked_at - interval '1 day'")

    for command in commands:
        payment = await payments.wait_for(command.payment_id, S.DECLINED, S.VOIDED)
        assert payment.captured == 0
    assert await payments.net_charges() == 0
    voided = {event.payment_id for event in await payments.events() if isinstance(event, PaymentVoided)}
    assert voided == {command.payment_id for command in commands}


async def test_each_void_is_answered_and_an_unchanged_state_keeps_its_version(payments: Payments) -> None:
    command = request("tok_declined")
    await payments.answer(command)

    await payments.handle(void(command))
    await payments.handle(void(command))

    voided = [event for event in await payments.events() if isinstance(event, PaymentVoided)]
    assert [(event.status, event.version) for event in voided] == [(S.DECLINED, 1)] * 2


async def test_a_void_of_an_approved_payment_voids_all_of_it(payments: Payments) -> None:
    command = request()
    await payments.answer(command)

    await payments.handle(void(command))
    payment = await payments.wait_for(command.payment_id, S.VOIDED)

    assert (payment.version, payment.captured, payment.reason) == (3, 0, "cancelled")
    assert await payments.net_charges() == 0


async def test_a_void_waits_for_a_refund_under_way(payments: Payments) -> None:
    command = request("tok_refund_error")
    await payments.answer(command)
    await payments.handle(rest_of(command))
    await payments.handle(void(command))

    payment = await payments.wait_for(command.payment_id, S.VOIDED)

    assert (payment.refunding, payment.refunded, payment.captured) == (0, 9000, 9000)
    assert await payments.net_charges() == 0


async def test_a_charge_that_a_crash_left_without_a_row_is_found_by_the_void(payments: Payments) -> None:
    command = request()
    await payments.charge_at_the_provider(command)

    await payments.handle(void(command))
    payment = await payments.wait_for(command.payment_id, S.VOIDED)

    assert await payments.net_charges() == 0
    assert payment.reason == "cancelled"


async def test_a_charge_that_a_crash_left_without_a_row_is_taken_up_by_the_same_request(payments: Payments) -> None:
    command = request()
    await payments.charge_at_the_provider(command)

    assert await payments.answer(command) == "APPROVED"

    assert await payments.net_charges() == 9000
    assert await payments.event_names() == ["PaymentApproved"]


async def test_a_payment_that_an_earlier_release_left_requested_ends_voided(payments: Payments) -> None:
    command = request()
    await payments.charge_at_the_provider(command)
    await payments.execute(
        "insert into payments.payments (payment_id, status, payer, amount, purpose, method)"
        " values ($1, 'REQUESTED', $2, $3, $4, 'card')",
        command.payment_id,
        command.payer,
        command.amount,
        command.purpose,
    )
    await payments.execute(
        "insert into payments.inbox (id, topic, digest, owner, state, body, due_at, story_id, actor)"
        " values ($1, $2, '', $1, 'started', $3, now(), $1, 'x')",
        uuid4(),
        RequestPayment.topic,
        command.model_dump_json(),
    )

    payment = await payments.wait_for(command.payment_id, S.VOIDED)

    assert await payments.net_charges() == 0
    assert payment.reason == "provider_unavailable"


async def test_a_void_is_tried_again_while_the_provider_is_unreachable(
    payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = request()
    await payments.answer(command)

    async def unreachable(_: object) -> None:
        raise ConnectionError("the provider is unreachable")

    with monkeypatch.context() as outage:
        outage.setattr(payments.runtime.resource(ProviderClient), "void", unreachable)
        await payments.handle(void(command))
        for _ in range(12):
            await payments.run_timers(hours=1)
        assert (await payments.payment(command.payment_id)).status is S.VOIDING

    await payments.wait_for(command.payment_id, S.VOIDED)
    await payments.handle(DriveVoid(payment_id=command.payment_id))
    assert (await payments.event_names()).count("PaymentVoided") == 1


async def test_no_table_has_the_token_of_a_settled_payment(payments: Payments) -> None:
    for token in ("tok_secret", "tok_error"):
        await payments.answer(request(token))

    for table in ("payments", "entries", "outbox", "inbox"):
        rows = await payments.rows(f"select * from payments.{table}")
        assert "tok_" not in str(rows), table
    assert "tok_" not in str(await payments.charges())
