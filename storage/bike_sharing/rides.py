"""Bike sharing: rides, and projections of bikes and deposit accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from pydantic_core import from_json

from contracts.base import Page
from contracts.bike_sharing.deposits import AccountState
from contracts.bike_sharing.rides import FeePlan, ListRides, RideState, RideStatus, SettleHold, StartRide
from storage import paging
from storage.database import Row, Session, Statement

OPEN_RIDE_CONSTRAINT = "rides_one_open"


def ride_of(row: Row) -> RideState:
    return RideState.model_validate({**row, "fee_plan": from_json(row["fee_plan"])})


# -- starting

_MAY_START = Statement("""
    select exists (select from bike_sharing_rides.bikes where bike_id = :bike_id) as known,
      exists (select from bike_sharing_rides.rides
        where member_id = :member_id and status in ('STARTING', 'RIDING')) as riding,
      coalesce(max(balance), 0) as balance, coalesce(max(debt), 0) as debt
    from bike_sharing_rides.accounts where member_id = :member_id""")


async def eligibility(session: Session, command: StartRide) -> Row:
    """What decides whether a ride may start: `known` (the bike), `riding`, `balance` and `debt` (of the member)."""
    row = await session.one(_MAY_START, bike_id=command.bike_id, member_id=command.caller.member_id)
    assert row is not None
    return row


_OPEN = Statement("""
    select ride_id from bike_sharing_rides.rides where member_id = :member_id and status in ('STARTING', 'RIDING')""")


async def open_ride(session: Session, member_id: str) -> UUID | None:
    """The id of a member's ride that is STARTING or RIDING."""
    ride_id: UUID | None = await session.value(_OPEN, member_id=member_id)
    return ride_id


_REQUEST = Statement("""
    insert into bike_sharing_rides.rides (ride_id, bike_id, member_id, status, reason, fee_plan)
    values (:ride_id, :bike_id, :member_id, :status, :reason, :fee_plan)
    on conflict (ride_id) do nothing returning *""")


async def request(session: Session, ride_id: UUID, command: StartRide, plan: FeePlan) -> RideState | None:
    """Insert a ride that is STARTING; None when its id exists, also as a tombstone.

    Raises asyncpg.UniqueViolationError (OPEN_RIDE_CONSTRAINT) when the member starts two rides concurrently.
    """
    row = await session.one(
        _REQUEST,
        ride_id=ride_id,
        bike_id=command.bike_id,
        member_id=command.caller.member_id,
        status=RideStatus.STARTING,
        reason=None,
        fee_plan=plan.model_dump_json(),
    )
    return ride_of(row) if row else None


def is_second_ride(error: asyncpg.UniqueViolationError) -> bool:
    """Whether the error comes from another open ride of the member."""
    return bool(error.constraint_name == OPEN_RIDE_CONSTRAINT)


async def write_tombstone(session: Session, hold: SettleHold, plan: FeePlan) -> RideState | None:
    """Insert a ride that is NOT_STARTED, so that it can never start; None when its id exists."""
    row = await session.one(
        _REQUEST,
        ride_id=hold.ride_id,
        bike_id=hold.bike_id,
        member_id=hold.member_id,
        status=RideStatus.NOT_STARTED,
        reason="bike_unavailable",
        fee_plan=plan.model_dump_json(),
    )
    return ride_of(row) if row else None


_START = Statement("""
    update bike_sharing_rides.rides set status = 'RIDING', started_at = now(), start_location = :location,
      modified_at = now(), version = version + 1
    where ride_id = :ride_id and status = 'STARTING' returning *""")


async def start(session: Session, ride_id: UUID, location: str) -> RideState | None:
    """Set a ride to RIDING; None when it is not STARTING."""
    row = await session.one(_START, ride_id=ride_id, location=location)
    return ride_of(row) if row else None


_MARK_NOT_STARTED = Statement("""
    update bike_sharing_rides.rides set status = 'NOT_STARTED', reason = :reason,
      modified_at = now(), version = version + 1
    where ride_id = :ride_id and status = 'STARTING' returning *""")


async def mark_not_started(session: Session, ride_id: UUID, reason: str) -> RideState | None:
    """Set a ride to NOT_STARTED; None when it is not STARTING."""
    row = await session.one(_MARK_NOT_STARTED, ride_id=ride_id, reason=reason)
    return ride_of(row) if row else None


# -- ending

_LOCK = Statement("""
    select *, now() as now from bike_sharing_rides.rides where ride_id = :ride_id for update""")


async def lock(session: Session, ride_id: UUID) -> tuple[RideState, datetime] | None:
    """A ride, locked until this transaction ends, and the database's time; None when there is none."""
    row = await session.one(_LOCK, ride_id=ride_id)
    return (ride_of(row), row["now"]) if row else None


_END = Statement("""
    update bike_sharing_rides.rides set status = :to, reason = :reason, location = :location, ended_at = :ended_at,
      minutes = :minutes, fee = :fee, flagged = :flagged, modified_at = now(), version = version + 1
    where ride_id = :ride_id and status = 'RIDING' returning *""")


async def end(session: Session, ride_id: UUID, to: RideStatus, **ended: Any) -> RideState | None:
    """End a ride; None when it is not RIDING.

    `ended` has the columns `reason`, `location`, `ended_at`, `minutes`, `fee` and `flagged`.
    """
    row = await session.one(_END, ride_id=ride_id, to=to, **ended)
    return ride_of(row) if row else None


# -- projections

_NOTE_BIKE = Statement("insert into bike_sharing_rides.bikes (bike_id) values (:bike_id) on conflict do nothing")


async def note_bike(session: Session, bike_id: UUID) -> None:
    """Record that a bike exists."""
    await session.one(_NOTE_BIKE, bike_id=bike_id)


_NOTE_ACCOUNT = Statement("""
    insert into bike_sharing_rides.accounts as existing
      (account_id, member_id, balance, debt, created_at, modified_at, version)
    values (:account_id, :member_id, :balance, :debt, :created_at, :modified_at, :version)
    on conflict (account_id) do update set balance = excluded.balance, debt = excluded.debt,
      modified_at = excluded.modified_at, version = excluded.version
      where existing.version < excluded.version""")


async def note_account(session: Session, account: AccountState) -> None:
    """Project the newest state of an account; an older version never replaces it."""
    await session.one(_NOTE_ACCOUNT, **{name: getattr(account, name) for name in AccountState.model_fields})


_NOTE_RELEASE = Statement("update bike_sharing_rides.rides set bike_released = true where ride_id = :ride_id")


async def note_release(session: Session, ride_id: UUID) -> None:
    """Record that bikes has released the ride's hold."""
    await session.one(_NOTE_RELEASE, ride_id=ride_id)


# -- queries

_FIND = Statement("select * from bike_sharing_rides.rides where ride_id = :ride_id")


async def find(session: Session, ride_id: UUID) -> RideState | None:
    """A ride; None when there is none."""
    row = await session.one(_FIND, ride_id=ride_id)
    return ride_of(row) if row else None


_NEWEST = paging.Newest(RideState, "bike_sharing_rides.rides", "ride_id", filters=("member_id", "status"), make=ride_of)


async def newest(session: Session, query: ListRides) -> Page[RideState]:
    """One page of rides, newest first."""
    return await _NEWEST.page(session, query)
