"""Bike sharing: one bill for each ride, settled once.

RideStarted                                    -> BillOpened
RideReturned, RideEndedByStaff, RideEndedAtCap -> BillSettling, TakeFee (deposits)
FeeTaken, DebtPaid                             -> BillClosed | BillOwed
"""

from __future__ import annotations

from typing import Any
from uuid import uuid5

from contracts.base import Page
from contracts.bike_sharing.billing import (
    BillClosed,
    BillOpened,
    BillOwed,
    BillSettling,
    BillState,
    BillStatus,
    ListBills,
    ShowBill,
)
from contracts.bike_sharing.deposits import DebtPaid, FeeTaken, TakeFee
from contracts.bike_sharing.rides import RideEndedAtCap, RideEndedByStaff, RideReturned, RideStarted, RideState
from contracts.refusals import NotFound
from storage.bike_sharing import billing as store
from storage.database import Session
from workers.runtime.processing.tx import Tx
from workers.runtime.worker import Worker

worker = billing = Worker("bike_sharing.billing", sends=(TakeFee,))


@billing.handles(RideStarted)
async def open_bill(event: RideStarted, tx: Tx) -> None:
    bill = await store.open_bill(tx, uuid5(event.ride_id, "bill"), event)
    if bill is not None:
        tx.publish(BillOpened.of(bill))


async def settle_bill(event: Any, tx: Tx) -> None:
    ride: RideState = event
    bill = await store.settle(tx, uuid5(ride.ride_id, "bill"), ride)
    if bill is None or bill.amount is None or bill.ended_at is None:
        return
    tx.publish(BillSettling.of(bill))
    fee = TakeFee(
        bill_id=bill.bill_id,
        ride_id=bill.ride_id,
        member_id=bill.member_id,
        amount=bill.amount,
        ended_at=bill.ended_at,
    )
    tx.publish(fee)


for ride_event in (RideReturned, RideEndedByStaff, RideEndedAtCap):
    billing.handles(ride_event)(settle_bill)


async def note_fee(event: Any, tx: Tx) -> None:
    bill = await store.note_fee(tx, event)
    if bill is not None:
        tx.publish(BillClosed.of(bill) if bill.status is BillStatus.CLOSED else BillOwed.of(bill))


for fee_event in (FeeTaken, DebtPaid):
    billing.handles(fee_event)(note_fee)


@billing.handles(ShowBill)
async def show_bill(query: ShowBill, session: Session) -> BillState:
    bill = await store.find(session, query.bill_id)
    if bill is None or not query.caller.may_see(bill.member_id):
        raise NotFound
    return bill


@billing.handles(ListBills)
async def list_bills(query: ListBills, session: Session) -> Page[BillState]:
    return await store.newest(session, query)
