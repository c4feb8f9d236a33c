"""Bike sharing: bikes, and which ride holds which bike."""

from __future__ import annotations

from uuid import UUID

import asyncpg
from pydantic import Field

from contracts.base import Page
from contracts.bike_sharing.bikes import BikeState, ChangeBike, ListBikes, RegisterBike, TakeBike
from storage import paging
from storage.database import Row, Session, Statement
from storage.holds import Holds

holds = Holds("bike_sharing_bikes.holds", "ride_id", "bike_id")
CODE_CONSTRAINT = "bikes_code"


class Bike(BikeState):
    """A bike with the ride that holds it, which is not published."""

    held_by: UUID | None = Field(exclude=True)


def bike_of(row: Row | None) -> Bike | None:
    return Bike.model_validate(dict(row)) if row else None


# -- bikes

_REGISTER = Statement("""
    insert into bike_sharing_bikes.bikes (bike_id, code, location, condition, registered_by)
    values (:bike_id, :code, :location, :condition, :registered_by) returning *""")


async def register(session: Session, bike_id: UUID, command: RegisterBike) -> Bike:
    """Insert a bike; raises asyncpg.UniqueViolationError (CODE_CONSTRAINT) when another bike has this code."""
    row = await session.one(
        _REGISTER,
        bike_id=bike_id,
        code=command.code,
        location=command.location,
        condition=command.condition,
        registered_by=command.caller.member_id,
    )
    return Bike.model_validate(dict(row or {}))


def is_code_taken(error: asyncpg.UniqueViolationError) -> bool:
    """Whether the error comes from the code of another bike."""
    return bool(error.constraint_name == CODE_CONSTRAINT)


_LOCK = Statement("select * from bike_sharing_bikes.bikes where bike_id = :bike_id for update")


async def lock(session: Session, bike_id: UUID) -> Bike | None:
    """A bike, locked until this transaction ends; None when there is none."""
    return bike_of(await session.one(_LOCK, bike_id=bike_id))


_CHANGE = Statement("""
    update bike_sharing_bikes.bikes set location = coalesce(cast(:location as text), location),
      condition = coalesce(cast(:condition as text), condition), modified_at = now(), version = version + 1
    where bike_id = :bike_id returning *""")


async def change(session: Session, command: ChangeBike) -> Bike | None:
    """Change the fields that are given; None when there is no such bike."""
    return bike_of(
        await session.one(_CHANGE, bike_id=command.bike_id, location=command.location, condition=command.condition)
    )


# -- holds

_HOLD = Statement("""
    insert into bike_sharing_bikes.holds (ride_id, bike_id, member_id, status)
    values (:ride_id, :bike_id, :member_id, 'HELD')
    on conflict do nothing returning ride_id""")


async def hold(session: Session, command: TakeBike) -> bool:
    """Insert the hold of a ride; False when the ride has one already, also a released one."""
    row = await session.one(_HOLD, ride_id=command.ride_id, bike_id=command.bike_id, member_id=command.member_id)
    return row is not None


_HAND_OUT = Statement("""
    update bike_sharing_bikes.bikes set held_by = :ride_id, modified_at = now(), version = version + 1
    where bike_id = :bike_id and held_by is null and condition = 'GOOD' returning *""")


async def hand_out(session: Session, bike_id: UUID, ride_id: UUID) -> Bike | None:
    """Assign a bike to a ride; None when it is broken or held by another ride."""
    return bike_of(await session.one(_HAND_OUT, bike_id=bike_id, ride_id=ride_id))


_TAKE_BACK = Statement("""
    update bike_sharing_bikes.bikes set held_by = null, location = coalesce(cast(:location as text), location),
      modified_at = now(), version = version + 1
    where bike_id = :bike_id and held_by = :ride_id returning *""")


async def take_back(session: Session, bike_id: UUID, ride_id: UUID, location: str | None) -> Bike | None:
    """Take a bike back from a ride; None when that ride does not hold it."""
    return bike_of(await session.one(_TAKE_BACK, bike_id=bike_id, ride_id=ride_id, location=location))


# -- queries

_FIND = Statement("select * from bike_sharing_bikes.bikes where bike_id = :bike_id")


async def find(session: Session, bike_id: UUID) -> Bike | None:
    """A bike; None when there is none."""
    return bike_of(await session.one(_FIND, bike_id=bike_id))


_NEWEST = paging.Newest(
    BikeState,
    "bike_sharing_bikes.bikes",
    "bike_id",
    filters=("location", "status"),
    where="cast(:broken_too as boolean) or status <> 'BROKEN'",
)


async def newest(session: Session, query: ListBikes) -> Page[BikeState]:
    """One page of bikes, newest first."""
    return await _NEWEST.page(session, query)
