"""Video rental (비디오 예약 & 대여): staff register videos; a member books, cancels, picks up and returns."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic_core import from_json, to_json
from starlette.responses import Response

from contracts.base import MemberId, Won
from contracts.outcomes import Outcome
from contracts.video_rental.my_page import ListMyPage, ShowMyPage
from contracts.video_rental.rentals import (
    BookVideo,
    CancelBooking,
    Days,
    ListRentals,
    ListShelf,
    PayLateFee,
    PickUpVideo,
    RentalStatus,
    ReturnVideo,
    ShowRental,
    ShowShelf,
    WaiveLateFee,
)
from contracts.video_rental.videos import (
    ChangeVideo,
    Copies,
    DailyPrice,
    ListVideos,
    RegisterVideo,
    ShowVideo,
    VideoStatus,
)
from gateway_api.bodies import (
    CardPayment,
    Form,
    MinVersion,
    NonBlankName,
    NonBlankReason,
    Paging,
    example,
    optional,
)
from gateway_api.dependencies import Anyone, Commands, Customer, Queries, ResourceId, Staff
from gateway_api.expected_version import Changes
from gateway_api.gateway import VERSION_SECONDS, owned
from gateway_api.routing import GatewayRoute, sends
from gateway_api.settings import GatewaySettings
from workers.runtime.messaging.envelope import RpcReply


def paying(settings: GatewaySettings) -> float:
    """The time limit of a payment and one second, for a command that requests a payment."""
    return float(settings.video_rental_payment_ms) / 1000 + 1


DESCRIPTION = "비디오 예약 & 대여: videos, rentals, and a member's page."
router = APIRouter(prefix="/v1/video-rental", tags=["video rental"], route_class=GatewayRoute)


class NewVideo(Form):
    model_config = example(title="카사블랑카", daily_price=1500, copies=3)

    title: NonBlankName
    daily_price: DailyPrice
    copies: Copies = 1


class VideoChanges(Changes):
    """A field that is left out keeps its value."""

    model_config = example(daily_price=1200)

    title: NonBlankName = optional()
    daily_price: DailyPrice = optional()
    copies: Copies = optional()
    status: VideoStatus = optional()


class VideoFilters(Paging):
    status: VideoStatus = optional()


class Booking(Form):
    model_config = example(
        video_id="0afa707b-1493-4eed-a57b-9e56f3c744a5",
        days=2,
        payment={"method": "card", "token": "tok_visa", "last4": "4242", "brand": "visa"},
    )

    video_id: UUID
    days: Days = 1
    payment: CardPayment
    expected_price: Won | None = None
    """What the customer was shown, for the whole of it; another price now is refused (`price_changed`)."""


class Cancellation(Form):
    model_config = example(reason="일정이 바뀌었어요")

    reason: NonBlankReason | None = None


class LateFeePayment(Form):
    model_config = example(payment={"method": "card", "token": "tok_visa", "last4": "4242", "brand": "visa"})

    payment: CardPayment


class Waiver(Form):
    model_config = example(reason="처음 늦은 고객")

    reason: NonBlankReason


class RentalFilters(Paging):
    member_id: MemberId = optional()
    video_id: UUID = optional()
    status: RentalStatus = optional()


@router.post("/videos")
@sends(RegisterVideo, creates="/v1/video-rental/videos/{video_id}")
async def register_video(form: NewVideo, caller: Staff, commands: Commands) -> Response:
    return await commands.send(RegisterVideo(**vars(form), caller=caller))


@router.get("/videos")
@sends(ListShelf, time_limit=1.0)
async def list_videos(filters: Annotated[VideoFilters, Query()], _: Anyone, queries: Queries) -> Response:
    """The catalogue with live `available`, which is null while the rentals context does not answer."""
    reply = await queries.send_raw(ListShelf(**vars(filters)))
    if reply.kind in ("unavailable", "unknown"):
        reply = _without_shelf(await queries.send_raw(ListVideos(**vars(filters))))
    return queries.to_response(reply)


@router.get("/videos/{video_id}")
@sends(ShowShelf, time_limit=1.0)
async def show_video(video_id: ResourceId, _: Anyone, queries: Queries) -> Response:
    """One video with live `available`, which is null while the rentals context does not know it or does not answer."""
    reply = await queries.send_raw(ShowShelf(video_id=video_id))
    if reply.kind != "done":
        reply = _without_shelf(await queries.send_raw(ShowVideo(video_id=video_id)))
    return queries.to_response(reply)


@router.patch("/videos/{video_id}")
@sends(ChangeVideo)
async def change_video(video_id: ResourceId, form: VideoChanges, _: Staff, commands: Commands) -> Response:
    return await commands.send(ChangeVideo(video_id=video_id, **vars(form)))


@router.post("/rentals")
@sends(
    BookVideo,
    creates="/v1/video-rental/rentals/{rental_id}",
    status_path="/v1/video-rental/my-page/{rental_id}",
    time_limit=paying,
)
async def book_video(form: Booking, caller: Customer, commands: Commands) -> Response:
    return await commands.send(BookVideo(**vars(form), caller=caller))


@router.post("/rentals/{rental_id}/cancellation")
@sends(CancelBooking)
async def cancel_booking(rental_id: ResourceId, form: Cancellation, caller: Anyone, commands: Commands) -> Response:
    return await commands.send(CancelBooking(rental_id=rental_id, reason=form.reason, caller=caller))


@router.post("/rentals/{rental_id}/pickup")
@sends(PickUpVideo)
async def pick_up_video(rental_id: ResourceId, caller: Anyone, commands: Commands) -> Response:
    return await commands.send(PickUpVideo(rental_id=rental_id, caller=caller))


@router.post("/rentals/{rental_id}/return")
@sends(ReturnVideo)
async def return_video(rental_id: ResourceId, caller: Anyone, commands: Commands) -> Response:
    return await commands.send(ReturnVideo(rental_id=rental_id, caller=caller))


@router.post("/rentals/{rental_id}/late-fee-payment")
@sends(PayLateFee, time_limit=paying)
async def pay_late_fee(rental_id: ResourceId, form: LateFeePayment, caller: Customer, commands: Commands) -> Response:
    return await commands.send(PayLateFee(rental_id=rental_id, payment=form.payment, caller=caller))


@router.post("/rentals/{rental_id}/late-fee-waiver")
@sends(WaiveLateFee)
async def waive_late_fee(rental_id: ResourceId, form: Waiver, caller: Staff, commands: Commands) -> Response:
    return await commands.send(WaiveLateFee(rental_id=rental_id, reason=form.reason, caller=caller))


@router.get("/rentals")
@sends(ListRentals)
async def list_rentals(filters: Annotated[RentalFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    """Rentals as their own context has them; staff may filter by `member_id`."""
    return await queries.send(ListRentals(**owned(caller, filters)))


@router.get("/rentals/{rental_id}")
@sends(ShowRental)
async def show_rental(rental_id: ResourceId, caller: Anyone, queries: Queries) -> Response:
    return await queries.send(ShowRental(rental_id=rental_id, caller=caller))


@router.get("/my-page")
@sends(ListMyPage)
async def list_my_page(filters: Annotated[RentalFilters, Query()], caller: Anyone, queries: Queries) -> Response:
    """The rentals of a member with payment and refund; staff may filter by `member_id`."""
    return await queries.send(ListMyPage(**owned(caller, filters)))


@router.get("/my-page/{rental_id}")
@sends(ShowMyPage, time_limit=VERSION_SECONDS)
async def show_my_page(
    rental_id: ResourceId, query: Annotated[MinVersion, Query()], caller: Anyone, queries: Queries
) -> Response:
    """One rental with its timeline."""
    return await queries.send(ShowMyPage(rental_id=rental_id, min_version=query.min_version, caller=caller))


def _without_shelf(reply: RpcReply) -> RpcReply:
    """Convert an answer of the catalogue into that of the shelf; the numbers of copies are null."""
    if reply.kind != "done":
        return reply
    answer = from_json(reply.body)
    for video in answer.get("items", [answer]):
        video |= dict.fromkeys(("available", "booked", "rented"))
    return RpcReply(Outcome.DONE, to_json(answer))
