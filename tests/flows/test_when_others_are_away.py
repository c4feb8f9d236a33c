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
from tests.flows.conftest import town_with
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
from tests.support.town import Town, customer, eventually

ALL = ("payments", VIDEOS, RENTALS, MY_PAGE)


@pytest.fixture(scope="module")
async def open_town(make_settings: MakeSettings) -> AsyncIterator[Town]:
    async with town_with(make_settings) as running:
        yield running


@pytest.fixture
async def town(open_town: Town) -> AsyncIterator[Town]:
    """A town in which every context of video rental runs, and is known to, when a story begins."""
    await all_at_work(open_town)
    yield open_town
    await open_town.start(*(name for name in ALL if name not in open_town.contexts))


async def all_at_work(town: Town) -> None:
    """Start what is stopped, until a booking goes through."""
    await town.start(*(name for name in ALL if name not in town.contexts))
    await eventually(lambda: _answers(town, ListVideos(), "done"))
    await eventually(lambda: _books(town))


async def _books(town: Town) -> bool:
    """One more booking: a payment that has just been started may take its time for the first."""
    code, _ = await attempt(town, town.booking(await town.video()), id=uuid4())
    return code == "done"


async def away(town: Town, *names: str) -> None:
    """Stop contexts, until the doors are seen to be shut."""
    await town.stop(*names)
    looks: dict[str, Message] = {RENTALS: ListRentals(), VIDEOS: ListVideos(), "payments": ListPayments()}
    for name in names:
        await eventually(partial(_answers, town, looks[name], "unavailable"))


async def _answers(town: Town, wish: Message, kind: str) -> bool:
    return (await town.ask(wish, within=1.0, budget=0.8)).kind == kind


async def test_a_video_is_registered_while_rentals_is_down_and_rentals_learns_of_it(town: Town, kim: Caller) -> None:
    await away(town, RENTALS)
    video_id = await town.video(title="Rebecca")
    listed = await town.done(ListVideos(limit=1))

    await town.start(RENTALS)

    async def bookable() -> bool:
        return (await attempt(town, town.booking(video_id, kim), id=uuid4()))[0] in ("done", "already_booked")

    await eventually(bookable)
    assert listed["items"][0]["title"] == "Rebecca"


async def test_my_page_answers_while_videos_rentals_and_payments_are_all_down(town: Town, kim: Caller) -> None:
    rental = await town.done(town.booking(await town.video(title="Suspicion"), kim))
    await town.wait_until_idle()
    await away(town, "payments", VIDEOS, RENTALS)

    (item,) = await page_of(town, kim)
    seen = await entry(town, rental["rental_id"], min_version=2, caller=kim)

    assert (item["status"], item["title"]) == ("BOOKED", "Suspicion")
    assert seen["payment"] == {"payment_id": rental["payment_id"], "status": "APPROVED", "amount": 1000}


async def test_a_context_that_is_down_is_said_to_be_at_once_and_nothing_is_begun(town: Town, kim: Caller) -> None:
    rental = await town.done(town.booking(await town.video(), kim))
    await town.stop(RENTALS)
    wishes: list[Message] = [town.booking(uuid4(), kim), cancel(rental, kim), ListRentals(member_id=kim.member_id)]
    for wish in wishes:
        await eventually(partial(_answers, town, wish, "unavailable"))
    started = time.monotonic()

    replies = [await town.ask(wish) for wish in wishes]

    assert [reply.kind for reply in replies] == ["unavailable"] * 3
    assert all(reply.retry_after for reply in replies)
    assert time.monotonic() - started < 1
    assert [item["status"] for item in await page_of(town, kim)] == ["BOOKED"]
    await town.start(RENTALS)
    assert (await attempt(town, cancel(rental, kim), id=uuid4()))[0] == "done"


async def test_while_payments_is_down_no_booking_is_begun(town: Town, kim: Caller) -> None:
    video_id = await town.video(copies=1)
    await town.stop("payments")
    await eventually(lambda: _answers(town, town.booking(video_id), "unavailable"))

    reply = await town.ask(town.booking(video_id, kim))

    assert reply.kind == "unavailable"
    await eventually(lambda: _is_free(town, video_id))
    assert (await town.done(ListRentals(member_id=kim.member_id)))["items"] == []
    await town.start("payments")
    assert (await attempt(town, town.booking(video_id, kim), id=uuid4()))[0] == "done"


async def _is_free(town: Town, video_id: UUID) -> bool:
    return await free_copies(town, video_id) == 1


