"""The café: order ahead; clerks accept, prepare and hand out."""

from __future__ import annotations

from datetime import datetime

from gateway_api.console.actions import Action, Business, FormField, Item, Listing, Registrations, status_in
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
    reason_facts,
)
from gateway_api.gateway import STAFF

API = "/v1/cafe"

ITEM_STATES = {
    "AVAILABLE": State("주문 가능", "Available", "good"),
    "SOLD_OUT": State("품절", "Sold out", "bad"),
}
STATES = {
    "ORDERED": State("주문", "Ordered", "wait"),
    "ACCEPTED": State("접수", "Accepted", "wait"),
    "READY": State("준비완료", "Ready", "good"),
    "COLLECTED": State("수령", "Collected", "neutral"),
    "REJECTED": State("거절", "Rejected", "bad"),
    "CANCELLED": State("취소", "Cancelled", "neutral"),
}
NAME, REASON, QUANTITY = Text("이름", "Name"), Text("사유", "Reason"), Text("수량", "Quantity")


def _item_facts(item: Item) -> list[Fact]:
    return [(PRICE, Money(item["price"]))]


def _order_facts(order: Item) -> list[Fact]:
    return [
        (Text("픽업 번호", "Pickup number"), Count(order["pickup_number"])),
        (MEMBER, order["member_id"]),
        (QUANTITY, Count(order["quantity"], "개")),
        (Text("금액", "Total"), Money(order["total"])),
        (CREATED, Timestamp(order["created_at"])),
        *reason_facts(order),
    ]


def _report_facts(item: Item) -> list[Fact]:
    return [
        (PRICE, Money(item["price"])),
        (Text("오늘 주문", "Orders today"), Count(item["orders_today"], "건")),
        (Text("바꾼 시각", "Changed"), Timestamp(item["changed_at"])),
        (Text("바꾼 사람", "Changed by"), item["changed_by"]),
    ]


def _next(order: Item) -> NextStep | None:
    match order["status"]:
        case "ORDERED":
            return NextStep(Text("카페가 곧 접수합니다", "The café will accept it shortly"), waiting=True)
        case "ACCEPTED":
            return NextStep(Text("준비하고 있습니다", "It is being made"), waiting=True)
        case "READY":
            return NextStep(Text("픽업 번호를 보여 주고 받아 가세요", "Collect it with your pickup number"))
    return None


order = Action(
    "order",
    Text("주문하기", "Order"),
    f"{API}/orders",
    (
        FormField("quantity", QUANTITY, "whole", default="1"),
        FormField("expected_price", Text("본 가격", "The price you saw"), "won", required=False, from_item="price"),
    ),
    when=status_in("AVAILABLE"),
    id_as="menu_item_id",
    tone="main",
    opens_new_item=True,
)
change = Action(
    "change",
    Text("수정", "Change"),
    f"{API}/menu/{{id}}",
    (FormField("name", NAME, from_item="name"), FormField("price", PRICE, "won", from_item="price")),
    method="PATCH",
    roles=STAFF,
)
sold_out = Action(
    "sold-out",
    Text("품절로 표시", "Mark as sold out"),
    f"{API}/menu/{{id}}",
    method="PATCH",
    roles=STAFF,
    when=status_in("AVAILABLE"),
    body={"status": "SOLD_OUT"},
    tone="danger",
)
available = Action(
    "available",
    Text("판매 재개", "Sell again"),
    f"{API}/menu/{{id}}",
    method="PATCH",
    roles=STAFF,
    when=status_in("SOLD_OUT"),
    body={"status": "AVAILABLE"},
)
accept = Action(
    "accept",
    Text("접수", "Accept"),
    f"{API}/orders/{{id}}/acceptance",
    roles=STAFF,
    when=status_in("ORDERED"),
    tone="main",
)
ready = Action(
    "ready",
    Text("준비완료", "Ready"),
    f"{API}/orders/{{id}}/ready",
    roles=STAFF,
    when=status_in("ACCEPTED"),
    tone="main",
)
hand_out = Action(
    "collect",
    Text("전달하기", "Hand out"),
    f"{API}/orders/{{id}}/collection",
    roles=STAFF,
    when=status_in("READY"),
    tone="main",
)
reject = Action(
    "reject",
    Text("거절", "Reject"),
    f"{API}/orders/{{id}}/rejection",
    (FormField("reason", REASON),),
    roles=STAFF,
    when=status_in("ORDERED", "ACCEPTED"),
    tone="danger",
)
cancel = Action(
    "cancel",
    Text("주문 취소", "Cancel"),
    f"{API}/orders/{{id}}/cancellation",
    when=status_in("ORDERED"),
    tone="danger",
    note=Text("카페가 접수하기 전까지 취소할 수 있습니다.", "You may cancel until the café accepts it."),
)


