"""Video rental: rentals, the number of copies in use per video (`holds`), and a projection of the catalogue.

The count `held` is not a column of the projection, because a newer event replaces that row.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from contracts.base import Page
from contracts.video_rental.rentals import (
    BookVideo,
    LateFeeStatus,
    ListRentals,
    ListShelf,
    Rental,
    RentalStatus,
    VideoOnShelf,
)
from contracts.video_rental.videos import VideoState
from storage import paging
from storage.database import Row, Session, Statement
from storage.paid import BEGIN_REFUND, SETTLE_PAYMENT, PaidThings, Settlement

ACTIVE_CONSTRAINT = "rentals_one_active"


paid = PaidThings("video_rental_rentals.rentals", "rental_id")


def rental_of(row: Row) -> Rental:
    """A rental from its row, with payment and refund if events of them have arrived."""
    return Rental.model_validate({**row, **paid.parts(row)})


# -- booking

_HOLD = Statement("""
    with video as (
      select v.video_id, v.daily_price, v.daily_price * cast(:days as integer) as price, v.copies, v.status
      from video_rental_rentals.videos v where v.video_id = :video_id),
    owing as (
      select 1 from video_rental_rentals.rentals
      where member_id = :member_id and late_fee_status in ('OWED', 'PAYING') limit 1),
    active as (
      select 1 from video_rental_rentals.rentals where member_id = :member_id and video_id = :video_id
        and status in ('AWAITING_PAYMENT', 'BOOKED', 'RENTED') limit 1),
    held as (
      update video_rental_rentals.holds h set held = held + 1 from video v
      where h.video_id = v.video_id and v.status = 'AVAILABLE' and h.held < v.copies
        and v.price = coalesce(cast(:expected_price as bigint), v.price)
        and not exists (select from owing) and not exists (select from active)
      returning v.daily_price, v.price),
    inserted as (
      insert into video_rental_rentals.rentals
        (rental_id, video_id, member_id, days, daily_price, price, status, payment_id)
      select :rental_id, :video_id, :member_id, cast(:days as integer), daily_price,
        price, 'AWAITING_PAYMENT', :payment_id
      from held returning *)
    select inserted.*, (select price from video) as price_now, exists (select from owing) as owing,
      exists (select from active) as active
    from (select 1) one left join inserted on true""")


class HoldResult:
    """The result of `hold_copy`: the rental, or None with the reasons.

    `price`: what it costs, None for an unknown video; `owing`: the member owes a late fee; `active`: the member has
    booked this video already.
    """

    __slots__ = ("active", "owing", "price", "rental")

    def __init__(self, row: Row) -> None:
        self.price: int | None = row["price_now"]
        self.owing: bool = row["owing"]
        self.active: bool = row["active"]
        self.rental = rental_of(row) if row["rental_id"] else None


async def hold_copy(session: Session, rental_id: UUID, payment_id: UUID, command: BookVideo) -> HoldResult:
    """Hold a free copy and insert the rental that is AWAITING_PAYMENT; two members never hold the same copy.

    Raises asyncpg.UniqueViolationError (ACTIVE_CONSTRAINT) for two concurrent bookings of a video by one member.
    """
    row = await session.one(
        _HOLD,
        rental_id=rental_id,
        payment_id=payment_id,
        video_id=command.video_id,
        member_id=command.caller.member_id,
        days=command.days,
        expected_price=command.expected_price,
    )
    assert row is not None
    return HoldResult(row)


def is_second_booking(error: asyncpg.UniqueViolationError) -> bool:
    """Whether the error comes from two concurrent bookings of a video by one member."""
    return bool(error.constraint_name == ACTIVE_CONSTRAINT)


_SETTLE = Statement(f"""
    with settled as (
      update video_rental_rentals.rentals set status = cast(:to as text), reason = :reason,
        {SETTLE_PAYMENT},
        pickup_until = case when cast(:to as text) = 'BOOKED' then now() + cast(:pickup as interval) end,
        modified_at = now(), version = version + 1
      where rental_id = :rental_id and status = 'AWAITING_PAYMENT' returning *),
    freed as (
      update video_rental_rentals.holds h set held = h.held - 1 from settled s
      where h.video_id = s.video_id and s.status <> 'BOOKED')
    select * from settled""")  # noqa: S608 - a constant


async def settle(
    session: Session, rental_id: UUID, settled: Settlement[RentalStatus], pickup: timedelta
) -> Rental | None:
    """Set the outcome of a rental that is AWAITING_PAYMENT, and free its copy unless it is BOOKED.

    None when it was settled before.
    """
    row = await session.one(_SETTLE, rental_id=rental_id, pickup=pickup, **settled.values())
    return rental_of(row) if row else None


# -- after booking

_CANCEL = Statement(f"""
    with cancelled as (
      update video_rental_rentals.rentals set status = 'CANCELLED', reason = :reason,
        {BEGIN_REFUND},
        modified_at = now(), version = version + 1
      where rental_id = :rental_id and status = 'BOOKED' returning *),
    freed as (
      update video_rental_rentals.holds h set held = h.held - 1 from cancelled c where h.video_id = c.video_id)
    select * from cancelled""")  # noqa: S608 - a constant


async def cancel(session: Session, rental_id: UUID, refund_id: UUID, reason: str) -> Rental | None:
    """Cancel a booking, free its copy and store the pending refund; None when it is not BOOKED."""
    row = await session.one(_CANCEL, rental_id=rental_id, refund_id=refund_id, reason=reason)
    return rental_of(row) if row else None


_PICK_UP = Statement("""
    update video_rental_rentals.rentals set status = 'RENTED', picked_up_at = :now, due_at = :due_at,
      modified_at = now(), version = version + 1
    where rental_id = :rental_id and status = 'BOOKED' returning *""")


async def pick_up(session: Session, rental_id: UUID, now: datetime, due_at: datetime) -> Rental | None:
    """Set a rental to RENTED; None when it is not BOOKED."""
    row = await session.one(_PICK_UP, rental_id=rental_id, now=now, due_at=due_at)
    return rental_of(row) if row else None


_LOCK = Statement("select *, now() as now from video_rental_rentals.rentals where rental_id = :rental_id for update")


async def lock(session: Session, rental_id: UUID) -> tuple[Rental, datetime] | None:
    """A rental, locked until this transaction ends, and the database's time; None when there is none."""
    row = await session.one(_LOCK, rental_id=rental_id)
    return (rental_of(row), row["now"]) if row else None


