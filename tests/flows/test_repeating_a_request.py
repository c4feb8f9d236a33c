"""A repeated request has the same answer and no second effect; it is the same when its message id is."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4, uuid5

import pytest

from contracts.base import Caller
from contracts.video_rental.rentals import ListRentals
from contracts.video_rental.videos import RegisterVideo
from tests.flows.helpers import cancel, free_copies, net_booking_charge, pick_up, rental_events, return_video
from tests.support.system import STAFF, System, customer


async def test_fifty_posts_of_one_booking_at_once_have_one_effect_and_one_answer(system: System, kim: Caller) -> None:
    video_id, request_id = await system.video(copies=50), uuid4()
    booking = system.booking(video_id, kim)

    answers = await asyncio.gather(*(system.outcome(booking, id=request_id) for _ in range(50)))
    await system.wait_until_idle()

    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == "done"
    assert await free_copies(system, video_id) == 49
    rental = answers[0][1]
    assert await net_booking_charge(system, rental) == 1000
    assert await rental_events(system, rental) == ["booking_started", "video_booked"]
    mine = await system.done(ListRentals(member_id=kim.member_id))
    assert [item["rental_id"] for item in mine["items"]] == [str(request_id)]


@pytest.mark.parametrize("token", ["tok_visa", "tok_declined"])
async def test_a_repeated_booking_is_answered_as_the_first_time(system: System, kim: Caller, token: str) -> None:
    booking, request_id = system.booking(await system.video(), kim, token), uuid4()

    first = await system.request(booking, id=request_id)
    again = await system.request(booking, id=request_id)

    assert (again.kind, again.body) == (first.kind, first.body)
    assert (first.replayed, again.replayed) == (False, True)


async def test_a_repeated_request_has_the_first_answer_after_the_rental_has_changed(
    system: System, kim: Caller
) -> None:
    booking, request_id = system.booking(await system.video(), kim), uuid4()
    rental = await system.done(booking, id=request_id)
    await system.done(cancel(rental, kim))

    again = await system.done(booking, id=request_id)

    assert again == rental


async def test_a_repeated_refusal_is_the_same_when_its_reason_is_gone(system: System, kim: Caller, lee: Caller) -> None:
    video_id, request_id = await system.video(copies=1), uuid4()
    theirs = await system.done(system.booking(video_id, lee))
    refusal = await system.refused(system.booking(video_id, kim), id=request_id)
    await system.done(cancel(theirs, lee))

    again = await system.refused(system.booking(video_id, kim), id=request_id)

    assert again == refusal == {"code": "video_not_available"}


async def test_pickup_and_return_can_be_repeated(system: System, kim: Caller) -> None:
    rental = await system.done(system.booking(await system.video(), kim))
    answers = []

    for command in (pick_up(rental, kim), return_video(rental, kim)):
        request_id = uuid4()
        answers.append([(await system.request(command, id=request_id)).body for _ in range(3)])

    assert [len(set(bodies)) for bodies in answers] == [1, 1]
    assert await rental_events(system, rental) == ["booking_started", "video_booked", "video_rented", "video_returned"]


async def test_a_video_that_is_registered_twice_with_one_key_is_one_video(system: System) -> None:
    register, request_id = RegisterVideo(title="Rope", daily_price=1000, caller=STAFF), uuid4()

    videos = await asyncio.gather(*(system.done(register, id=request_id) for _ in range(5)))

    assert {video["video_id"] for video in videos} == {str(request_id)}
    assert all(video == videos[0] for video in videos)


async def test_a_key_used_again_for_something_else_is_refused_before_any_rule(system: System, kim: Caller) -> None:
    video_id, request_id = await system.video(copies=1), uuid4()
    await system.done(system.booking(video_id, kim), id=request_id, digest="one")
    others = [
        system.booking(video_id, kim, days=2),  # already_booked
        system.booking(await system.video(copies=0), kim),  # video_not_available
        system.booking(uuid4(), kim),  # not_found
        system.booking(await system.video(), kim),  # would be booked
    ]

    refusals = [await system.refused(other, id=request_id, digest="other") for other in others]

    assert [refusal["code"] for refusal in refusals] == ["idempotency_key_reused"] * 4


async def test_a_key_used_again_for_something_else_at_the_same_instant_has_one_effect(
    system: System, kim: Caller
) -> None:
    video_id, request_id = await system.video(copies=10), uuid4()

    replies = await asyncio.gather(
        *(
            system.until_done(system.booking(video_id, kim, days=days), id=request_id, digest=str(days))
            for days in range(1, 11)
        )
    )

    assert sorted(reply.kind for reply in replies) == ["done"] + ["refused"] * 9
    assert await free_copies(system, video_id) == 9


async def test_one_message_id_of_two_customers_is_refused(system: System, kim: Caller) -> None:
    video_id, request_id = await system.video(copies=2), uuid4()
    await system.done(system.booking(video_id, kim), id=request_id, digest="kim")

    refusal = await system.refused(system.booking(video_id, customer()), id=request_id, digest="lee")

    assert refusal["code"] == "idempotency_key_reused"


# -- keys that are older than an answer is kept


@pytest.mark.parametrize("token", ["tok_visa", "tok_declined"])
async def test_a_booking_whose_answer_is_forgotten_is_answered_as_it_is_now(
    system: System, kim: Caller, token: str
) -> None:
    booking, request_id = system.booking(await system.video(), kim, token), uuid5(uuid4(), "a key")
    first = await system.request(booking, id=request_id)
    await system.forget_answer("video_rental.rentals", request_id)

    again = await system.request(booking, id=request_id)
    once_more = await system.request(booking, id=request_id)

    assert (again.kind, again.replayed, once_more.kind, once_more.replayed) == (first.kind, True, first.kind, True)
    assert json.loads(again.body).get("rental_id") == json.loads(first.body).get("rental_id")
    assert once_more.body == again.body


async def test_a_cancelled_booking_whose_answer_is_forgotten_is_shown_cancelled(system: System, kim: Caller) -> None:
    booking, request_id = system.booking(await system.video(copies=2), kim), uuid5(uuid4(), "a key")
    rental = await system.done(booking, id=request_id)
    await system.done(cancel(rental, kim))
    await system.forget_answer("video_rental.rentals", request_id)

    again = await system.request(booking, id=request_id)

    assert (again.replayed, json.loads(again.body)["status"]) == (True, "CANCELLED")
    assert await net_booking_charge(system, rental) == 0


async def test_a_registration_whose_answer_is_forgotten_is_answered_with_the_video(system: System) -> None:
    command = RegisterVideo(title="Casablanca", daily_price=1, copies=1, caller=STAFF)

    first, again = await system.again_with_an_old_key("video_rental.videos", command)

    assert again == first


async def test_a_key_that_created_nothing_is_refused_as_anybody(system: System, kim: Caller, lee: Caller) -> None:
    video_id, request_id = await system.video(copies=1), uuid5(uuid4(), "a key")
    await system.done(system.booking(video_id, lee))
    refusal = await system.refused(system.booking(video_id, kim), id=request_id)
    await system.forget_answer("video_rental.rentals", request_id)

    again = await system.request(system.booking(video_id, kim), id=request_id)

    assert (again.kind, again.replayed, json.loads(again.body)) == ("refused", False, refusal)
