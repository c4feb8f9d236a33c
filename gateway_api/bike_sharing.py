"""Bike sharing (자전거 대여): members top up, take a bike and return it anywhere; staff maintain the bikes."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

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
    ShowDeposit,
    ShowTopUp,
    TopUpAmount,
    TopUpDeposit,
    TopUpStatus,
)
from contracts.bike_sharing.ride_history import ListRideHistory, ShowRideHistory
from contracts.bike_sharing.rides import EndRide, ListRides, ReturnBike, RideStatus, ShowRide, StartRide
from gateway_api.bodies import NOT_BLANK, ONE_LINE, CardPayment, Form, MinVersion, NonBlankReason, Paging, optional
from gateway_api.gateway import ANY, CUSTOMER, STAFF, RequestContext, Routes

routes = Routes(
    "/v1/bike-sharing",
    "bike sharing",
    time_limits={
        TopUpDeposit: lambda settings: settings.bike_sharing_payment_ms / 1000 + 1,
        StartRide: lambda settings: settings.bike_sharing_take_ms / 1000 + 1,
        ShowRideHistory: lambda _: 2.5,  # waits for `min_version`
    },
)

GivenLocation = Annotated[Location, NOT_BLANK, ONE_LINE]
Settable = Literal["AVAILABLE", "BROKEN"]

CONDITIONS: dict[str | None, BikeCondition | None] = {
    "AVAILABLE": BikeCondition.GOOD,
    "BROKEN": BikeCondition.BROKEN,
    None: None,
}


class NewTopUp(Form):
    amount: TopUpAmount
    payment: CardPayment


class NewCredit(Form):
    amount: CreditAmount
    reason: NonBlankReason


class NewBike(Form):
    code: Annotated[Code, NOT_BLANK, ONE_LINE]
    location: GivenLocation
    status: Settable = "AVAILABLE"


class BikeChanges(Form):
    """A field that is left out keeps its value."""

    location: GivenLocation = optional()
    status: Settable = optional()


class BikeFilters(Paging):
    location: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    status: BikeStatus | None = None


class NewRide(Form):
    bike_id: UUID


class Return(Form):
    location: GivenLocation


class Ending(Form):
    reason: NonBlankReason
    location: GivenLocation | None = None


class TopUpFilters(Paging):
    member_id: MemberId | None = None
    status: TopUpStatus | None = None


class RideFilters(Paging):
    member_id: MemberId | None = None
    status: RideStatus | None = None


class BillFilters(Paging):
    member_id: MemberId | None = None
    status: BillStatus | None = None


# -- deposits


@routes.post("/deposits/top-ups", CUSTOMER, TopUpDeposit, NewTopUp, creates="/deposits/top-ups/{top_up_id}")
async def top_up(request: RequestContext, form: NewTopUp) -> Response:
    """Top up the caller's deposit; debt is paid first."""
    return await request.send(TopUpDeposit(**vars(form), caller=request.caller))


@routes.get("/deposits/top-ups", ANY, ListTopUps, TopUpFilters)
async def list_top_ups(request: RequestContext, filters: TopUpFilters) -> Response:
    """Top-ups and credits, including failed ones; staff may filter by `member_id`."""
    return await request.send(ListTopUps(**{**vars(filters), "member_id": request.owner_filter(filters.member_id)}))


@routes.get("/deposits/top-ups/{top_up_id}", ANY, ShowTopUp)
async def show_top_up(request: RequestContext) -> Response:
    return await request.send(ShowTopUp(top_up_id=request.id("top_up_id"), caller=request.caller))


@routes.post("/deposits/{member_id}/credits", STAFF, CreditDeposit, NewCredit, creates="/deposits/top-ups/{top_up_id}")
async def credit(request: RequestContext, form: NewCredit) -> Response:
    """Credit a member's deposit; debt is paid first."""
    return await request.send(CreditDeposit(member_id=request.text("member_id"), **vars(form), caller=request.caller))


@routes.get("/deposits/me", CUSTOMER, ShowDeposit)
async def show_own_deposit(request: RequestContext) -> Response:
    return await request.send(ShowDeposit(member_id=request.caller.member_id, caller=request.caller))


@routes.get("/deposits", STAFF, ListDeposits, Paging)
async def list_deposits(request: RequestContext, filters: Paging) -> Response:
    return await request.send(ListDeposits(**vars(filters)))