_TAKE_BACK = Statement("""
    with returned as (
      update video_rental_rentals.rentals set status = 'RETURNED', returned_at = :now,
        late_fee = cast(:late_fee as bigint),
        late_fee_status = case when cast(:late_fee as bigint) > 0 then 'OWED' else 'NONE' end,
        modified_at = now(), version = version + 1
      where rental_id = :rental_id and status = 'RENTED' returning *),
    freed as (
      update video_rental_rentals.holds h set held = h.held - 1 from returned r where h.video_id = r.video_id)
    select * from returned""")


async def take_back(session: Session, rental_id: UUID, now: datetime, late_fee: int) -> Rental | None:
    """Set a rental to RETURNED with its late fee in won, and free its copy; None when it is not RENTED."""
    row = await session.one(_TAKE_BACK, rental_id=rental_id, now=now, late_fee=late_fee)
    return rental_of(row) if row else None


_LATE_FEE = Statement("""
    update video_rental_rentals.rentals set late_fee_status = :to,
      late_fee_payment_id = coalesce(cast(:payment_id as uuid), late_fee_payment_id),
      reason = coalesce(cast(:reason as text), reason), modified_at = now(), version = version + 1
    where rental_id = :rental_id and late_fee_status = :from_status
      and (cast(:paying as uuid) is null or late_fee_payment_id = :paying) returning *""")


async def move_late_fee(
    session: Session,
    rental_id: UUID,
    from_status: LateFeeStatus,
    to: LateFeeStatus,
    *,
    payment_id: UUID | None = None,
    paying: UUID | None = None,
    reason: str | None = None,
) -> Rental | None:
    """Change the status of a late fee; None when it is not `from_status`, or not being paid by `paying` (if given)."""
    row = await session.one(
        _LATE_FEE,
        rental_id=rental_id,
        from_status=from_status,
        to=to,
        payment_id=payment_id,
        paying=paying,
        reason=reason,
    )
    return rental_of(row) if row else None


# -- queries

_FIND = Statement("select * from video_rental_rentals.rentals where rental_id = :rental_id")


async def find(session: Session, rental_id: UUID) -> Rental | None:
    """A rental; None when there is none."""
    row = await session.one(_FIND, rental_id=rental_id)
    return rental_of(row) if row else None


_NEWEST = paging.Newest(
    Rental, "video_rental_rentals.rentals", "rental_id", filters=("member_id", "video_id", "status"), make=rental_of
)


async def newest(session: Session, query: ListRentals) -> Page[Rental]:
    """One page of rentals, newest first."""
    return await _NEWEST.page(session, query)


# -- the projection of the catalogue

_PROJECT_VIDEO = Statement("""
    with projected as (
      insert into video_rental_rentals.videos as existing
        (video_id, title, daily_price, copies, status, registered_by, created_at, modified_at, version)
      values (:video_id, :title, :daily_price, :copies, :status, :registered_by, :created_at, :modified_at, :version)
      on conflict (video_id) do update set title = excluded.title, daily_price = excluded.daily_price,
        copies = excluded.copies, status = excluded.status,
        modified_at = excluded.modified_at, version = excluded.version
        where existing.version < excluded.version)
    insert into video_rental_rentals.holds (video_id) values (:video_id) on conflict do nothing""")


async def project_video(session: Session, video: VideoState) -> None:
    """Project the newest state of a video; an older version never replaces it."""
    fields = {name: getattr(video, name) for name in VideoState.model_fields}
    await session.one(_PROJECT_VIDEO, **fields)


_SHELF = """(
    select v.*, greatest(0, v.copies - held) * (v.status = 'AVAILABLE')::int as available, held - rented as booked,
      rented
    from video_rental_rentals.videos v,
      lateral (select coalesce(sum(h.held), 0)::int as held from video_rental_rentals.holds h
        where h.video_id = v.video_id) as holds,
      lateral (select count(*)::int as rented from video_rental_rentals.rentals r
        where r.video_id = v.video_id and r.status = 'RENTED') as out) as shelf"""
_ON_SHELF = Statement(f"select * from {_SHELF} where video_id = :video_id")  # noqa: S608 - the text above
_SHELF_NEWEST = paging.Newest(VideoOnShelf, _SHELF, "video_id", filters=("status",))


async def on_shelf(session: Session, video_id: UUID) -> VideoOnShelf | None:
    """A video with the numbers of its copies; None when there is none."""
    row = await session.one(_ON_SHELF, video_id=video_id)
    return VideoOnShelf.model_validate(dict(row)) if row else None


async def shelf(session: Session, query: ListShelf) -> Page[VideoOnShelf]:
    """One page of videos with the numbers of their copies, newest first."""
    return await _SHELF_NEWEST.page(session, query)
