"""When the provider says nothing, or fails: no booking stands, and in the end no money is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest

from contracts.base import Caller
from tests.flows.renting import (
    attempt,
    free_copies,
    kept,
    kept_of,
    pay_late_fee,
    rental_of,
    returned_late,
    shown,
    told_of,
)
from tests.support.system import System, eventually
from workers.runtime.processing import failpoints


@pytest.mark.parametrize("token", ["tok_slow", "tok_error"])
async def test_a_silent_or_failing_provider_cancels_the_booking_and_frees_the_copy(
    system: System, kim: Caller, lee: Caller, token: str
) -> None:
    video_id = await system.video(copies=1)

    refusal = await system.refused(system.booking(video_id, kim, token))
    next_one = await system.done(system.booking(video_id, lee))

    assert (refusal["code"], refusal["current_status"]) == ("payment_unavailable", "CANCELLED")
    assert next_one["status"] == "BOOKED"
    await shown(system, refusal["rental_id"], status="CANCELLED", reason="payment_unavailable")
    assert await told_of(system, UUID(refusal["rental_id"])) == ["booking_started", "booking_cancelled"]


async def test_a_silent_payment_is_answered_within_its_time(system: System, kim: Caller) -> None:
    video_id = await system.video()
    started = time.monotonic()

    await system.refused(system.booking(video_id, kim, "tok_slow"))

    assert time.monotonic() - started < system.settings.video_rental_payment_ms / 1000 + 0.5


async def test_a_charge_that_turns_up_after_all_is_voided(system: System, kim: Caller) -> None:
    refusal = await system.refused(system.booking(await system.video(), kim, "tok_slow"))

    await shown(system, refusal["rental_id"], payment={"status": "VOIDED"})

    async def charged_and_given_up() -> bool:
        rows = await system.rows(
            "provider",
            "select captured, voided from provider.charges where key = $1",
            UUID(await _payment_id(system, refusal)),
        )
        return [tuple(row) for row in rows] == [(1000, 1000)]

    await eventually(charged_and_given_up)
    assert (await rental_of(system, refusal["rental_id"]))["payment"]["status"] == "VOIDED"


async def _payment_id(system: System, refusal: dict[str, str]) -> str:
    payment_id: str = (await rental_of(system, refusal["rental_id"]))["payment_id"]
    return payment_id


@contextmanager
def first_answer_of_payments_is_held_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Payments does its work, and its answer comes when nobody waits any more."""
    released, held = asyncio.Event(), list[str]()

    async def hold(context: str, place: str) -> None:
        if (context, place) == ("payments", "committed") and not held:
            held.append(place)
            await released.wait()

    monkeypatch.setattr(failpoints, "hook", hold)
    try:
        yield
    finally:
        released.set()
    assert held


async def test_an_approval_that_nobody_heard_is_voided(
    system: System, kim: Caller, lee: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    video_id = await system.video(copies=1)
    await system.wait_until_idle()

    with first_answer_of_payments_is_held_back(monkeypatch):
        refusal = await system.refused(system.booking(video_id, kim))

    assert refusal["code"] == "payment_unavailable"
    assert (await system.done(system.booking(video_id, lee)))["status"] == "BOOKED"
    entry = await shown(system, refusal["rental_id"], status="CANCELLED", payment={"status": "VOIDED"})
    assert "PaymentApproved" in [line["what"] for line in entry["timeline"]]
    assert await kept(system, UUID(refusal["rental_id"])) == 0


async def test_a_late_fee_whose_approval_nobody_heard_is_still_owed_and_voided(
    system: System, kim: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    returned = await returned_late(system, kim, await system.video(), 0.5)
    await system.wait_until_idle()

    with first_answer_of_payments_is_held_back(monkeypatch):
        refusal = await system.refused(pay_late_fee(returned, kim))

    owed = await rental_of(system, returned["rental_id"])
    assert (refusal["code"], owed["late_fee_status"]) == ("payment_unavailable", "OWED")

    async def nothing_kept() -> bool:
        return await kept_of(system, owed["late_fee_payment_id"]) == 0

    await eventually(nothing_kept)
    assert await kept(system, returned) == 1000


async def test_repeating_a_request_that_came_to_nothing_changes_nothing(system: System, kim: Caller) -> None:
    video_id, request_id = await system.video(), uuid4()
    booking = system.booking(video_id, kim, "tok_slow")

    first = await attempt(system, booking, id=request_id)
    second = await attempt(system, booking, id=request_id)

    assert first == second
    assert first[0] == "payment_unavailable"


async def test_a_new_try_is_another_payment(system: System, kim: Caller) -> None:
    video_id = await system.video(copies=1)
    refusal = await system.refused(system.booking(video_id, kim, "tok_error"))

    rental = await system.done(system.booking(video_id, kim))

    assert rental["rental_id"] != refusal["rental_id"]
    assert await kept(system, rental) == 1000
    assert await kept(system, UUID(refusal["rental_id"])) == 0


async def test_many_silent_payments_at_once_free_every_copy(system: System) -> None:
    video_id = await system.video(copies=10)
    wishes = [system.booking(video_id, token="tok_slow") for _ in range(10)]

    outcomes = await asyncio.gather(*(attempt(system, wish, id=uuid4()) for wish in wishes))

    assert {code for code, _ in outcomes} <= {"payment_unavailable", "unavailable"}
    assert await free_copies(system, video_id) == 10
