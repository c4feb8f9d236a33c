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
from tests.support.town import Town, eventually
from workers.runtime.processing import failpoints


@pytest.mark.parametrize("token", ["tok_slow", "tok_error"])
async def test_a_silent_or_failing_provider_cancels_the_booking_and_frees_the_copy(
    town: Town, kim: Caller, lee: Caller, token: str
) -> None:
    video_id = await town.video(copies=1)

    refusal = await town.refused(town.booking(video_id, kim, token))
    next_one = await town.done(town.booking(video_id, lee))

    assert (refusal["code"], refusal["current_status"]) == ("payment_unavailable", "CANCELLED")
    assert next_one["status"] == "BOOKED"
    await shown(town, refusal["rental_id"], status="CANCELLED", reason="payment_unavailable")
    assert await told_of(town, UUID(refusal["rental_id"])) == ["booking_started", "booking_cancelled"]


async def test_a_silent_payment_is_answered_within_its_time(town: Town, kim: Caller) -> None:
    video_id = await town.video()
    started = time.monotonic()

    await town.refused(town.booking(video_id, kim, "tok_slow"))

    assert time.monotonic() - started < town.settings.video_rental_payment_ms / 1000 + 0.5


async def test_a_charge_that_turns_up_after_all_is_voided(town: Town, kim: Caller) -> None:
    refusal = await town.refused(town.booking(await town.video(), kim, "tok_slow"))

    await shown(town, refusal["rental_id"], payment={"status": "VOIDED"})

    async def charged_and_given_up() -> bool:
        rows = await town.rows(
            "provider",
            "select captured, voided from provider.charges where key = $1",
            UUID(await _payment_id(town, refusal)),
        )
        return [tuple(row) for row in rows] == [(1000, 1000)]

    await eventually(charged_and_given_up)
    assert (await rental_of(town, refusal["rental_id"]))["payment"]["status"] == "VOIDED"


async def _payment_id(town: Town, refusal: dict[str, str]) -> str:
    payment_id: str = (await rental_of(town, refusal["rental_id"]))["payment_id"]
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
    town: Town, kim: Caller, lee: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    video_id = await town.video(copies=1)
    await town.wait_until_idle()

    with first_answer_of_payments_is_held_back(monkeypatch):
        refusal = await town.refused(town.booking(video_id, kim))

    assert refusal["code"] == "payment_unavailable"
    assert (await town.done(town.booking(video_id, lee)))["status"] == "BOOKED"
    entry = await shown(town, refusal["rental_id"], status="CANCELLED", payment={"status": "VOIDED"})
    assert "PaymentApproved" in [line["what"] for line in entry["timeline"]]
    assert await kept(town, UUID(refusal["rental_id"])) == 0


async def test_a_late_fee_whose_approval_nobody_heard_is_still_owed_and_voided(
    town: Town, kim: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    returned = await returned_late(town, kim, await town.video(), 0.5)
    await town.wait_until_idle()

    with first_answer_of_payments_is_held_back(monkeypatch):
        refusal = await town.refused(pay_late_fee(returned, kim))

    owed = await rental_of(town, returned["rental_id"])
    assert (refusal["code"], owed["late_fee_status"]) == ("payment_unavailable", "OWED")

    async def nothing_kept() -> bool:
        return await kept_of(town, owed["late_fee_payment_id"]) == 0

    await eventually(nothing_kept)
    assert await kept(town, returned) == 1000


async def test_repeating_a_request_that_came_to_nothing_changes_nothing(town: Town, kim: Caller) -> None:
    video_id, request_id = await town.video(), uuid4()
    booking = town.booking(video_id, kim, "tok_slow")

    first = await attempt(town, booking, id=request_id)
    second = await attempt(town, booking, id=request_id)

    assert first == second
    assert first[0] == "payment_unavailable"


async def test_a_new_try_is_another_payment(town: Town, kim: Caller) -> None:
    video_id = await town.video(copies=1)
    refusal = await town.refused(town.booking(video_id, kim, "tok_error"))

    rental = await town.done(town.booking(video_id, kim))

    assert rental["rental_id"] != refusal["rental_id"]
    assert await kept(town, rental) == 1000
    assert await kept(town, UUID(refusal["rental_id"])) == 0


async def test_many_silent_payments_at_once_free_every_copy(town: Town) -> None:
    video_id = await town.video(copies=10)
    wishes = [town.booking(video_id, token="tok_slow") for _ in range(10)]

    outcomes = await asyncio.gather(*(attempt(town, wish, id=uuid4()) for wish in wishes))

    assert {code for code, _ in outcomes} <= {"payment_unavailable", "unavailable"}
    assert await free_copies(town, video_id) == 10
