"""Phone pre-order: reserve and pay, and get a receipt with the expected delivery."""

from __future__ import annotations

from datetime import date, datetime

from contracts.preorder.refusals import AlreadyReserved
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
from gateway_api.gateway import ANY, STAFF

API = "/v1/preorder"

STATES = {
    "AWAITING_PAYMENT": State("결제중", "Paying", "wait"),
    "CONFIRMED": State("예약완료", "Confirmed", "good"),
    "REJECTED": State("결제거절", "Payment declined", "bad"),
    "CANCELLING": State("취소중", "Being cancelled", "wait"),
    "CANCELLED": State("예약취소", "Cancelled", "neutral"),
}
PRODUCT_STATES = {
    "OPEN": State("예약 중", "Open", "good"),
    "CLOSED": State("예약 마감", "Closed", "neutral"),
}
FULL = State("모두 예약됨", "All reserved", "neutral")
RECEIPTS = {
    "ISSUED": State("발급", "issued", "good"),
    "VOIDED": State("취소", "voided", "neutral"),
}
NAME, QUOTA = Text("모델", "Model"), Text("한정 수량", "Quota")
FREE, NO_LIMIT = Text("남은 수량", "Left now"), Text("제한 없음", "no limit")


def _product_facts(product: Item) -> list[Fact]:
    price = (PRICE, Money(product["price"]))
    if product["quota"] is None:
        return [price, (QUOTA, NO_LIMIT)]
    return [price, (QUOTA, Count(product["quota"], "대")), (FREE, Count(product.get("available"), "대"))]


def _product_state(product: Item) -> State:
    if product["status"] == "OPEN" and product.get("available") == 0:
        return FULL
    return PRODUCT_STATES.get(product["status"], unknown_state(product["status"]))


def _may_reserve(product: Item) -> bool:
    return product["status"] == "OPEN" and product.get("available") != 0


def _reservation_facts(reservation: Item) -> list[Fact]:
    facts: list[Fact] = [(MEMBER, reservation["member_id"]), (PRICE, Money(reservation["price"]))]
    facts += [(CREATED, Timestamp(reservation["created_at"])), *payment_facts(reservation)]
    if receipt := reservation.get("receipt"):
        facts += [(Text("접수증", "Receipt"), RECEIPTS.get(receipt["status"], unknown_state(receipt["status"])))]
        if receipt["expected_delivery"]:
            facts += [(Text("배송 예정일", "Expected delivery"), date.fromisoformat(receipt["expected_delivery"]))]
    return [*facts, *reason_facts(reservation)]


def _next(reservation: Item) -> NextStep | None:
    match reservation["status"]:
        case "AWAITING_PAYMENT":
            return NextStep(Text("결제를 아직 확인하고 있습니다", "We are still checking your payment"), waiting=True)
        case "CANCELLING":
            return NextStep(
                Text("결제와 접수증을 취소하고 있습니다", "Payment and receipt are being undone"), waiting=True
            )
        case "CONFIRMED" if not reservation.get("receipt"):
            return NextStep(Text("접수증을 준비하고 있습니다", "The receipt is on its way"), waiting=True)
        case "CONFIRMED":
            return NextStep(Text("배송을 기다려 주세요", "Wait for the delivery"))
    return None