LATEST = {
    "ACCEPTED": "OrderAccepted",
    "READY": "OrderMarkedReady",
    "COLLECTED": "OrderCollected",
    "REJECTED": "OrderRejected",
    "CANCELLED": "OrderCancelled",
}


def _timeline(order: Item) -> list[Item]:
    """Return the events that can be derived from an order: its placement, and its last change of status."""
    lines = [{"at": order["created_at"], "what": "OrderPlaced", "reason": None}]
    if what := LATEST.get(order["status"]):
        lines.append({"at": order["modified_at"], "what": what, "reason": order["reason"]})
    return lines


def _title(order: Item) -> str:
    return f"{order['name']} × {order['quantity']}"


def _worklist(slug: str, name: Text, status: str) -> Listing:
    return Listing(
        slug,
        name,
        f"{API}/orders?status={status}&limit=50",
        "order_id",
        _title,
        item=f"{API}/orders/{{id}}",
        state=lambda order: STATES.get(order["status"]),
        facts=_order_facts,
        timeline=_timeline,
        actions=(accept, ready, hand_out, reject),
        empty=Text("없습니다.", "None."),
        roles=STAFF,
        is_work=True,
    )


def _samples(_: datetime) -> Registrations:
    return (
        (f"{API}/menu", {"name": "아메리카노 Americano", "price": 4_000}),
        (f"{API}/menu", {"name": "카페라테 Latte", "price": 4_800}),
        (f"{API}/menu", {"name": "유자차 Yuja tea", "price": 5_200}),
    )


EVENTS = {
    "OrderPlaced": Text("주문했습니다", "Ordered"),
    "OrderCancelled": Text("주문을 취소했습니다", "Order cancelled"),
    "MenuItemRegistered": Text("메뉴를 등록했습니다", "Item registered"),
    "MenuItemChanged": Text("메뉴를 바꾸었습니다", "Item changed"),
    "OrderAccepted": Text("주문을 접수했습니다", "Accepted"),
    "OrderRejected": Text("주문을 거절했습니다", "Rejected"),
    "OrderMarkedReady": Text("음료가 준비되었습니다", "Ready"),
    "OrderCollected": Text("음료를 받아 갔습니다", "Collected"),
}


business = Business(
    "cafe",
    "cafe",
    Text("카페", "Café"),
    Text("미리 주문하고 픽업 번호로 받습니다.", "Order ahead, collect by number."),
    catalogue=Listing(
        "menu",
        Text("메뉴", "Menu"),
        f"{API}/menu?limit=100",
        "menu_item_id",
        lambda item: str(item["name"]),
        item=f"{API}/menu/{{id}}",
        state=lambda item: ITEM_STATES.get(item["status"]),
        facts=_item_facts,
        actions=(order, change, sold_out, available),
        hint="catalogue",
    ),
    records=Listing(
        "orders",
        Text("카페 주문", "Café orders"),
        f"{API}/orders?limit=50",
        "order_id",
        _title,
        item=f"{API}/orders/{{id}}",
        state=lambda order: STATES.get(order["status"]),
        facts=_order_facts,
        timeline=_timeline,
        next=_next,
        actions=(accept, ready, hand_out, cancel, reject),
    ),
    general_actions=(
        Action(
            "item",
            Text("메뉴 등록", "Register an item"),
            f"{API}/menu",
            (FormField("name", NAME), FormField("price", PRICE, "won")),
            roles=STAFF,
        ),
    ),
    more_listings=(
        _worklist("ordered", Text("접수할 주문", "Orders to accept"), "ORDERED"),
        _worklist("accepted", Text("준비 중인 주문", "Orders being made"), "ACCEPTED"),
        _worklist("ready", Text("전달할 주문", "Orders to hand out"), "READY"),
        Listing(
            "report",
            Text("카페 보고서", "Café report"),
            f"{API}/report?limit=100",
            "menu_item_id",
            lambda item: str(item["name"]),
            item=f"{API}/report/{{id}}",
            state=lambda item: ITEM_STATES.get(item["status"]),
            facts=_report_facts,
            actions=(sold_out, available),
            roles=STAFF,
        ),
    ),
    events=EVENTS,
    offers=("cafe.menu",),
    samples=_samples,
)