async def test_what_was_answered_before_is_answered_again_while_payments_is_down(town: Town, kim: Caller) -> None:
    booking, request_id = town.booking(await town.video(), kim), uuid4()
    rental = await town.done(booking, id=request_id)
    await away(town, "payments")

    assert await town.done(booking, id=request_id) == rental


async def test_a_cancellation_while_payments_is_down_is_refunded_when_it_is_back(town: Town, kim: Caller) -> None:
    rental = await town.done(town.booking(await town.video(), kim))
    await away(town, "payments")

    cancelled = await town.done(cancel(rental, kim))
    pending = await shown(town, rental["rental_id"], status="CANCELLED", payment={"status": "APPROVED"})
    await town.start("payments")

    assert cancelled["refund"]["status"] == "PENDING"
    assert pending["refund"] is None or pending["refund"]["status"] == "PENDING"
    await shown(town, rental["rental_id"], refund={"status": "REFUNDED"}, payment={"status": "REFUNDED"})


async def test_payments_that_dies_in_mid_charge_leaves_no_booking_and_no_money(town: Town, kim: Caller) -> None:
    video_id = await town.video(copies=1)
    booking = asyncio.create_task(attempt(town, town.booking(video_id, kim, "tok_slow"), id=uuid4()))
    await eventually(lambda: _is_charging(town, kim))

    await town.kill("payments")

    code, refusal = await booking
    assert code == "payment_unavailable"
    assert await free_copies(town, video_id) == 1
    await town.start("payments")
    await shown(town, refusal["rental_id"], status="CANCELLED", payment={"status": "VOIDED"})


async def _is_charging(town: Town, member: Caller) -> bool:
    query = "select 1 from payments.payments where payer = $1 and status = 'REQUESTED'"
    return bool(await town.rows("payments", query, member.member_id))


async def test_rentals_that_dies_between_hold_and_outcome_ends_the_booking_by_itself(town: Town, kim: Caller) -> None:
    video_id, request_id = await town.video(copies=1), uuid4()
    booking = asyncio.create_task(town.ask(town.booking(video_id, kim, "tok_slow"), id=request_id, within=2.0))
    await eventually(lambda: _is_charging(town, kim))

    await town.kill(RENTALS)
    await town.start(RENTALS)

    await shown(town, request_id, status="CANCELLED", reason="payment_unavailable", payment={"status": "VOIDED"})
    await booking
    assert await free_copies(town, video_id) == 1
    rental = await rental_of(town, request_id)
    assert rental["status"] == "CANCELLED"


async def test_the_writer_hears_how_a_payment_ended_that_was_voided_before_the_booking_was_settled(
    town: Town, kim: Caller
) -> None:
    request_id = uuid4()
    booking = asyncio.create_task(town.ask(town.booking(await town.video(), kim, "tok_slow"), id=request_id, within=1))
    await eventually(lambda: _is_charging(town, kim))
    await town.kill(RENTALS)
    await shown_payment(town, kim, "VOIDED")

    await town.start(RENTALS)
    await booking

    async def ended() -> bool:
        rental = await rental_of(town, request_id)
        return bool(rental["status"] == "CANCELLED" and rental["payment"]["status"] == "VOIDED")

    await eventually(ended)


async def shown_payment(town: Town, member: Caller, status: str) -> None:
    async def so() -> bool:
        query = "select 1 from payments.payments where payer = $1 and status = $2"
        return bool(await town.rows("payments", query, member.member_id, status))

    await eventually(so)


async def test_my_page_catches_up_when_it_was_away(town: Town, kim: Caller) -> None:
    await town.stop(MY_PAGE)
    rental = await town.done(town.booking(await town.video(), kim))
    await town.done(cancel(rental, kim))

    await town.start(MY_PAGE)

    await shown(town, rental["rental_id"], status="CANCELLED", refund={"status": "REFUNDED"})


async def test_two_of_each_context_do_everything_once(town: Town) -> None:
    await town.start(*ALL, replica=" 2")
    video_id = await town.video(copies=5)

    outcomes = await asyncio.gather(
        *(
            attempt(town, town.booking(video_id, customer(), token), id=uuid4())
            for token in ["tok_visa", "tok_declined"] * 10
        )
    )
    booked = [UUID(body["rental_id"]) for code, body in outcomes if code == "done"]
    await asyncio.gather(*(town.done(cancel({"rental_id": str(id)})) for id in booked))

    assert 1 <= len(booked) <= 5
    for rental_id in booked:
        await shown(town, rental_id, status="CANCELLED", refund={"status": "REFUNDED"})
    assert await free_copies(town, video_id) == 5
    await town.stop(*(f"{name} 2" for name in ALL))