reserve = Action(
    "reserve",
    Text("예약하기", "Reserve"),
    f"{API}/reservations",
    (
        FormField("address", Text("받을 주소", "Address"), "long"),
        FormField("payment", Text("결제", "Payment"), "payment"),
    ),
    shown=(Shown("expected_price", lambda product: product.get("price")),),
    when=_may_reserve,
    id_as="product_id",
    tone="main",
    opens_new_item=True,
)
change = Action(
    "change",
    Text("수정", "Change"),
    f"{API}/products/{{id}}",
    (
        FormField("price", PRICE, "won", from_item="price"),
        FormField("quota", QUOTA, "whole", required=False, from_item="quota"),
    ),
    method="PATCH",
    roles=STAFF,
)
close = Action(
    "close",
    Text("예약 마감", "Close"),
    f"{API}/products/{{id}}",
    method="PATCH",
    roles=STAFF,
    when=status_in("OPEN"),
    body={"status": "CLOSED"},
    tone="danger",
)
reopen = Action(
    "open",
    Text("예약 재개", "Open again"),
    f"{API}/products/{{id}}",
    method="PATCH",
    roles=STAFF,
    when=status_in("CLOSED"),
    body={"status": "OPEN"},
)
cancel = Action(
    "cancel",
    Text("예약 취소", "Cancel"),
    f"{API}/reservations/{{id}}/cancellation",
    (REASON_FIELD,),
    roles=ANY,
    when=status_in("AWAITING_PAYMENT", "CONFIRMED"),
    tone="danger",
    note=Text(
        "낸 돈은 모두 돌려드리고 접수증은 취소됩니다.", "All that was paid is given back, and the receipt is voided."
    ),
)


def _samples(_: datetime) -> Registrations:
    return (
        (f"{API}/products", {"name": "달빛 15", "price": 1_250_000}),
        (f"{API}/products", {"name": "달빛 15 프로", "price": 1_690_000, "quota": 20}),
    )


EVENTS = {
    "ReservationStarted": Text("예약을 시작했습니다", "Reservation begun"),
    "ReservationRejected": Text("예약하지 못했습니다", "Reservation rejected"),
    "ReservationCancelling": Text("예약을 취소하고 있습니다", "Reservation being cancelled"),
    "ReservationCancelled": Text("예약을 취소했습니다", "Reservation cancelled"),
    "ProductRegistered": Text("상품을 등록했습니다", "Product registered"),
    "ProductChanged": Text("상품 정보를 바꾸었습니다", "Product changed"),
    "ReservationConfirmed": Text("예약이 확정되었습니다", "Reservation confirmed"),
    "ReceiptIssued": Text("접수증을 발급했습니다", "Receipt issued"),
    "ReceiptVoided": Text("접수증을 취소했습니다", "Receipt voided"),
}

LINKS = {
    AlreadyReserved.code: ("/mine", Text("내 예약 보기", "See the reservation")),
}

business = Business(
    "preorder",
    "preorder",
    Text("스마트폰 사전예약", "Phone pre-order"),
    Text("새 휴대폰을 미리 예약합니다.", "Reserve a new phone ahead."),
    catalogue=Listing(
        "products",
        Text("휴대폰", "Phones"),
        f"{API}/products?status=OPEN&limit=100",
        "product_id",
        lambda product: str(product["name"]),
        item=f"{API}/products/{{id}}",
        staff_path=f"{API}/products?limit=100",
        state=_product_state,
        facts=_product_facts,
        actions=(reserve, change, close, reopen),
        hint="catalogue",
    ),
    records=Listing(
        "reservations",
        Text("휴대폰 예약", "Phone reservations"),
        f"{API}/my-reservations?limit=50",
        "reservation_id",
        lambda reservation: (reservation.get("product") or {}).get("name") or Text("휴대폰", "Phone"),
        item=f"{API}/my-reservations/{{id}}",
        state=lambda reservation: STATES.get(reservation["status"]),
        facts=_reservation_facts,
        next=_next,
        actions=(cancel,),
        takes_min_version=True,
    ),
    general_actions=(
        Action(
            "product",
            Text("모델 등록", "Offer a model"),
            f"{API}/products",
            (
                FormField("name", NAME),
                FormField("price", PRICE, "won"),
                FormField("quota", QUOTA, "whole", required=False),
            ),
            roles=STAFF,
        ),
    ),
    events=EVENTS,
    links=LINKS,
    offers=("preorder.products", "preorder.reservations"),
    samples=_samples,
)
