"""What goes on while a context is down, and what is said at once instead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from uuid import UUID, uuid4

import pytest

from contracts.base import Caller, Message
from contracts.payments import ListPayments
from contracts.video_rental.rentals import ListRentals
from contracts.video_rental.videos import ListVideos
from tests.conftest import MakeSettings
from tests.flows.conftest import system_with
from tests.flows.renting import (
    MY_PAGE,
    RENTALS,
    VIDEOS,
    attempt,
    cancel,
    entry,
    free_copies,
    page_of,
    rental_of,
    shown,
)
from tests.support.system import System, customer, eventually

ALL = ("payments", VIDEOS, RENTALS, MY_PAGE)


@pytest.fixture(scope="module")
async def open_system(make_settings: MakeSettings) -> AsyncIterator[System]:
    async with system_with(make_settings) as running:
        yield running


@pytest.fixture
async def system(open_system: System) -> AsyncIterator[System]:
    """A system in which every context of video rental runs, and is known to, when a story begins."""
    await all_at_work(open_system)
    yield open_system
    await open_system.start(*(name for name in ALL if name not in open_system.contexts))


async def all_at_work(system: System) -> None:
    """Start what is stopped, until a booking goes through."""
    await system.start(*(name for name in ALL if name not in system.contexts))
    await eventually(lambda: _answers(system, ListVideos(), "done"))
    await eventually(lambda: _books(system))


async def _books(system: System) -> bool:
    """One more booking: a payment that has just been started may take its time for the first."""
    code, _ = await attempt(system, system.booking(await system.video()), id=uuid4())
    return code == "done"


async def away(system: System, *names: str) -> None:
    """Stop contexts, until the doors are seen to be shut."""
    await system.stop(*names)
    looks: dict[str, Message] = {RENTALS: ListRentals(), VIDEOS: ListVideos(), "payments": ListPayments()}
    for name in names:
        await eventually(partial(_answers, system, looks[name], "unavailable"))


async def _answers(system: System, wish: Message, kind: str) -> bool:
    return (await system.request(wish, within=1.0, budget=0.8)).kind == kind


async def test_a_video_is_registered_while_rentals_is_down_and_rentals_learns_of_it(
    system: System, kim: Caller
) -> None:
    await away(system, RENTALS)
    video_id = await system.video(title="Rebecca")
    listed = await system.done(ListVideos(limit=1))

    await system.start(RENTALS)

    async def bookable() -> bool:
        return (await attempt(system, system.booking(video_id, kim), id=uuid4()))[0] in ("done", "already_booked")

    await eventually(bookable)
    assert listed["items"][0]["title"] == "Rebecca"


async def test_my_page_answers_while_videos_rentals_and_payments_are_all_down(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(title="Suspicion"), kim))
    await system.wait_until_idle()
    await away(system, "payments", VIDEOS, RENTALS)

    (item,) = await page_of(system, kim)
    seen = await entry(system, rental["rental_id"], min_version=2, caller=kim)

    assert (item["status"], item["title"]) == ("BOOKED", "Suspicion")
    assert seen["payment"] == {"payment_id": rental["payment_id"], "status": "APPROVED", "amount": 1000}


async def test_a_context_that_is_down_is_said_to_be_at_once_and_nothing_is_begun(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(), kim))
    await system.stop(RENTALS)
    wishes: list[Message] = [system.booking(uuid4(), kim), cancel(rental, kim), ListRentals(member_id=kim.member_id)]
    for wish in wishes:
        await eventually(partial(_answers, system, wish, "unavailable"))
    started = time.monotonic()

    replies = [await system.request(wish) for wish in wishes]

    assert [reply.kind for reply in replies] == ["unavailable"] * 3
    assert all(reply.retry_after for reply in replies)
    assert time.monotonic() - started < 1
    assert [item["status"] for item in await page_of(system, kim)] == ["BOOKED"]
    await system.start(RENTALS)
    assert (await attempt(system, cancel(rental, kim), id=uuid4()))[0] == "done"


async def test_while_payments_is_down_no_booking_is_begun(system: System, kim: Caller) -> None:
    video_id = await system.video(copies=1)
    await system.stop("payments")
    await eventually(lambda: _answers(system, system.booking(video_id), "unavailable"))

    reply = await system.request(system.booking(video_id, kim))

    assert reply.kind == "unavailable"
    await eventually(lambda: _is_free(system, video_id))
    assert (await system.done(ListRentals(member_id=kim.member_id)))["items"] == []
    await system.start("payments")
    assert (await attempt(system, system.booking(video_id, kim), id=uuid4()))[0] == "done"


async def _is_free(system: System, video_id: UUID) -> bool:
    return await free_copies(system, video_id) == 1


async def test_what_was_answered_before_is_answered_again_while_payments_is_down(system: System, kim: Caller) -> None:
    booking, request_id = system.booking(await system.video(), kim), uuid4()
    rental = await system.done(booking, id=request_id)
    await away(system, "payments")

    assert await system.done(booking, id=request_id) == rental


async def test_a_cancellation_while_payments_is_down_is_refunded_when_it_is_back(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(), kim))
    await away(system, "payments")

    cancelled = await system.done(cancel(rental, kim))
    pending = await shown(system, rental["rental_id"], status="CANCELLED", payment={"status": "APPROVED"})
    await system.start("payments")

    assert cancelled["refund"]["status"] == "PENDING"
    assert pending["refund"] is None or pending["refund"]["status"] == "PENDING"
    await shown(system, rental["rental_id"], refund={"status": "REFUNDED"}, payment={"status": "REFUNDED"})


async def test_payments_that_dies_in_mid_charge_leaves_no_booking_and_no_money(system: System, kim: Caller) -> None:
    video_id = await system.video(copies=1)
    booking = asyncio.create_task(attempt(system, system.booking(video_id, kim, "tok_slow"), id=uuid4()))
    await eventually(lambda: _is_charging(system, kim))

    await system.kill("payments")

    code, refusal = await booking
    assert code == "payment_unavailable"
    assert await free_copies(system, video_id) == 1
    await system.start("payments")
    await shown(system, refusal["rental_id"], status="CANCELLED", payment={"status": "VOIDED"})


async def _is_charging(system: System, member: Caller) -> bool:
    query = "select 1 from payments.payments where payer = $1 and status = 'REQUESTED'"
    return bool(await system.rows("payments", query, member.member_id))


async def test_rentals_that_dies_between_hold_and_outcome_ends_the_booking_by_itself(
    system: System, kim: Caller
) -> None:
    video_id, request_id = await system.video(copies=1), uuid4()
    booking = asyncio.create_task(system.request(system.booking(video_id, kim, "tok_slow"), id=request_id, within=2.0))
    await eventually(lambda: _is_charging(system, kim))

    await system.kill(RENTALS)
    await system.start(RENTALS)

    await shown(system, request_id, status="CANCELLED", reason="payment_unavailable", payment={"status": "VOIDED"})
    await booking
    assert await free_copies(system, video_id) == 1
    rental = await rental_of(system, request_id)
    assert rental["status"] == "CANCELLED"


async def test_the_writer_hears_how_a_payment_ended_that_was_voided_before_the_booking_was_settled(
    system: System, kim: Caller
) -> None:
    request_id = uuid4()
    booking = asyncio.create_task(
        system.request(system.booking(await system.video(), kim, "tok_slow"), id=request_id, within=1)
    )
    await eventually(lambda: _is_charging(system, kim))
    await system.kill(RENTALS)
    await shown_payment(system, kim, "VOIDED")

    await system.start(RENTALS)
    await booking

    async def ended() -> bool:
        rental = await rental_of(system, request_id)
        return bool(rental["status"] == "CANCELLED" and rental["payment"]["status"] == "VOIDED")

    await eventually(ended)


async def shown_payment(system: System, member: Caller, status: str) -> None:
    async def so() -> bool:
        query = "select 1 from payments.payments where payer = $1 and status = $2"
        return bool(await system.rows("payments", query, member.member_id, status))

    await eventually(so)


async def test_my_page_catches_up_when_it_was_away(system: System, kim: Caller) -> None:
    await system.stop(MY_PAGE)
    rental = await system.done(system.booking(await system.video(), kim))
    await system.done(cancel(rental, kim))

    await system.start(MY_PAGE)

    await shown(system, rental["rental_id"], status="CANCELLED", refund={"status": "REFUNDED"})


async def test_two_of_each_context_do_everything_once(system: System) -> None:
    await system.start(*ALL, replica=" 2")
    video_id = await system.video(copies=5)

    outcomes = await asyncio.gather(
        *(
            attempt(system, system.booking(video_id, customer(), token), id=uuid4())
            for token in ["tok_visa", "tok_declined"] * 10
        )
    )
    booked = [UUID(body["rental_id"]) for code, body in outcomes if code == "done"]
    await asyncio.gather(*(system.done(cancel({"rental_id": str(id)})) for id in booked))

    assert 1 <= len(booked) <= 5
    for rental_id in booked:
        await shown(system, rental_id, status="CANCELLED", refund={"status": "REFUNDED"})
    assert await free_copies(system, video_id) == 5
    await system.stop(*(f"{name} 2" for name in ALL))
