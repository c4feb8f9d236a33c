"""The statement that holds a copy: the second of two rivals gets none."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from contracts.payments import PaymentStatus
from contracts.video_rental.rentals import RentalStatus
from contracts.video_rental.videos import VideoStatus
from storage.video_rental import rentals as store
from tests.video_rental.conftest import AT_ONCE, Statements, video_state


@pytest.mark.parametrize("copies", [0, 1, 3])
async def test_of_forty_transactions_at_once_as_many_hold_a_copy_as_there_are(
    statements: Statements, copies: int
) -> None:
    video_id = await statements.video(copies=copies)

    outcomes = await asyncio.gather(*(statements.hold(video_id) for _ in range(AT_ONCE)))

    assert sum(held.rental is not None for held in outcomes) == copies
    assert await statements.copies_held(video_id) == copies


async def test_a_member_who_books_the_same_video_forty_times_at_once_holds_one_copy(statements: Statements) -> None:
    video_id = await statements.video(copies=AT_ONCE)

    outcomes = await asyncio.gather(*(statements.hold(video_id, "kim") for _ in range(AT_ONCE)), return_exceptions=True)

    held = [outcome for outcome in outcomes if isinstance(outcome, store.HoldResult)]
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert sum(one.rental is not None for one in held) == 1
    assert all(one.active for one in held if one.rental is None)
    assert all(isinstance(error, asyncpg.UniqueViolationError) and store.is_second_booking(error) for error in errors)
    assert await statements.copies_held(video_id) == 1


async def test_another_member_may_hold_the_next_copy(statements: Statements) -> None:
    video_id = await statements.video(copies=2)

    await statements.held(video_id, "kim")
    await statements.held(video_id, "lee")

    assert await statements.free(video_id) == 0


async def test_the_price_is_the_servers_and_counts_the_days(statements: Statements) -> None:
    video_id = await statements.video(daily_price=1500)

    rental = await statements.held(video_id, days=3)

    assert (rental.daily_price, rental.price, rental.status) == (1500, 4500, RentalStatus.AWAITING_PAYMENT)


async def test_an_unknown_video_is_not_known(statements: Statements) -> None:
    held = await statements.hold(uuid4())

    assert (held.rental, held.price) == (None, None)


async def test_a_retired_video_is_known_and_cannot_be_held(statements: Statements) -> None:
    video_id = await statements.video(status=VideoStatus.RETIRED)

    held = await statements.hold(video_id)

    assert (held.rental, held.price) == (None, 1000)
    assert await statements.free(video_id) == 0


async def test_copies_lowered_below_what_is_held_are_not_free_until_enough_are_back(
    statements: Statements,
) -> None:
    video_id = await statements.video(copies=3)
    out = [await statements.booked(video_id) for _ in range(3)]

    await statements.copy_video(video_state(video_id, copies=1, version=2))

    assert await statements.free(video_id) == 0
    for rental in out[:2]:
        await statements.cancel(rental)
        assert (await statements.hold(video_id)).rental is None
    await statements.cancel(out[2])
    await statements.held(video_id)


async def test_an_older_state_of_a_video_never_replaces_a_newer_one(statements: Statements) -> None:
    video_id = await statements.video(copies=5, version=3)

    await statements.copy_video(video_state(video_id, copies=1, version=2))
    await statements.copy_video(video_state(video_id, copies=1, version=3))

    assert await statements.free(video_id) == 5


async def test_a_newer_state_of_a_video_keeps_its_held_copies(statements: Statements) -> None:
    video_id = await statements.video(copies=2)
    await statements.held(video_id)

    await statements.copy_video(video_state(video_id, copies=2, title="Notorious", version=2))

    assert await statements.free(video_id) == 1


@pytest.mark.parametrize("to", [RentalStatus.REJECTED, RentalStatus.CANCELLED])
async def test_a_failed_booking_frees_its_copy_once(statements: Statements, to: RentalStatus) -> None:
    video_id = await statements.video()
    rental = await statements.held(video_id)

    settled = await statements.settle(rental, to, PaymentStatus.DECLINED)
    again = await statements.settle(rental, RentalStatus.BOOKED)

    assert settled is not None
    assert settled.status is to
    assert again is None
    assert await statements.copies_held(video_id) == 0


async def test_of_an_approval_and_a_timeout_at_once_one_decides(statements: Statements) -> None:
    video_id = await statements.video()
    rental = await statements.held(video_id)

    outcomes = await asyncio.gather(
        *(statements.settle(rental, to) for to in (RentalStatus.BOOKED, RentalStatus.CANCELLED) for _ in range(10))
    )

    (won,) = [outcome for outcome in outcomes if outcome is not None]
    assert await statements.find(rental) == won
    assert await statements.copies_held(video_id) == (1 if won.status is RentalStatus.BOOKED else 0)


async def test_of_a_cancellation_and_a_pickup_at_once_one_happens(statements: Statements) -> None:
    video_id = await statements.video(copies=20)
    rentals = [await statements.booked(video_id) for _ in range(20)]

    outcomes = await asyncio.gather(
        *(asyncio.gather(statements.cancel(rental), statements.pick_up(rental)) for rental in rentals)
    )

    assert all((cancelled is None) != (picked_up is None) for cancelled, picked_up in outcomes)
    rented = sum(picked_up is not None for _, picked_up in outcomes)
    assert await statements.copies_held(video_id) == rented


async def test_a_video_that_is_taken_back_twice_at_once_frees_one_copy(statements: Statements) -> None:
    video_id = await statements.video(copies=2)
    rental, _other = await statements.booked(video_id), await statements.booked(video_id)
    await statements.pick_up(rental)

    outcomes = await asyncio.gather(*(statements.take_back(rental) for _ in range(10)))

    assert sum(outcome is not None for outcome in outcomes) == 1
    assert await statements.copies_held(video_id) == 1
