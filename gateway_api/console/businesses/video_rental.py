"""Video rental: book and pay, pick up, return; late fees."""

from __future__ import annotations

from datetime import datetime

from contracts.video_rental.refusals import AlreadyBooked, LateFeeOwed
from gateway_api.console.actions import (
    REASON_FIELD,
    Action,
    Business,
    FormField,
    Item,
    Listing,
    Registrations,
    Shown,
    status_in,
)
from gateway_api.console.words import (
    CREATED,
    MEMBER,
    PRICE,
    Count,
    Fact,
    Money,
    NextStep,
    State,
    Text,
    Timestamp,
    payment_facts,
    reason_facts,
    unknown_state,
)
from gateway_api.gateway import ANY, CUSTOMER, STAFF

API = "/v1/video-rental"

STATES = {
    "AWAITING_PAYMENT": State("결제중", "Paying", "wait"),
    "BOOKED": State("예약", "Booked", "good"),
    "REJECTED": State("결제거절", "Payment declined", "bad"),
    "CANCELLED": State("예약취소", "Cancelled", "neutral"),
    "RENTED": State("대여", "On loan", "good"),
    "RETURNED": State("반납", "Returned", "neutral"),
}
VIDEO_STATES = {
    "AVAILABLE": State("대여 가능", "For rent", "good"),
    "RETIRED": State("대여 종료", "Retired", "neutral"),
}
LATE_FEES = {
    "OWED": State("미납", "owed", "bad"),
    "PAYING": State("결제 확인 중", "being paid", "wait"),
    "PAID": State("납부", "paid", "neutral"),
    "WAIVED": State("면제", "waived", "neutral"),
}
TITLE, COPIES, DAYS = Text("제목", "Title"), Text("수량", "Copies"), Text("기간", "Days")
DAILY_PRICE, REASON = Text("하루 대여료", "Price per day"), Text("사유", "Reason")
PAYMENT = FormField("payment", Text("결제", "Payment"), "payment")


ALL_OUT = State("모두 대여 중", "All out", "wait")


def _video_state(video: Item) -> State | None:
    free = video.get("available") != 0 or video["status"] != "AVAILABLE"
    return VIDEO_STATES.get(video["status"]) if free else ALL_OUT


def _video_facts(video: Item) -> list[Fact]:
    facts: list[Fact] = [(DAILY_PRICE, Money(video["daily_price"]))]
    facts += [(Text("지금 빌릴 수 있는 수량", "Free now"), Count(video.get("available"), "개"))]
    facts += [(Text("예약된 수량", "Booked"), Count(video.get("booked"), "개"))]
    facts += [(Text("대여 중인 수량", "Rented out"), Count(video.get("rented"), "개"))]
    return [*facts, (COPIES, Count(video["copies"], "개"))]


def _rental_facts(rental: Item) -> list[Fact]:
    facts: list[Fact] = [(MEMBER, rental["member_id"]), (PRICE, Money(rental["price"]))]
    facts += [(DAYS, Count(rental["days"], "일", "days")), (CREATED, Timestamp(rental["created_at"]))]
    if rental["due_at"]:
        facts += [(Text("반납 기한", "Due"), Timestamp(rental["due_at"]))]
    if rental["late_fee"]:
        fee = LATE_FEES.get(rental["late_fee_status"], unknown_state(rental["late_fee_status"]))
        facts += [(Text("연체료", "Late fee"), Money(rental["late_fee"])), (Text("연체료 상태", "Late fee is"), fee)]
    return [*facts, *payment_facts(rental), *reason_facts(rental)]


def _next(rental: Item) -> NextStep | None:
    match rental["status"]:
        case "AWAITING_PAYMENT":
            return NextStep(Text("결제를 아직 확인하고 있습니다", "We are still checking your payment"), waiting=True)
        case "BOOKED":
            return NextStep(Text("기한까지 찾아가세요", "Pick it up in time"), rental["pickup_until"])
        case "RENTED":
            return NextStep(Text("기한까지 반납하세요", "Bring it back in time"), rental["due_at"])
        case "RETURNED" if rental["late_fee_status"] == "OWED":
            return NextStep(Text("연체료를 내 주세요", "Pay the late fee"))
        case "RETURNED" if rental["late_fee_status"] == "PAYING":
            return NextStep(Text("결제를 아직 확인하고 있습니다", "We are still checking your payment"), waiting=True)
    refund = rental.get("refund")
    if refund and refund["status"] != "REFUNDED":
        return NextStep(Text("환불하고 있습니다", "The refund is under way"), waiting=True)
    return None


def _owes(rental: Item) -> bool:
    return bool(rental.get("late_fee_status") == "OWED")


