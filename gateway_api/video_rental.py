"""Video rental (비디오 예약 & 대여): staff register videos; a member books, cancels, picks up and returns."""

from __future__ import annotations

from uuid import UUID

from pydantic_core import from_json, to_json
from starlette.responses import Response

from contracts.base import MemberId
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
from gateway_api.bodies import CardPayment, Form, MinVersion, NonBlankName, NonBlankReason, Paging, optional
from gateway_api.gateway import ANY, CUSTOMER, STAFF, RequestContext, Routes
from gateway_api.settings import GatewaySettings
from workers.runtime.messaging.envelope import RpcReply


def paying(settings: GatewaySettings) -> float:
    """The time limit of a payment and one second, for a command that requests a payment."""
    return settings.video_rental_payment_ms / 1000 + 1


routes = Routes(
    "/v1/video-rental",
    "video rental",
    time_limits={
        BookVideo: paying,
        PayLateFee: paying,
        ShowMyPage: lambda _: 2.5,  # waits for `min_version`
        ShowShelf: lambda _: 1.0,  # the request to the catalogue follows
        ListShelf: lambda _: 1.0,
    },
)


class NewVideo(Form):
    title: NonBlankName
    daily_price: DailyPrice
    copies: Copies = 1


class VideoChanges(Form):
    """A field that is left out keeps its value."""

    title: NonBlankName = optional()
    daily_price: DailyPrice = optional()
    copies: Copies = optional()
    status: VideoStatus = optional()


class VideoFilters(Paging):
    status: VideoStatus | None = None


class Booking(Form):
    video_id: UUID
    days: Days = 1
    payment: CardPayment


class Cancellation(Form):
    reason: NonBlankReason | None = None


class LateFeePayment(Form):
    payment: CardPayment


class Waiver(Form):
    reason: NonBlankReason


class RentalFilters(Paging):
    member_id: MemberId | None = None
    status: RentalStatus | None = None


@routes.post("/videos", STAFF, RegisterVideo, NewVideo, creates="/videos/{video_id}")
async def register_video(request: RequestContext, form: NewVideo) -> Response:
    return await request.send(RegisterVideo(**vars(form), caller=request.caller))


@routes.get("/videos", ANY, ListShelf, VideoFilters)
async def list_videos(request: RequestContext, filters: VideoFilters) -> Response:
    """The catalogue with live `available`, which is null while the rentals context does not answer."""
    reply = await request.send_raw(ListShelf(**vars(filters)))
    if reply.kind in ("unavailable", "unknown"):
        reply = _without_shelf(await request.send_raw(ListVideos(**vars(filters))))
    return request.to_response(reply)


@routes.get("/videos/{video_id}", ANY, ShowShelf)
async def show_video(request: RequestContext) -> Response:
    """One video with live `available`, which is null while the rentals context does not know it or does not answer."""
    video_id = request.id("video_id")
    reply = await request.send_raw(ShowShelf(video_id=video_id))
    if reply.kind != "done":
        reply = _without_shelf(await request.send_raw(ShowVideo(video_id=video_id)))
    return request.to_response(reply)


@routes.patch("/videos/{video_id}", STAFF, ChangeVideo, VideoChanges)
async def change_video(request: RequestContext, form: VideoChanges) -> Response:
    return await request.send(ChangeVideo(video_id=request.id("video_id"), **vars(form)))


@routes.post(
    "/rentals", CUSTOMER, BookVideo, Booking, creates="/rentals/{rental_id}", status_path="/my-page/{rental_id}"
)
async def book_video(request: RequestContext, form: Booking) -> Response:
    return await request.send(BookVideo(**vars(form), caller=request.caller))


@routes.post("/rentals/{rental_id}/cancellation", ANY, CancelBooking, Cancellation)
async def cancel_booking(request: RequestContext, form: Cancellation) -> Response:
    return await request.send(
        CancelBooking(rental_id=request.id("rental_id"), reason=form.reason, caller=request.caller)
    )


@routes.post("/rentals/{rental_id}/pickup", ANY, PickUpVideo)
async def pick_up_video(request: RequestContext) -> Response:
    return await request.send(PickUpVideo(rental_id=request.id("rental_id"), caller=request.caller))


@routes.post("/rentals/{rental_id}/return", ANY, ReturnVideo)
async def return_video(request: RequestContext) -> Response:
    return await request.send(ReturnVideo(rental_id=request.id("rental_id"), caller=request.caller))


@routes.post("/rentals/{rental_id}/late-fee-payment", CUSTOMER, PayLateFee, LateFeePayment)
async def pay_late_fee(request: RequestContext, form: LateFeePayment) -> Response:
    return await request.send(
        PayLateFee(rental_id=request.id("rental_id"), payment=form.payment, caller=request.caller)
    )


@routes.post("/rentals/{rental_id}/late-fee-waiver", STAFF, WaiveLateFee, Waiver)
async def waive_late_fee(request: RequestContext, form: Waiver) -> Response:
    return await request.send(
        WaiveLateFee(rental_id=request.id("rental_id"), reason=form.reason, caller=request.caller)
    )


@routes.get("/rentals", ANY, ListRentals, RentalFilters)
async def list_rentals(request: RequestContext, filters: RentalFilters) -> Response:
    """Rentals as their own context has them; staff may filter by `member_id`."""
    return await request.send(ListRentals(**{**vars(filters), "member_id": request.owner_filter(filters.member_id)}))


@routes.get("/rentals/{rental_id}", ANY, ShowRental)
async def show_rental(request: RequestContext) -> Response:
    return await request.send(ShowRental(rental_id=request.id("rental_id"), caller=request.caller))


@routes.get("/my-page", ANY, ListMyPage, RentalFilters)
async def list_my_page(request: RequestContext, filters: RentalFilters) -> Response:
    """The rentals of a member with payment and refund; staff may filter by `member_id`."""
    return await request.send(ListMyPage(**{**vars(filters), "member_id": request.owner_filter(filters.member_id)}))


@routes.get("/my-page/{rental_id}", ANY, ShowMyPage, MinVersion)
async def show_my_page(request: RequestContext, query: MinVersion) -> Response:
    """One rental with its timeline."""
    rental_id = request.id("rental_id")
    return await request.send(ShowMyPage(rental_id=rental_id, min_version=query.min_version, caller=request.caller))


def _without_shelf(reply: RpcReply) -> RpcReply:
    """Convert an answer of the catalogue into that of the shelf; `available` is null."""
    if reply.kind != "done":
        return reply
    answer = from_json(reply.body)
    for video in answer.get("items", [answer]):
        video["available"] = None
    return RpcReply(Outcome.DONE, to_json(answer))
