"""Bike sharing: the fleet, and which ride holds which bike.

A row of `holds` outlives its hold: a ride whose hold is released never takes a bike.
"""

from __future__ import annotations

from uuid import UUID

import asyncpg
from pydantic import Field

from contracts.base import Page
from contracts.bike_sharing.bikes import BikeState, ChangeBike, ListBikes, RegisterBike, TakeBike
from storage import paging
from storage.database import Row, Session, Statement

ONE_CODE = "bikes_code"


class Bike(BikeState):
    """A bike with the ride that holds it, which is told to nobody."""

    held_by: UUID | None = Field(exclude=True)


def bike_of(row: Row | None) -> Bike | None:
    return Bike.model_validate(dict(row)) if row else None


# -- the fleet

_REGISTER = Statement("""
    insert into bike_sharing_bikes.bikes (bike_id, code, location, condition, registered_by)
    values (:bike_id, :code, :location, :condition, :registered_by) returning *""")


async def register(session: Session, bike_id: UUID, command: RegisterBike) -> Bike:
    """Raises asyncpg.UniqueViolationError when another bike has this code."""
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
    """Whether the code is what two bikes cannot share."""
    return bool(error.constraint_name == ONE_CODE)


_LOCK = Statement("select * from bike_sharing_bikes.bikes where bike_id = :bike_id for update")


async def lock(session: Session, bike_id: UUID) -> Bike | None:
    """A bike that nobody else takes, releases or changes until this transaction ends."""
    return bike_of(await session.one(_LOCK, bike_id=bike_id))


_CHANGE = Statement("""
    update bike_sharing_bikes.bikes set location = coalesce(cast(:location as text), location),
      condition = coalesce(cast(:condition as text), condition), modified_at = now(), version = version + 1
    where bike_id = :bike_id returning *""")


async def change(session: Session, command: ChangeBike) -> Bike | None:
    """Change what is given."""
    return bike_of(
        await session.one(_CHANGE, bike_id=command.bike_id, location=command.location, condition=command.condition)
    )


# -- holds

_HOLD = Statement("""
    insert into bike_sharing_bikes.holds (ride_id, bike_id, member_id) values (:ride_id, :bike_id, :member_id)
    on conflict do nothing returning ride_id""")


async def hold(session: Session, command: TakeBike) -> bool:
    """Write that a ride holds a bike; False when it held one before, or had its release."""
    row = await session.one(_HOLD, ride_id=command.ride_id, bike_id=command.bike_id, member_id=command.member_id)
    return row is not None


_HAND_OUT = Statement("""
    update bike_sharing_bikes.bikes set held_by = :ride_id, modified_at = now(), version = version + 1
    where bike_id = :bike_id and held_by is null and condition = 'GOOD' returning *""")


async def hand_out(session: Session, bike_id: UUID, ride_id: UUID) -> Bike | None:
    """Let a ride have the bike; None when it is broken or another has it."""
    return bike_of(await session.one(_HAND_OUT, bike_id=bike_id, ride_id=ride_id))


_TAKE_BACK = Statement("""
    update bike_sharing_bikes.bikes set held_by = null, location = coalesce(cast(:location as text), location),
      modified_at = now(), version = version + 1
    where bike_id = :bike_id and held_by = :ride_id returning *""")


async def take_back(session: Session, bike_id: UUID, ride_id: UUID, location: str | None) -> Bike | None:
    """Take the bike back from a ride; None when that ride does not hold it."""
    return bike_of(await session.one(_TAKE_BACK, bike_id=bike_id, ride_id=ride_id, location=location))


_RELEASE = Statement("""
    insert into bike_sharing_bikes.holds (ride_id, bike_id, released_at) values (:ride_id, :bike_id, now())
    on conflict (ride_id) do update set released_at = coalesce(holds.released_at, excluded.released_at)""")


async def release(session: Session, bike_id: UUID, ride_id: UUID) -> None:
    """The ride holds nothing from here on, whatever it held before."""
    await session.one(_RELEASE, ride_id=ride_id, bike_id=bike_id)


_CONFIRM = Statement("update bike_sharing_bikes.holds set confirmed = true where ride_id = :ride_id")


async def confirm(session: Session, ride_id: UUID) -> None:
    """The holder has said that its ride stands."""
    await session.one(_CONFIRM, ride_id=ride_id)


_OPEN_HOLD = Statement("""
    select ride_id, bike_id, member_id from bike_sharing_bikes.holds
    where ride_id = :ride_id and released_at is null and not confirmed""")


async def open_hold(session: Session, ride_id: UUID) -> Row | None:
    """A hold of which nobody knows whether it stands: `ride_id`, `bike_id`, `member_id`."""
    return await session.one(_OPEN_HOLD, ride_id=ride_id)


# -- looking

_FIND = Statement("select * from bike_sharing_bikes.bikes where bike_id = :bike_id")


async def find(session: Session, bike_id: UUID) -> Bike | None:
    return bike_of(await session.one(_FIND, bike_id=bike_id))


_NEWEST = Statement("""
    select * from bike_sharing_bikes.bikes
    where (cast(:location as text) is null or location = :location)
      and (cast(:status as text) is null or status = :status) and (:broken_too or status <> 'BROKEN')
      and (cast(:at as timestamptz) is null or (created_at, bike_id) < (:at, cast(:id as uuid)))
    order by created_at desc, bike_id desc limit :most""")


async def newest(session: Session, query: ListBikes) -> Page[BikeState]:
    at, id = paging.decode(query.cursor)
    rows = await session.all(
        _NEWEST,
        location=query.location,
        status=query.status,
        broken_too=query.broken_too,
        at=at,
        id=id,
        most=query.limit + 1,
    )
    items, cursor = paging.page(
        rows,
        query.limit,
        lambda row: BikeState.model_validate(dict(row)),
        lambda bike: (bike.created_at, bike.bike_id),
    )
    return Page[BikeState](items=items, next_cursor=cursor)