book = Action(
    "book",
    Text("예약하기", "Book"),
    f"{API}/rentals",
    (FormField("days", Text("며칠 빌릴까요?", "For how many days?"), "whole", default="1"), PAYMENT),
    shown=(Shown("expected_price", lambda video: video.get("daily_price"), times="days"),),
    when=lambda video: video["status"] == "AVAILABLE" and video.get("available") != 0,
    id_as="video_id",
    tone="main",
    opens_new_item=True,
)
change = Action(
    "change",
    Text("수정", "Change"),
    f"{API}/videos/{{id}}",
    (
        FormField("title", TITLE, from_item="title"),
        FormField("daily_price", DAILY_PRICE, "won", from_item="daily_price"),
        FormField("copies", COPIES, "whole", from_item="copies"),
    ),
    method="PATCH",
    roles=STAFF,
)
retire = Action(
    "retire",
    Text("대여 종료", "Retire"),
    f"{API}/videos/{{id}}",
    method="PATCH",
    roles=STAFF,
    when=status_in("AVAILABLE"),
    body={"status": "RETIRED"},
    tone="danger",
)
offer_again = Action(
    "offer-again",
    Text("대여 재개", "Offer again"),
    f"{API}/videos/{{id}}",
    method="PATCH",
    roles=STAFF,
    when=status_in("RETIRED"),
    body={"status": "AVAILABLE"},
)
pick_up = Action(
    "pickup",
    Text("찾아가기", "Pick up"),
    f"{API}/rentals/{{id}}/pickup",
    roles=ANY,
    when=status_in("BOOKED"),
    tone="main",
)
give_back = Action(
    "return",
    Text("반납하기", "Return"),
    f"{API}/rentals/{{id}}/return",
    roles=ANY,
    when=status_in("RENTED"),
    tone="main",
)
cancel = Action(
    "cancel",
    Text("예약 취소", "Cancel"),
    f"{API}/rentals/{{id}}/cancellation",
    (REASON_FIELD,),
    roles=ANY,
    when=status_in("BOOKED"),
    tone="danger",
    note=Text("낸 돈은 모두 돌려드립니다.", "All that was paid is given back."),
)
pay_late_fee = Action(
    "pay-late-fee",
    Text("연체료 내기", "Pay the late fee"),
    f"{API}/rentals/{{id}}/late-fee-payment",
    (PAYMENT,),
    roles=CUSTOMER,
    when=_owes,
    tone="main",
)
waive = Action(
    "waive",
    Text("연체료 면제", "Waive the late fee"),
    f"{API}/rentals/{{id}}/late-fee-waiver",
    (FormField("reason", REASON),),
    roles=STAFF,
    when=_owes,
)


def _samples(_: datetime) -> Registrations:
    return (
        (f"{API}/videos", {"title": "카사블랑카 Casablanca", "daily_price": 1_500, "copies": 3}),
        (f"{API}/videos", {"title": "8월의 크리스마스 Christmas in August", "daily_price": 1_800, "copies": 2}),
        (f"{API}/videos", {"title": "접속 The Contact", "daily_price": 1_200, "copies": 1}),
    )


EVENTS = {
    "VideoRegistered": Text("비디오를 등록했습니다", "Video registered"),
    "VideoChanged": Text("비디오 정보를 바꾸었습니다", "Video changed"),
    "BookingStarted": Text("예약을 시작했습니다", "Booking begun"),
    "VideoBooked": Text("예약했습니다", "Booked"),
    "BookingRejected": Text("예약하지 못했습니다", "Booking rejected"),
    "BookingCancelled": Text("예약을 취소했습니다", "Booking cancelled"),
    "VideoRented": Text("비디오를 받아 갔습니다", "Picked up"),
    "VideoReturned": Text("비디오를 반납했습니다", "Returned"),
    "LateFeePaying": Text("연체료를 결제하고 있습니다", "Late fee being paid"),
    "LateFeePaid": Text("연체료를 냈습니다", "Late fee paid"),
    "LateFeeWaived": Text("연체료를 면제받았습니다", "Late fee waived"),
}

LINKS = {
    LateFeeOwed.code: ("/mine", Text("연체료 내기", "Pay the late fee")),
    AlreadyBooked.code: ("/mine", Text("내 예약 보기", "See the booking")),
}

business = Business(
    "video-rental",
    "video_rental",
    Text("비디오 대여", "Video rental"),
    Text("비디오를 예약하고, 찾아가고, 반납합니다.", "Book a video, pick it up, bring it back."),
    catalogue=Listing(
        "videos",
        Text("비디오", "Videos"),
        f"{API}/videos?status=AVAILABLE&limit=100",
        "video_id",
        lambda video: str(video["title"]),
        item=f"{API}/videos/{{id}}",
        staff_path=f"{API}/videos?limit=100",
        state=_video_state,
        facts=_video_facts,
        actions=(book, change, retire, offer_again),
        hint="catalogue",
    ),
    records=Listing(
        "rentals",
        Text("대여", "Rentals"),
        f"{API}/my-page?limit=50",
        "rental_id",
        lambda rental: rental.get("title") or Text("비디오", "Video"),
        item=f"{API}/my-page/{{id}}",
        state=lambda rental: STATES.get(rental["status"]),
        facts=_rental_facts,
        next=_next,
        actions=(pick_up, give_back, pay_late_fee, cancel, waive),
        takes_min_version=True,
    ),
    general_actions=(
        Action(
            "video",
            Text("비디오 등록", "Register a video"),
            f"{API}/videos",
            (
                FormField("title", TITLE),
                FormField("daily_price", DAILY_PRICE, "won"),
                FormField("copies", COPIES, "whole", default="1"),
            ),
            roles=STAFF,
        ),
    ),
    events=EVENTS,
    links=LINKS,
    offers=("video_rental.videos", "video_rental.rentals"),
    samples=_samples,
)
