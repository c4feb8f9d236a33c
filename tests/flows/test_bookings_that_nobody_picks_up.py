"""A booking that nobody picks up ends by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from contracts.base import Caller
from tests.conftest import MakeSettings
from tests.flows.conftest import system_with
from tests.flows.renting import RENTALS, cancel, free_copies, kept, pick_up, rental_of, shown, told_of
from tests.support.system import System

SECONDS = 1.0


@pytest.fixture(scope="module")
async def impatient(make_settings: MakeSettings) -> AsyncIterator[System]:
    """A system where a booking is kept for a second."""
    async with system_with(make_settings, video_rental_pickup_hours=SECONDS / 3600) as running:
        yield running


async def test_a_booking_that_is_not_picked_up_in_time_is_cancelled_and_refunded(
    impatient: System, kim: Caller
) -> None:
    video_id = await impatient.video(copies=1)
    rental = await impatient.done(impatient.booking(video_id, kim))

    await shown(
        impatient, rental["rental_id"], status="CANCELLED", reason="not_picked_up", refund={"status": "REFUNDED"}
    )

    assert await free_copies(impatient, video_id) == 1
    assert await kept(impatient, rental) == 0


async def test_what_was_picked_up_or_cancelled_in_time_is_left_alone(impatient: System, kim: Caller) -> None:
    picked_up = await impatient.done(impatient.booking(await impatient.video(), kim))
    cancelled = await impatient.done(impatient.booking(await impatient.video(), kim))
    await impatient.done(pick_up(picked_up, kim))
    await impatient.done(cancel(cancelled, kim, "no time"))

    await impatient.wait_until_idle()

    assert (await rental_of(impatient, picked_up["rental_id"]))["status"] == "RENTED"
    assert (await rental_of(impatient, cancelled["rental_id"]))["reason"] == "no time"
    assert (await told_of(impatient, cancelled)).count("booking_cancelled") == 1


async def test_a_booking_whose_time_ran_out_while_rentals_was_away_ends_when_it_is_back(
    impatient: System, kim: Caller
) -> None:
    rental = await impatient.done(impatient.booking(await impatient.video(), kim))
    await impatient.stop(RENTALS)
    await impatient.rows(
        RENTALS,
        """update video_rental_rentals.inbox set due_at = now() - interval '1 day'
           where state = 'waiting' and story_id = $1""",
        UUID(rental["rental_id"]),
    )

    await impatient.start(RENTALS)

    await shown(impatient, rental["rental_id"], status="CANCELLED", reason="not_picked_up")
