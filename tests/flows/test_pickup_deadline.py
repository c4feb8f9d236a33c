"""A booking that is not picked up in time ends by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from contracts.base import Caller
from tests.conftest import MakeSettings
from tests.flows.conftest import system_with
from tests.flows.helpers import (
    RENTALS,
    cancel,
    free_copies,
    net_booking_charge,
    pick_up,
    rental_events,
    rental_of,
    wait_for_view,
)
from tests.support.system import System

SECONDS = 1.0


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """A system in which a booking may be picked up for a second."""
    async with system_with(make_settings, video_rental_pickup_hours=SECONDS / 3600) as running:
        yield running


async def test_a_booking_that_is_not_picked_up_in_time_is_cancelled_and_refunded(system: System, kim: Caller) -> None:
    video_id = await system.video(copies=1)
    rental = await system.done(system.booking(video_id, kim))

    await wait_for_view(system, rental, status="CANCELLED", reason="not_picked_up", refund={"status": "REFUNDED"})

    assert await free_copies(system, video_id) == 1
    assert await net_booking_charge(system, rental) == 0


async def test_a_booking_that_was_picked_up_or_cancelled_in_time_does_not_change(system: System, kim: Caller) -> None:
    picked_up = await system.done(system.booking(await system.video(), kim))
    cancelled = await system.done(system.booking(await system.video(), kim))
    await system.done(pick_up(picked_up, kim))
    await system.done(cancel(cancelled, kim, "no time"))

    await system.wait_until_idle()

    assert (await rental_of(system, picked_up))["status"] == "RENTED"
    assert (await rental_of(system, cancelled))["reason"] == "no time"
    assert (await rental_events(system, cancelled)).count("booking_cancelled") == 1


async def test_a_booking_whose_time_ran_out_while_rentals_was_stopped_ends_when_it_starts(
    system: System, kim: Caller
) -> None:
    rental = await system.done(system.booking(await system.video(), kim))
    await system.stop(RENTALS)
    await system.rows(
        RENTALS,
        """update video_rental_rentals.inbox set due_at = now() - interval '1 day'
           where state = 'waiting' and story_id = $1""",
        UUID(rental["rental_id"]),
    )

    await system.start(RENTALS)

    await wait_for_view(system, rental, status="CANCELLED", reason="not_picked_up")
