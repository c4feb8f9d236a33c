"""Bike sharing: rides and their fees.

StartRide  -> RideRequested -> TakeBike -> RideStarted
                                        -> RideNotStarted                (the bike is broken or taken)
                                        -> RideNotStarted, ReleaseBike   (no reply in time)
ReturnBike -> RideReturned, ReleaseBike
EndRide    -> RideEndedByStaff, ReleaseBike
EndAtCap   -> RideEndedAtCap, ReleaseBike
SettleHold -> ConfirmHold               (the ride is in progress)
           -> ReleaseBike               (it has ended; an unknown ride is written as NOT_STARTED first)
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import asyncpg

from contracts.base import Caller, Page, Refused
from contracts.bike_sharing.bikes import BikeRegistered, BikeState, ConfirmHold, HoldReleased, ReleaseBike, TakeBike
from contracts.bike_sharing.deposits import AccountChanged
from contracts.bike_sharing.refusals import (
    BikeBroken,
    BikeNotAvailable,
    BikeUnavailable,
    DebtOwed,
    DepositTooLow,
    RideBikeBroken,
    RideBikeNotAvailable,
    RideBikeNotFound,
    RideOpen,
)
from contracts.bike_sharing.rides import (
    EndAtCap,
    EndRide,
    FeePlan,
    FindOpenRide,
    ListRides,
    OpenRide,
    ReturnBike,
    RideEndedAtCap,
    RideEndedByStaff,
    RideEvent,
    RideNotStarted,
    RideRequested,
    RideReturned,
    RideStarted,
    RideState,
    RideStatus,
    SettleHold,
    ShowRide,
    StartRide,
)
from contracts.refusals import InvalidMessage, NotFound, WrongState
from storage.bike_sharing import rides as store
from storage.database import Session
from workers.bike_sharing.rides import rules
from workers.bike_sharing.settings import BikeSharingSettings
from workers.runtime.processing.handlers import replay_of
from workers.runtime.processing.tx import NoReply, Request, Retryable, RetryableNotFound, Tx
from workers.runtime.worker import Worker

worker = rides = Worker("bike_sharing.rides", sends=(ConfirmHold, ReleaseBike))

ACTIONS = {RideStatus.RIDING: ["return", "end"]}
END_EVENTS: dict[RideStatus, type[RideEvent]] = {
    RideStatus.RETURNED: RideReturned,
    RideStatus.ENDED_BY_STAFF: RideEndedByStaff,
    RideStatus.ENDED_AT_CAP: RideEndedAtCap,
}
NOT_STARTED_REFUSALS = {
    refusal.code: refusal for refusal in (RideBikeBroken, RideBikeNotAvailable, RideBikeNotFound, BikeUnavailable)
}
"""The answer to `StartRide`, by the reason of a ride that is NOT_STARTED."""


def wrong_state(ride: RideState) -> WrongState:
    return WrongState(current_status=ride.status, allowed_actions=ACTIONS.get(ride.status, []))


def fee_plan(tx: Tx) -> FeePlan:
    """The current prices."""
    return FeePlan(
        per_minute=tx.settings(BikeSharingSettings).bike_sharing_fee_per_minute,
        at_most=tx.settings(BikeSharingSettings).bike_sharing_fee_at_most,
    )


# -- events of bikes and deposits


@rides.handles(BikeRegistered)
async def note_bike(event: BikeRegistered, tx: Tx) -> None:
    await store.note_bike(tx, event.bike_id)


@rides.handles(AccountChanged)
async def note_account(event: AccountChanged, tx: Tx) -> None:
    await store.note_account(tx, event)


@rides.handles(HoldReleased)
async def note_release(event: HoldReleased, tx: Tx) -> None:
    await store.note_release(tx, event.ride_id)


# -- starting


@rides.handles(StartRide, requests=TakeBike, replays=replay_of(store.find, lambda ride: _current_answer(ride)))
async def start_ride(command: StartRide, tx: Tx) -> Request | RideState | Refused:
    eligibility = await store.eligibility(tx, command)
    if not eligibility["known"]:
        raise RetryableNotFound
    if eligibility["riding"]:
        raise RideOpen
    if eligibility["debt"] > 0:
        raise Retryable(DebtOwed(debt=eligibility["debt"]))
    if eligibility["balance"] < tx.settings(BikeSharingSettings).bike_sharing_minimum_deposit:
        least = tx.settings(BikeSharingSettings).bike_sharing_minimum_deposit
        raise Retryable(DepositTooLow(balance=eligibility["balance"], minimum=least))
    try:
        ride = await store.request(tx, tx.id, command, fee_plan(tx))
    except asyncpg.UniqueViolationError as error:
        if store.is_second_ride(error):
            raise RideOpen from None
        raise
    if ride is None:
        return _current_answer(await store.find(tx, tx.id))
    tx.publish(RideRequested.of(ride))
    take = TakeBike(bike_id=ride.bike_id, ride_id=ride.ride_id, member_id=ride.member_id)
    return tx.request(take, within=tx.settings(BikeSharingSettings).bike_sharing_take_ms / 1000)


@start_ride.then
async def settle_start(command: StartRide, outcome: BikeState | Refused | NoReply, tx: Tx) -> RideState | Refused:
    if isinstance(outcome, BikeState):
        ride = await store.start(tx, tx.id, outcome.location)
        if ride is not None:
            tx.publish(RideStarted.of(ride))
            tx.schedule(EndAtCap(ride_id=ride.ride_id), after=tx.settings(BikeSharingSettings).longest_ride)
        return _current_answer(ride or await store.find(tx, tx.id))
    refusal = outcome if isinstance(outcome, BikeBroken | BikeNotAvailable | NotFound) else None
    ride = await store.mark_not_started(tx, tx.id, refusal.code if refusal else BikeUnavailable.code)
    if ride is not None:
        tx.publish(RideNotStarted.of(ride))
        if refusal is None:  # it may hold the bike
            tx.publish(ReleaseBike(bike_id=ride.bike_id, ride_id=ride.ride_id))
    return _current_answer(ride or await store.find(tx, tx.id))


def _current_answer(ride: RideState | None) -> RideState | Refused:
    """The answer to the command, from the current row."""
    if ride is None:
        return NotFound()
    if ride.status is RideStatus.NOT_STARTED:
        refusal = NOT_STARTED_REFUSALS.get(ride.reason or "", BikeUnavailable)
        return refusal(ride_id=str(ride.ride_id), current_status=ride.status, reason=ride.reason)
    return ride


# -- ending


@rides.handles(ReturnBike)
async def return_bike(command: ReturnBike, tx: Tx) -> RideState:
    _check_location(tx, command.location)
    ride, now = await _locked(tx, command.ride_id, command.caller)
    if ride.status is RideStatus.RETURNED:
        return ride
    return await _end(tx, ride, RideStatus.RETURNED, now, command.location)


@rides.handles(EndRide)
async def end_ride(command: EndRide, tx: Tx) -> RideState:
    _check_location(tx, command.location)
    ride, now = await _locked(tx, command.ride_id, command.caller)
    if ride.status is RideStatus.ENDED_BY_STAFF:
        return ride
    return await _end(tx, ride, RideStatus.ENDED_BY_STAFF, now, command.location, command.reason)


@rides.handles(EndAtCap)
async def end_at_cap(command: EndAtCap, tx: Tx) -> None:
    found = await store.lock(tx, command.ride_id)
    if found is None or found[0].status is not RideStatus.RIDING or found[0].started_at is None:
        return
    at = min(found[1], found[0].started_at + tx.settings(BikeSharingSettings).longest_ride)
    await _end(tx, found[0], RideStatus.ENDED_AT_CAP, at, None, "longest_time_over")


def _check_location(tx: Tx, location: str | None) -> None:
    allowed = tx.settings(BikeSharingSettings).bike_sharing_locations
    if location is not None and allowed and location not in allowed:
        raise InvalidMessage(errors=[{"field": "location", "message": "not one of the locations"}])


async def _locked(tx: Tx, ride_id: UUID, caller: Caller) -> tuple[RideState, datetime]:
    """The caller's ride, locked until the step ends, and the database's time; raises NotFound."""
    found = await store.lock(tx, ride_id)
    if found is None or not caller.may_see(found[0].member_id):
        raise NotFound
    return found


async def _end(
    tx: Tx, ride: RideState, to: RideStatus, at: datetime, location: str | None, reason: str | None = None
) -> RideState:
    """End a ride that is RIDING; raises WrongState."""
    if ride.status is not RideStatus.RIDING or ride.started_at is None:
        raise wrong_state(ride)
    minutes = rules.minutes(ride.started_at, at)
    ended = await store.end(
        tx,
        ride.ride_id,
        to,
        reason=reason,
        location=location,
        ended_at=at,
        minutes=minutes,
        fee=rules.fee(ride.fee_plan, minutes),
        flagged=at < ride.started_at,
    )
    if ended is None:
        raise wrong_state(ride)
    tx.publish(END_EVENTS[to].of(ended))
    tx.publish(ReleaseBike(bike_id=ended.bike_id, ride_id=ended.ride_id, location=location))
    return ended


# -- holds


@rides.handles(SettleHold)
async def settle_hold(command: SettleHold, tx: Tx) -> None:
    tombstone = await store.write_tombstone(tx, command, fee_plan(tx))
    if tombstone is not None:
        tx.publish(RideNotStarted.of(tombstone))
    found = await store.lock(tx, command.ride_id)
    assert found is not None
    match found[0].status:
        case RideStatus.STARTING:
            return
        case RideStatus.RIDING:
            tx.publish(ConfirmHold(ride_id=command.ride_id))
        case _:
            tx.publish(ReleaseBike(bike_id=command.bike_id, ride_id=command.ride_id, location=found[0].location))


# -- queries


@rides.handles(ShowRide)
async def show_ride(query: ShowRide, session: Session) -> RideState:
    ride = await store.find(session, query.ride_id)
    if ride is None or not query.caller.may_see(ride.member_id):
        raise NotFound
    return ride


@rides.handles(ListRides)
async def list_rides(query: ListRides, session: Session) -> Page[RideState]:
    return await store.newest(session, query)


@rides.handles(FindOpenRide)
async def find_open_ride(query: FindOpenRide, session: Session) -> OpenRide:
    return OpenRide(ride_id=await store.open_ride(session, query.member_id))
