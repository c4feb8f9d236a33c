"""Bike sharing (자전거 대여): members top up, take a bike and return it anywhere; staff maintain the bikes."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from contracts.base import MemberId
from contracts.bike_sharing.bikes import (
    BikeCondition,
    BikeStatus,
    ChangeBike,
    Code,
    ListBikes,
    Location,
    RegisterBike,
    ShowBike,
)
from contracts.bike_sharing.billing import BillStatus, ListBills, ShowBill
from contracts.bike_sharing.deposits import (
    CreditAmount,
    CreditDeposit,
    ListDeposits,
    ListEntries,
    ListTopUps,
    ListWithdrawals,
    PayOutWithdrawal,
    Reference,
    ShowDeposit,
    ShowTopUp,
    ShowWithdrawal,
    TopUpAmount,
    TopUpDeposit,
    TopUpStatus,
    WithdrawalAmount,
    WithdrawalStatus,
    WithdrawDeposit,
)
from contracts.bike_sharing.ride_history import ListRideHistory, ShowRideHistory
from contracts.bike_sharing.rides import EndRide, ListRides, ReturnBike, RideStatus, ShowRide, StartRide
from gateway_api.bodies import (
    NOT_BLANK,
    ONE_LINE,
    CardPayment,
    Form,
    MinVersion,
    NonBlankReason,
    Paging,
    example,
    optional,
)
from gateway_api.dependencies import Anyone, Commands, Customer, MemberName, Queries, ResourceId, Staff
from gateway_api.expected_version import Changes
from gateway_api.gateway import VERSION_SECONDS, owned
from gateway_api.routing import GatewayRoute, sends

DESCRIPTION = "자전거 대여: deposits, bikes, rides and bills."
router = APIRouter(prefix="/v1/bike-sharing", tags=["bike sharing"], route_class=GatewayRoute)

GivenLocation = Annotated[Location, NOT_BLANK, ONE_LINE]
Settable = Literal["AVAILABLE", "BROKEN"]

CONDITIONS: dict[str | None, BikeCondition | None] = {
    "AVAILABLE": BikeCondition.GOOD,
    "BROKEN": BikeCondition.BROKEN,
    None: None,
}


class NewTopUp(Form):
    model_config = example(
        amount=10000, payment={"method": "card", "token": "tok_visa", "last4": "4242", "brand": "visa"}
    )

    amount: TopUpAmount
    payment: CardPayment


class NewCredit(Form):
    model_config = example(amount=2000, reason="고장 보상")

    amount: CreditAmount
    reason: NonBlankReason


class NewWithdrawal(Form):
    model_config = example(amount=5000)

    amount: WithdrawalAmount


class Payout(Form):
    model_config = example(reference="2026-11-30 국민은행 0412")

    reference: Annotated[Reference, NOT_BLANK, ONE_LINE]


class NewBike(Form):
    model_config = example(code="B-0042", location="강남역")

    code: Annotated[Code, NOT_BLANK, ONE_LINE]
    location: GivenLocation
    status: Settable = "AVAILABLE"


class BikeChanges(Changes):
    """A field that is left out keeps its value."""

    model_config = example(status="BROKEN")

    location: GivenLocation = optional()
    status: Settable = optional()


class BikeFilters(Paging):
    location: Annotated[str, Field(min_length=1, max_length=60)] = optional()
    status: BikeStatus = optional()


class NewRide(Form):
    model_config = example(bike_id="0afa707b-1493-4eed-a57b-9e56f3c744a5")

    bike_id: UUID


class Return(Form):
    model_config = example(location="시청역")

    location: GivenLocation


class Ending(Form):
    model_config = example(reason="반납하지 않음", location="시청역")

    reason: NonBlankReason
    location: GivenLocation | None = None


class TopUpFilters(Paging):
    member_id: MemberId = optional()
    status: TopUpStatus = optional()


class WithdrawalFilters(Paging):
    member_id: MemberId = optional()
    status: WithdrawalStatus = optional()


class RideFilters(Paging):
    member_id: MemberId = optional()
    status: RideStatus = optional()


class BillFilters(Paging):
    member_id: MemberId = optional()
    status: BillStatus = optional()


# -- deposits


@router.post("/deposits/top-ups")
@sends(
    TopUpDeposit,
    creates="/v1/bike-sharing/deposits/top-ups/{top_up_id}",
    time_limit=lambda settings: settings.bike_sharing_payment_ms / 1000 + 1,
)
async def top_up(form: NewTopUp, caller: Customer, commands: Commands) -> Response:
    """Top up the caller's deposit; debt is paid first."""
    return await commands.send(TopUpDeposit(**vars(form), caller=caller))


