"""Bike sharing: bikes, and which ride holds which bike.

TakeBike checks and takes a bike in one step. A hold never expires: bikes asks rides for the status of the ride instead.

RegisterBike -> BikeRegistered
ChangeBike   -> BikeChanged
TakeBike     -> BikeTaken -> AskHolder (a timer) -> SettleHold (rides) -> ConfirmHold | ReleaseBike
ReleaseBike  -> BikeReleased, HoldReleased    (HoldReleased alone when nothing was held)
"""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from contracts.base import Page
from contracts.bike_sharing.bikes import (
    AskHolder,
    BikeChanged,
    BikeCondition,
    BikeRegistered,
    BikeReleased,
    BikeState,
    BikeStatus,
    BikeTaken,
    ChangeBike,
    ConfirmHold,
    HoldReleased,
    ListBikes,
    RegisterBike,
    ReleaseBike,
    ShowBike,
    TakeBike,
)
from contracts.bike_sharing.refusals import BikeBroken, BikeNotAvailable, CodeTaken, HoldAlreadyReleased
from contracts.bike_sharing.rides import SettleHold
from contracts.refusals import InvalidMessage, NotFound, WrongState
from storage.bike_sharing import bikes as store
from storage.database import Session
from workers import holds
from workers.bike_sharing.settings import BikeSharingSettings
from workers.runtime.processing.tx import RetryableNotFound, RunAgain, Tx, unchanged
from workers.runtime.worker import Worker

worker = bikes = Worker("bike_sharing.bikes", sends=(SettleHold,))


def check_location(tx: Tx, location: str | None) -> None:
    """Raise InvalidMessage for a location that is not configured; without configured locations all are valid."""
    allowed = tx.settings(BikeSharingSettings).bike_sharing_locations
    if location is not None and allowed and location not in allowed:
        raise InvalidMessage(errors=[{"field": "location", "message": "not one of the locations"}])


# -- bikes


@bikes.handles(RegisterBike, replays=store.find)
async def register_bike(command: RegisterBike, tx: Tx) -> BikeState:
    check_location(tx, command.location)
    try:
        bike = await store.register(tx, tx.id, command)
    except asyncpg.UniqueViolationError as error:
        if store.is_code_taken(error):
            raise CodeTaken from None
        raise
    tx.publish(BikeRegistered.of(bike))
    return bike


@bikes.handles(ChangeBike)
async def change_bike(command: ChangeBike, tx: Tx) -> BikeState:
    check_location(tx, command.location)
    bike = await store.lock(tx, command.bike_id)
    if bike is None:
        raise RetryableNotFound
    if command.expected_version not in (None, bike.version):
        raise unchanged(bike)
    only_broken = command.location is None and command.condition is BikeCondition.BROKEN
    if bike.held_by is not None and not only_broken:
        raise WrongState(current_status=bike.status, allowed_actions=[])
    changed = await store.change(tx, command)
    assert changed is not None
    tx.publish(BikeChanged.of(changed))
    return changed


# -- holds


@bikes.handles(TakeBike)
async def take_bike(command: TakeBike, tx: Tx) -> BikeState:
    bike = await store.lock(tx, command.bike_id)
    if bike is None:
        raise RetryableNotFound
    if bike.held_by == command.ride_id:
        return bike
    if bike.held_by is None and bike.condition is BikeCondition.BROKEN:
        raise BikeBroken(current_status=bike.status)
    taken = await store.hand_out(tx, command.bike_id, command.ride_id)
    if taken is None:
        raise BikeNotAvailable(current_status=bike.status)
    if not await store.hold(tx, command):
        raise HoldAlreadyReleased
    tx.publish(BikeTaken.of(taken))
    first = tx.settings(BikeSharingSettings).bike_sharing_holder_check_seconds
    tx.schedule(AskHolder(ride_id=command.ride_id), after=timedelta(seconds=first))
    return taken


@bikes.handles(ReleaseBike)
async def release_bike(command: ReleaseBike, tx: Tx) -> None:
    await store.lock(tx, command.bike_id)
    version = await store.holds.release(tx, command.ride_id, command.bike_id)
    bike = await store.take_back(tx, command.bike_id, command.ride_id, command.location)
    if bike is not None:
        tx.publish(BikeReleased.of(bike))
    tx.publish(HoldReleased(ride_id=command.ride_id, bike_id=command.bike_id, version=version))


@bikes.handles(AskHolder)
async def ask_holder(command: AskHolder, tx: Tx) -> RunAgain | None:
    return await holds.ask_holder(
        tx,
        store.holds,
        command.ride_id,
        lambda hold: SettleHold(ride_id=hold["ride_id"], bike_id=hold["bike_id"], member_id=hold["member_id"]),
        first_seconds=tx.settings(BikeSharingSettings).bike_sharing_holder_check_seconds,
    )


@bikes.handles(ConfirmHold)
async def confirm_hold(command: ConfirmHold, tx: Tx) -> None:
    await store.holds.confirm(tx, command.ride_id)


# -- queries


@bikes.handles(ShowBike)
async def show_bike(query: ShowBike, session: Session) -> BikeState:
    bike = await store.find(session, query.bike_id)
    if bike is None:
        raise RetryableNotFound
    if bike.status is BikeStatus.BROKEN and not query.caller.is_staff:
        raise NotFound
    return bike


@bikes.handles(ListBikes)
async def list_bikes(query: ListBikes, session: Session) -> Page[BikeState]:
    return await store.newest(session, query)