@routes.get("/deposits/{member_id}", STAFF, ShowDeposit)
async def show_deposit(request: RequestContext) -> Response:
    return await request.send(ShowDeposit(member_id=request.text("member_id"), caller=request.caller))


@routes.get("/deposits/{member_id}/entries", ANY, ListEntries, Paging)
async def list_entries(request: RequestContext, filters: Paging) -> Response:
    """The ledger of a member; `me` is the caller."""
    member_id = request.text("member_id")
    if member_id == "me" and not request.caller.is_staff:
        member_id = request.caller.member_id
    return await request.send(ListEntries(member_id=member_id, **vars(filters), caller=request.caller))


# -- bikes


@routes.post("/bikes", STAFF, RegisterBike, NewBike, creates="/bikes/{bike_id}")
async def register_bike(request: RequestContext, form: NewBike) -> Response:
    condition = CONDITIONS[form.status]
    return await request.send(
        RegisterBike(code=form.code, location=form.location, condition=condition, caller=request.caller)
    )


@routes.get("/bikes", ANY, ListBikes, BikeFilters)
async def list_bikes(request: RequestContext, filters: BikeFilters) -> Response:
    """The bikes; broken ones for staff only."""
    return await request.send(ListBikes(**vars(filters), broken_too=request.caller.is_staff))


@routes.get("/bikes/{bike_id}", ANY, ShowBike)
async def show_bike(request: RequestContext) -> Response:
    return await request.send(ShowBike(bike_id=request.id("bike_id"), caller=request.caller))


@routes.patch("/bikes/{bike_id}", STAFF, ChangeBike, BikeChanges)
async def change_bike(request: RequestContext, form: BikeChanges) -> Response:
    """A bike in use accepts only `BROKEN`, which takes effect after the ride."""
    condition = CONDITIONS[form.status]
    return await request.send(ChangeBike(bike_id=request.id("bike_id"), location=form.location, condition=condition))


# -- rides


@routes.post("/rides", CUSTOMER, StartRide, NewRide, creates="/rides/{ride_id}", status_path="/ride-history/{ride_id}")
async def start_ride(request: RequestContext, form: NewRide) -> Response:
    return await request.send(StartRide(bike_id=form.bike_id, caller=request.caller))


@routes.post("/rides/{ride_id}/return", CUSTOMER, ReturnBike, Return)
async def return_bike(request: RequestContext, form: Return) -> Response:
    return await request.send(ReturnBike(ride_id=request.id("ride_id"), location=form.location, caller=request.caller))


@routes.post("/rides/{ride_id}/end", STAFF, EndRide, Ending)
async def end_ride(request: RequestContext, form: Ending) -> Response:
    return await request.send(EndRide(ride_id=request.id("ride_id"), **vars(form), caller=request.caller))


@routes.get("/rides", ANY, ListRides, RideFilters)
async def list_rides(request: RequestContext, filters: RideFilters) -> Response:
    """Rides as their own context has them; staff may filter by `member_id`."""
    return await request.send(ListRides(**{**vars(filters), "member_id": request.owner_filter(filters.member_id)}))


@routes.get("/rides/{ride_id}", ANY, ShowRide)
async def show_ride(request: RequestContext) -> Response:
    return await request.send(ShowRide(ride_id=request.id("ride_id"), caller=request.caller))


@routes.get("/billings", ANY, ListBills, BillFilters)
async def list_bills(request: RequestContext, filters: BillFilters) -> Response:
    """Bills; staff may filter by `member_id`."""
    return await request.send(ListBills(**{**vars(filters), "member_id": request.owner_filter(filters.member_id)}))


@routes.get("/billings/{bill_id}", ANY, ShowBill)
async def show_bill(request: RequestContext) -> Response:
    return await request.send(ShowBill(bill_id=request.id("bill_id"), caller=request.caller))


@routes.get("/ride-history", ANY, ListRideHistory, RideFilters)
async def list_ride_history(request: RequestContext, filters: RideFilters) -> Response:
    """The rides of a member with bike and bill; staff may filter by `member_id`."""
    return await request.send(
        ListRideHistory(**{**vars(filters), "member_id": request.owner_filter(filters.member_id)})
    )


@routes.get("/ride-history/{ride_id}", ANY, ShowRideHistory, MinVersion)
async def show_ride_history(request: RequestContext, query: MinVersion) -> Response:
    """One ride with its timeline."""
    ride_id = request.id("ride_id")
    return await request.send(ShowRideHistory(ride_id=ride_id, min_version=query.min_version, caller=request.caller))