@router.get("/deposits/top-ups")
@sends(ListTopUps)
async def list_top_ups(filters: Annotated[TopUpFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    """Top-ups and credits, including failed ones; staff may filter by `member_id`."""
    return await queries.send(ListTopUps(**owned(caller, filters)))


@router.get("/deposits/top-ups/{top_up_id}")
@sends(ShowTopUp)
async def show_top_up(top_up_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowTopUp(top_up_id=top_up_id, caller=caller))


@router.post("/deposits/withdrawals")
@sends(
    WithdrawDeposit,
    creates="/v1/bike-sharing/deposits/withdrawals/{withdrawal_id}",
    time_limit=lambda settings: settings.bike_sharing_take_ms / 1000 + 1,
)
async def withdraw(form: NewWithdrawal, caller: Customer, commands: Commands) -> Response:
    """Take money out of the caller's deposit; it goes back to the cards of the latest top-ups."""
    return await commands.send(WithdrawDeposit(amount=form.amount, caller=caller))


@router.get("/deposits/withdrawals")
@sends(ListWithdrawals)
async def list_withdrawals(
    filters: Annotated[WithdrawalFilters, Query()], caller: Anyone, queries: Queries
) -> Response:
    """Withdrawals; staff may filter by `member_id`."""
    return await queries.send(ListWithdrawals(**owned(caller, filters)))


@router.get("/deposits/withdrawals/{withdrawal_id}")
@sends(ShowWithdrawal)
async def show_withdrawal(withdrawal_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowWithdrawal(withdrawal_id=withdrawal_id, caller=caller))


@router.post("/deposits/withdrawals/{withdrawal_id}/payout")
@sends(PayOutWithdrawal)
async def pay_out(withdrawal_id: ResourceId, form: Payout, caller: Staff, commands: Commands) -> Response:
    """Record that staff have paid what no card could take."""
    return await commands.send(PayOutWithdrawal(withdrawal_id=withdrawal_id, reference=form.reference, caller=caller))


@router.post("/deposits/{member_id}/credits")
@sends(CreditDeposit, creates="/v1/bike-sharing/deposits/top-ups/{top_up_id}")
async def credit(member_id: MemberName, form: NewCredit, caller: Staff, commands: Commands) -> Response:
    """Credit a member's deposit; debt is paid first."""
    return await commands.send(CreditDeposit(member_id=member_id, **vars(form), caller=caller))


@router.get("/deposits/me")
@sends(ShowDeposit)
async def show_own_deposit(caller: Customer, queries: Queries) -> Response:
    return await queries.send(ShowDeposit(member_id=caller.member_id, caller=caller))


@router.get("/deposits")
@sends(ListDeposits)
async def list_deposits(filters: Annotated[Paging, Query()], _: Staff, queries: Queries) -> Response:
    return await queries.send(ListDeposits(**vars(filters)))


@router.get("/deposits/{member_id}")
@sends(ShowDeposit)
async def show_deposit(member_id: MemberName, caller: Staff, queries: Queries) -> Response:
    return await queries.send(ShowDeposit(member_id=member_id, caller=caller))


@router.get("/deposits/{member_id}/entries")
@sends(ListEntries)
async def list_entries(
    member_id: MemberName, filters: Annotated[Paging, Query()], caller: Anyone, queries: Queries
) -> Response:
    """The ledger of a member; `me` is the caller."""
    if member_id == "me" and not caller.is_staff:
        member_id = caller.member_id
    return await queries.send(ListEntries(member_id=member_id, **vars(filters), caller=caller))


# -- bikes


@router.post("/bikes")
@sends(RegisterBike, creates="/v1/bike-sharing/bikes/{bike_id}")
async def register_bike(form: NewBike, caller: Staff, commands: Commands) -> Response:
    condition = CONDITIONS[form.status]
    return await commands.send(RegisterBike(code=form.code, location=form.location, condition=condition, caller=caller))


@router.get("/bikes")
@sends(ListBikes)
async def list_bikes(filters: Annotated[BikeFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    """The bikes; broken ones for staff only."""
    return await queries.send(ListBikes(**vars(filters), broken_too=caller.is_staff))


@router.get("/bikes/{bike_id}")
@sends(ShowBike)
async def show_bike(bike_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowBike(bike_id=bike_id, caller=caller))


@router.patch("/bikes/{bike_id}")
@sends(ChangeBike)
async def change_bike(bike_id: ResourceId, form: BikeChanges, _: Staff, commands: Commands) -> Response:
    """A bike in use accepts only `BROKEN`, which takes effect after the ride."""
    condition = CONDITIONS[form.status]
    change = {"location": form.location, "condition": condition, "expected_version": form.expected_version}
    return await commands.send(ChangeBike(bike_id=bike_id, **change))


# -- rides


@router.post("/rides")
@sends(
    StartRide,
    creates="/v1/bike-sharing/rides/{ride_id}",
    status_path="/v1/bike-sharing/ride-history/{ride_id}",
    time_limit=lambda settings: settings.bike_sharing_take_ms / 1000 + 1,
)
async def start_ride(form: NewRide, caller: Customer, commands: Commands) -> Response:
    return await commands.send(StartRide(bike_id=form.bike_id, caller=caller))


@router.post("/rides/{ride_id}/return")
@sends(ReturnBike)
async def return_bike(ride_id: ResourceId, form: Return, caller: Customer, commands: Commands) -> Response:
    return await commands.send(ReturnBike(ride_id=ride_id, location=form.location, caller=caller))


@router.post("/rides/{ride_id}/end")
@sends(EndRide)
async def end_ride(ride_id: ResourceId, form: Ending, caller: Staff, commands: Commands) -> Response:
    return await commands.send(EndRide(ride_id=ride_id, **vars(form), caller=caller))


@router.get("/rides")
@sends(ListRides)
async def list_rides(filters: Annotated[RideFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    """Rides as their own context has them; staff may filter by `member_id`."""
    return await queries.send(ListRides(**owned(caller, filters)))


@router.get("/rides/{ride_id}")
@sends(ShowRide)
async def show_ride(ride_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowRide(ride_id=ride_id, caller=caller))


@router.get("/billings")
@sends(ListBills)
async def list_bills(filters: Annotated[BillFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    """Bills; staff may filter by `member_id`."""
    return await queries.send(ListBills(**owned(caller, filters)))


@router.get("/billings/{bill_id}")
@sends(ShowBill)
async def show_bill(bill_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowBill(bill_id=bill_id, caller=caller))


@router.get("/ride-history")
@sends(ListRideHistory)
async def list_ride_history(filters: Annotated[RideFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    """The rides of a member with bike and bill; staff may filter by `member_id`."""
    return await queries.send(ListRideHistory(**owned(caller, filters)))


@router.get("/ride-history/{ride_id}")
@sends(ShowRideHistory, time_limit=VERSION_SECONDS)
async def show_ride_history(
    ride_id: ResourceId, query: Annotated[MinVersion, Query()], caller: Anyone, queries: Queries
) -> Response:
    """One ride with its timeline."""
    return await queries.send(ShowRideHistory(ride_id=ride_id, min_version=query.min_version, caller=caller))
