"""Charged once, and whatever becomes of a charge can be undone."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import pytest

from contracts.payments import DriveVoid, PaymentStatus, PaymentVoided, RequestPayment
from storage import payments as store
from tests.payments.conftest import Site, request, rest_of, void
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
async def test_what_the_provider_says_is_answered_and_told(
    desk: Site, token: str, answer: str, status: PaymentStatus, events: list[str]
) -> None:
    wish = request(token)

    said = await desk.asked(wish)

    payment = await desk.payment(wish.payment_id)
    assert (said, payment.status, payment.version) == (answer, status, 1)
    assert await desk.titles() == events


async def test_the_same_request_again_is_answered_the_same_and_charged_once(desk: Site) -> None:
    wish = request()
    message_id = uuid4()

    answers = [await desk.asked(wish, id=message_id), await desk.asked(wish, id=message_id), await desk.asked(wish)]

    assert answers == ["APPROVED"] * 3
    assert [row["calls"] for row in await desk.ledger()] == [1]


async def test_fifty_requests_at_once_for_one_payment_charge_once(desk: Site) -> None:
    wish = request()

    answers = await asyncio.gather(*(desk.asked(wish) for _ in range(50)))

    assert answers.count("APPROVED") + answers.count("still_running") == 50
    assert [row["calls"] for row in await desk.ledger()] == [1]
    assert await desk.titles() == ["PaymentApproved"]


async def test_another_amount_under_the_same_id_is_refused(desk: Site) -> None:
    wish = request(amount=9000)
    await desk.asked(wish)

    assert await desk.asked(request(amount=9001, payment_id=wish.payment_id)) == "payment_mismatch"


async def test_a_call_that_would_be_late_is_not_begun(desk: Site) -> None:
    wish = request()

    assert await desk.asked(wish, budget=0.05) == "provider_unavailable"
    assert await desk.rows("select 1 from payments.payments") == []
    assert await desk.ledger() == []


async def test_a_slow_charge_that_succeeds_later_is_voided(desk: Site) -> None:
    wish = request("tok_slow")
    await desk.asked(wish)
    await desk.has_captured(9000)

    payment = await desk.until(wish.payment_id, S.VOIDED)

    assert (payment.captured, payment.version, payment.reason) == (0, 2, "provider_unavailable")
    assert await desk.kept() == 0
    assert (await desk.titles())[-1] == "PaymentVoided"


async def test_a_void_without_a_charge_waits_until_none_can_come(desk: Site) -> None:
    wish = request("tok_error")
    await desk.asked(wish)
    for _ in range(3):
        await desk.due()
    assert (await desk.payment(wish.payment_id)).status is S.VOIDING

    capture_window = desk.context.resource(ProviderClient).capture_window
    await desk.execute(f"update payments.payments set asked_at = asked_at - interval '{capture_window} seconds'")
    await desk.due()

    assert (await desk.payment(wish.payment_id)).status is S.VOIDED


async def test_a_charge_that_turns_up_after_all_is_voided_by_the_look_ups(desk: Site) -> None:
    wish = request("tok_slow")
    await desk.asked(wish)
    await desk.execute("update payments.payments set asked_at = asked_at - interval '1 day'")
    await desk.until(wish.payment_id, S.VOIDED)
    await desk.has_captured(9000)

    await desk.due(hours=1)

    assert await desk.kept() == 0
    assert [event.version for event in await desk.news() if isinstance(event, PaymentVoided)] == [2, 3]
    await desk.due(hours=24)
    assert (await desk.payment(wish.payment_id)).version == 3
    assert await desk.rows("select 1 from payments.inbox where state <> 'done'") == []


async def test_a_void_before_the_request_declines_it(desk: Site) -> None:
    wish = request()
    await desk.tell(void(wish))

    assert await desk.asked(wish) == "voided"
    assert await desk.ledger() == []
    assert await desk.titles() == ["PaymentVoided"]


async def test_a_void_with_the_call_in_flight_wins(desk: Site) -> None:
    wish = request("tok_slow")
    asking = asyncio.create_task(desk.asked(wish))
    await asyncio.sleep(0.1)

    await desk.tell(void(wish))

    assert await asking == "voided"
    await desk.has_captured(9000)
    await desk.until(wish.payment_id, S.VOIDED)
    assert await desk.kept() == 0


@pytest.mark.parametrize("token", ["tok_visa", "tok_declined", "tok_error", "tok_slow"])
async def test_voids_and_requests_at_once_end_with_nothing_kept(desk: Site, token: str) -> None:
    wishes = [request(token) for _ in range(8)]
    messages = [step for wish in wishes for step in (wish, void(wish), void(wish))]

    await asyncio.gather(*(desk.handle(message) for message in messages))
    await asyncio.sleep(1.2 if token == "tok_slow" else 0)
    await desk.execute("update payments.payments set asked_at = asked_at - interval '1 day'")

    for wish in wishes:
        payment = await desk.until(wish.payment_id, S.DECLINED, S.VOIDED)
        assert payment.captured == 0
    assert await desk.kept() == 0
    voided = {event.payment_id for event in await desk.news() if isinstance(event, PaymentVoided)}
    assert voided == {wish.payment_id for wish in wishes}


async def test_each_void_is_answered_and_an_unchanged_state_keeps_its_version(desk: Site) -> None:
    wish = request("tok_declined")
    await desk.asked(wish)

    await desk.tell(void(wish))
    await desk.tell(void(wish))

    voided = [event for event in await desk.news() if isinstance(event, PaymentVoided)]
    assert [(event.status, event.version) for event in voided] == [(S.DECLINED, 1)] * 2


async def test_a_void_of_a_payment_that_stands_gives_everything_up(desk: Site) -> None:
    wish = request()
    await desk.asked(wish)

    await desk.tell(void(wish))
    payment = await desk.until(wish.payment_id, S.VOIDED)

    assert (payment.version, payment.captured, payment.reason) == (3, 0, "cancelled")
    assert await desk.kept() == 0


async def test_a_void_waits_for_a_refund_under_way(desk: Site) -> None:
    wish = request("tok_refund_error")
    await desk.asked(wish)
    await desk.tell(rest_of(wish))
    await desk.tell(void(wish))

    payment = await desk.until(wish.payment_id, S.VOIDED)

    assert (payment.refunding, payment.refunded, payment.captured) == (0, 9000, 9000)
    assert await desk.kept() == 0


async def test_a_crash_between_the_charge_and_its_note_ends_voided(desk: Site) -> None:
    wish = request()
    async with desk.context.database.session() as session:
        await store.create(session, wish)
    await desk.context.resource(ProviderClient).charge(
        wish.payment_id, wish.amount, wish.method.token, deadline=time.monotonic() + 1
    )
    await desk.execute(
        "insert into payments.inbox (id, topic, digest, owner, state, body, due_at, story_id, actor)"
        " values ($1, $2, '', $1, 'started', $3, now(), $1, 'x')",
        uuid4(),
        RequestPayment.topic,
        wish.model_dump_json(),
    )

    payment = await desk.until(wish.payment_id, S.VOIDED)

    assert await desk.kept() == 0
    assert payment.reason == "provider_unavailable"


async def test_a_void_goes_on_while_the_provider_is_away(desk: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = request()
    await desk.asked(wish)

    async def away(_: object) -> None:
        raise ConnectionError("the provider is away")

    with monkeypatch.context() as outage:
        outage.setattr(desk.context.resource(ProviderClient), "void", away)
        await desk.tell(void(wish))
        for _ in range(12):
            await desk.due(hours=1)
        assert (await desk.payment(wish.payment_id)).status is S.VOIDING

    await desk.until(wish.payment_id, S.VOIDED)
    await desk.tell(DriveVoid(payment_id=wish.payment_id))
    assert (await desk.titles()).count("PaymentVoided") == 1


async def test_the_token_is_nowhere_once_the_payment_is_settled(desk: Site) -> None:
    for token in ("tok_secret", "tok_error"):
        await desk.asked(request(token))

    for table in ("payments", "entries", "outbox", "inbox"):
        rows = await desk.rows(f"select * from payments.{table}")
        assert "tok_" not in str(rows), table
    assert "tok_" not in str(await desk.ledger())
