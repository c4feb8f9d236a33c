"""Bike sharing: bills, one row per started ride."""

from __future__ import annotations

from uuid import UUID

from pydantic_core import from_json

from contracts.base import Page
from contracts.bike_sharing.billing import BillState, ListBills
from contracts.bike_sharing.deposits import FeeState
from contracts.bike_sharing.rides import RideState
from storage import paging
from storage.database import Row, Session, Statement


def bill_of(row: Row | None) -> BillState | None:
    return BillState.model_validate({**row, "fee_plan": from_json(row["fee_plan"])}) if row else None


_OPEN = Statement("""
    insert into bike_sharing_billing.bills (bill_id, ride_id, bike_id, member_id, status, fee_plan, started_at)
    values (:bill_id, :ride_id, :bike_id, :member_id, 'OPEN', :fee_plan, :started_at)
    on conflict do nothing returning *""")


async def open_bill(session: Session, bill_id: UUID, ride: RideState) -> BillState | None:
    """Insert the OPEN bill of a ride; None when the ride has a bill."""
    return bill_of(
        await session.one(
            _OPEN,
            bill_id=bill_id,
            ride_id=ride.ride_id,
            bike_id=ride.bike_id,
            member_id=ride.member_id,
            fee_plan=ride.fee_plan.model_dump_json(),
            started_at=ride.started_at,
        )
    )


_SETTLING = Statement("""
    insert into bike_sharing_billing.bills as existing
      (bill_id, ride_id, bike_id, member_id, status, fee_plan, started_at, ended_at, minutes, amount, flagged)
    values (:bill_id, :ride_id, :bike_id, :member_id, 'SETTLING', :fee_plan, :started_at, :ended_at, :minutes,
      :amount, :flagged)
    on conflict (ride_id) do update set status = 'SETTLING', ended_at = excluded.ended_at,
      minutes = excluded.minutes, amount = excluded.amount, flagged = excluded.flagged,
      modified_at = now(), version = existing.version + 1
      where existing.status = 'OPEN' returning *""")


async def settle(session: Session, bill_id: UUID, ride: RideState) -> BillState | None:
    """Set the bill of an ended ride to SETTLING; inserts it if the start event has not arrived yet.

    None when the end of the ride was processed before.
    """
    return bill_of(
        await session.one(
            _SETTLING,
            bill_id=bill_id,
            ride_id=ride.ride_id,
            bike_id=ride.bike_id,
            member_id=ride.member_id,
            fee_plan=ride.fee_plan.model_dump_json(),
            started_at=ride.started_at,
            ended_at=ride.ended_at,
            minutes=ride.minutes,
            amount=ride.fee,
            flagged=ride.flagged,
        )
    )


_NOTE_FEE = Statement("""
    update bike_sharing_billing.bills set paid = :paid, owed = :owed, balance_after = :balance_after,
      status = case when cast(:owed as bigint) = 0 then 'CLOSED' else 'OWED' end, fee_version = :version,
      modified_at = now(), version = version + 1
    where bill_id = :bill_id and fee_version < :version returning *""")


async def note_fee(session: Session, fee: FeeState) -> BillState | None:
    """Store the newest state of a bill's fee, and set the bill to CLOSED or OWED; None for an older version."""
    return bill_of(
        await session.one(
            _NOTE_FEE,
            bill_id=fee.bill_id,
            paid=fee.paid,
            owed=fee.owed,
            balance_after=fee.balance_after,
            version=fee.version,
        )
    )


_FIND = Statement("select * from bike_sharing_billing.bills where bill_id = :bill_id")


async def find(session: Session, bill_id: UUID) -> BillState | None:
    """A bill; None when there is none."""
    return bill_of(await session.one(_FIND, bill_id=bill_id))


_NEWEST = paging.Newest(
    BillState,
    "bike_sharing_billing.bills",
    "bill_id",
    filters=("member_id", "status"),
    make=lambda row: BillState.model_validate({**row, "fee_plan": from_json(row["fee_plan"])}),
)


async def newest(session: Session, query: ListBills) -> Page[BillState]:
    """One page of bills, newest first."""
    return await _NEWEST.page(session, query)
