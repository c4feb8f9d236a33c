"""What video rental does while some of its contexts are stopped or killed, and with two replicas of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from uuid import UUID, uuid4

import pytest

from contracts.base import Caller, Message
from contracts.video_rental.rentals import ListRentals
from contracts.video_rental.videos import ListVideos
from tests.conftest import MakeSettings
from tests.flows.conftest import can_book, system_with
from tests.flows.helpers import (
    CONTEXTS,
    MY_PAGE,
    RENTALS,
    VIDEOS,
    cancel,
    discrepancies,
    free_copies,
    page_of,
    rental_of,
    view_of,
    wait_for_rental,
    wait_for_view,
)
from tests.support.failpoints import until_reached
from tests.support.payments import wait_for_payment
from tests.support.system import System, customer, eventually


@pytest.fixture(scope="module")
async def open_system(make_settings: MakeSettings) -> AsyncIterator[System]:
    async with system_with(make_settings) as running:
        yield running


@pytest.fixture
async def system(open_system: System) -> System:
    """A system in which every context of video rental runs and answers when a test begins."""
    await open_system.start_stopped(*CONTEXTS)
    await open_system.wait_for_reply(ListVideos(), "done")
    await eventually(partial(can_book, open_system))
    return open_system


async def test_a_video_registered_while_rentals_is_stopped_can_be_booked_later(system: System, kim: Caller) -> None:
    await system.stop_until_unavailable(RENTALS)
    video_id = await system.video(title="Rebecca")
    listed = await system.done(ListVideos(limit=1))

    await system.start(RENTALS)

    async def bookable() -> bool:
        return (await system.outcome(system.booking(video_id, kim)))[0] in ("done", "already_booked")

    await eventually(bookable)
    assert listed["items"][0]["title"] == "Rebecca"


async def test_my_page_answers_while_all_its_writers_are_stopped(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(title="Suspicion"), kim))
    await system.wait_until_idle()
    await system.stop_until_unavailable("payments", VIDEOS, RENTALS)

    (item,) = await page_of(system, kim)
    seen = await view_of(system, rental, min_version=2, caller=kim)

    assert (item["status"], item["title"]) == ("BOOKED", "Suspicion")
    assert seen["payment"] == {"payment_id": rental["payment_id"], "status": "APPROVED", "amount": 1000}


async def test_a_stopped_context_is_unavailable_at_once_and_nothing_is_begun(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(), kim))
    await system.stop(RENTALS)
    commands: list[Message] = [system.booking(uuid4(), kim), cancel(rental, kim), ListRentals(member_id=kim.member_id)]
    for command in commands:
        await system.wait_for_reply(command, "unavailable")
    started = time.monotonic()

    replies = [await system.request(command) for command in commands]

    assert [reply.kind for reply in replies] == ["unavailable"] * 3
    assert all(reply.retry_after for reply in replies)
    assert time.monotonic() - started < 1
    assert [item["status"] for item in await page_of(system, kim)] == ["BOOKED"]
    await system.start(RENTALS)
    assert (await system.outcome(cancel(rental, kim)))[0] == "done"


async def test_a_booking_refused_while_payments_is_stopped_leaves_its_row_and_the_copy_is_free(
    system: System, kim: Caller
) -> None:
    video_id = await system.video(copies=1)
    await system.stop_until_unavailable("payments")

    code, refusal = await system.outcome(system.booking(video_id, kim))

    assert (code, refusal["current_status"]) == ("payment_unavailable", "CANCELLED")
    assert await free_copies(system, video_id) == 1
    await wait_for_view(system, refusal, status="CANCELLED", reason="payment_unavailable")
    await system.start("payments")
    await wait_for_view(system, refusal, within=30, payment={"status": "VOIDED", "amount": 0})
    await system.wait_until_idle()
    assert await discrepancies(system) == []
    assert (await system.outcome(system.booking(video_id, kim)))[0] == "done"


async def test_a_repeated_booking_is_answered_while_payments_is_stopped(system: System, kim: Caller) -> None:
    booking, request_id = system.booking(await system.video(), kim), uuid4()
    rental = await system.done(booking, id=request_id)
    await system.stop_until_unavailable("payments")

    assert await system.done(booking, id=request_id) == rental


async def test_a_cancellation_while_payments_is_stopped_is_refunded_when_it_starts(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(), kim))
    await system.stop_until_unavailable("payments")

    cancelled = await system.done(cancel(rental, kim))
    pending = await wait_for_view(system, rental, status="CANCELLED", payment={"status": "APPROVED"})
    await system.start("payments")

    assert cancelled["refund"]["status"] == "PENDING"
    assert pending["refund"] is None or pending["refund"]["status"] == "PENDING"
    await wait_for_view(system, rental, refund={"status": "REFUNDED"}, payment={"status": "REFUNDED"})


async def test_payments_killed_during_a_charge_leaves_no_booking_and_no_money(system: System, kim: Caller) -> None:
    video_id = await system.video(copies=1)
    async with until_reached("payments", "started"):
        booking = asyncio.create_task(system.outcome(system.booking(video_id, kim, "tok_slow")))

    await system.kill("payments")

    code, refusal = await booking
    assert code == "payment_unavailable"
    assert await free_copies(system, video_id) == 1
    await system.start("payments")
    await wait_for_view(system, refusal, status="CANCELLED", payment={"status": "VOIDED"})


async def test_rentals_killed_between_hold_and_outcome_ends_the_booking_by_itself(system: System, kim: Caller) -> None:
    video_id, request_id = await system.video(copies=1), uuid4()
    async with until_reached("payments", "started"):
        booking = asyncio.create_task(
            system.request(system.booking(video_id, kim, "tok_slow"), id=request_id, within=2.0)
        )

    await system.kill(RENTALS)
    await system.start(RENTALS)

    await wait_for_view(
        system, request_id, status="CANCELLED", reason="payment_unavailable", payment={"status": "VOIDED"}
    )
    await booking
    assert await free_copies(system, video_id) == 1
    rental = await rental_of(system, request_id)
    assert rental["status"] == "CANCELLED"


async def test_rentals_has_the_state_of_a_payment_that_was_voided_before_the_booking_was_settled(
    system: System, kim: Caller
) -> None:
    request_id = uuid4()
    async with until_reached("payments", "started"):
        booking = asyncio.create_task(
            system.request(system.booking(await system.video(), kim, "tok_slow"), id=request_id, within=1)
        )
    await system.kill(RENTALS)
    await wait_for_payment(system, kim, "VOIDED")

    await system.start(RENTALS)
    await booking

    await wait_for_rental(system, request_id, status="CANCELLED", payment={"status": "VOIDED"})


async def test_my_page_catches_up_after_it_was_stopped(system: System, kim: Caller) -> None:
    await system.stop(MY_PAGE)
    rental = await system.done(system.booking(await system.video(), kim))
    await system.done(cancel(rental, kim))

    await system.start(MY_PAGE)

    await wait_for_view(system, rental, status="CANCELLED", refund={"status": "REFUNDED"})


async def test_two_replicas_of_each_context_do_everything_once(system: System) -> None:
    await system.start(*CONTEXTS, replica=" 2")
    video_id = await system.video(copies=5)

    outcomes = await asyncio.gather(
        *(system.outcome(system.booking(video_id, customer(), token)) for token in ["tok_visa", "tok_declined"] * 10)
    )
    booked = [UUID(body["rental_id"]) for code, body in outcomes if code == "done"]
    await asyncio.gather(*(system.done(cancel({"rental_id": str(id)})) for id in booked))

    assert 1 <= len(booked) <= 5
    for rental_id in booked:
        await wait_for_view(system, rental_id, status="CANCELLED", refund={"status": "REFUNDED"})
    assert await free_copies(system, video_id) == 5
    await system.stop(*(f"{name} 2" for name in CONTEXTS))
