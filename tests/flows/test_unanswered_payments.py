"""A provider that does not answer, or fails: no booking is made, and in the end no money is kept."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from contracts.base import Caller
from tests.flows.helpers import (
    free_copies,
    net_booking_charge,
    pay_late_fee,
    rental_events,
    rental_of,
    returned_late,
    wait_for_rental,
    wait_for_view,
)
from tests.support.failpoints import paused
from tests.support.payments import wait_for_void
from tests.support.system import System


@pytest.mark.parametrize("token", ["tok_slow", "tok_error"])
async def test_a_provider_that_fails_or_does_not_answer_cancels_the_booking_and_frees_the_copy(
    system: System, kim: Caller, lee: Caller, token: str
) -> None:
    video_id = await system.video(copies=1)

    refusal = await system.refused(system.booking(video_id, kim, token))
    next_one = await system.done(system.booking(video_id, lee))

    assert (refusal["code"], refusal["current_status"]) == ("payment_unavailable", "CANCELLED")
    assert next_one["status"] == "BOOKED"
    await wait_for_view(system, refusal, status="CANCELLED", reason="payment_unavailable")
    assert await rental_events(system, refusal) == ["booking_started", "booking_cancelled"]


async def test_a_booking_is_answered_in_time_while_the_provider_does_not_answer(system: System, kim: Caller) -> None:
    video_id = await system.video()
    started = time.monotonic()

    await system.refused(system.booking(video_id, kim, "tok_slow"))

    assert time.monotonic() - started < system.settings.video_rental_payment_ms / 1000 + 0.5


async def test_a_charge_that_succeeds_too_late_is_voided(system: System, kim: Caller) -> None:
    refusal = await system.refused(system.booking(await system.video(), kim, "tok_slow"))

    await wait_for_view(system, refusal, payment={"status": "VOIDED"})
    rental = await wait_for_rental(system, refusal, payment={"status": "VOIDED"})
    await wait_for_void(system, rental["payment_id"], 1000)


async def test_an_approval_whose_answer_is_lost_is_voided(system: System, kim: Caller, lee: Caller) -> None:
    video_id = await system.video(copies=1)
    await system.wait_until_idle()

    async with paused("payments", "committed"):
        refusal = await system.refused(system.booking(video_id, kim))

    assert refusal["code"] == "payment_unavailable"
    assert (await system.done(system.booking(video_id, lee)))["status"] == "BOOKED"
    entry = await wait_for_view(system, refusal, status="CANCELLED", payment={"status": "VOIDED"})
    assert "PaymentApproved" in [line["what"] for line in entry["timeline"]]
    assert await net_booking_charge(system, refusal) == 0


async def test_a_late_fee_whose_approval_is_lost_is_still_owed_and_its_charge_voided(
    system: System, kim: Caller
) -> None:
    returned = await returned_late(system, kim, await system.video(), 0.5)
    await system.wait_until_idle()

    async with paused("payments", "committed"):
        refusal = await system.refused(pay_late_fee(returned, kim))

    owed = await rental_of(system, returned)
    assert (refusal["code"], owed["late_fee_status"]) == ("payment_unavailable", "OWED")

    await wait_for_void(system, owed["late_fee_payment_id"], 1000)
    assert await net_booking_charge(system, returned) == 1000


async def test_repeating_a_failed_request_changes_nothing(system: System, kim: Caller) -> None:
    video_id, request_id = await system.video(), uuid4()
    booking = system.booking(video_id, kim, "tok_slow")

    first = await system.outcome(booking, id=request_id)
    second = await system.outcome(booking, id=request_id)

    assert first == second
    assert first[0] == "payment_unavailable"


async def test_a_new_try_is_another_payment(system: System, kim: Caller) -> None:
    video_id = await system.video(copies=1)
    refusal = await system.refused(system.booking(video_id, kim, "tok_error"))

    rental = await system.done(system.booking(video_id, kim))

    assert rental["rental_id"] != refusal["rental_id"]
    assert await net_booking_charge(system, rental) == 1000
    assert await net_booking_charge(system, refusal) == 0


async def test_many_unanswered_payments_at_once_free_every_copy(system: System) -> None:
    video_id = await system.video(copies=10)
    outcomes = await system.outcomes(system.booking(video_id, token="tok_slow") for _ in range(10))

    assert {code for code, _ in outcomes} <= {"payment_unavailable", "unavailable"}
    assert await free_copies(system, video_id) == 10
