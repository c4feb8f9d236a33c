"""Ticketing: tickets with their prices line by line, reservations, discount policies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from contracts.ticketing.refusals import TicketUnavailable
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
    Fact,
    Money,
    NextStep,
    State,
    Text,
    Timestamp,
    reason_facts,
)
from gateway_api.gateway import ANY, STAFF

API = "/v1/ticketing"

TICKET_STATES = {
    "AVAILABLE": State("예약가능", "Available", "good"),
    "RESERVED": State("예약됨", "Reserved", "wait"),
    "EXPIRED": State("만료됨", "Expired", "neutral"),
}
POLICY_STATES = {
    "ACTIVE": State("적용 중", "Active", "good"),
    "ENDED": State("종료", "Ended", "neutral"),
}
STATES = {
    "PENDING": State("예약중", "Being reserved", "wait"),
    "RESERVED": State("예약됨", "Reserved", "good"),
    "CANCELLING": State("취소중", "Being cancelled", "wait"),
    "CANCELLED": State("취소됨", "Cancelled", "neutral"),
    "REJECTED": State("예약 실패", "Not reserved", "bad"),
}
NAME, BASE = Text("이름", "Name"), Text("기본 가격", "Base price")
STARTS, ENDS = Text("시작", "Starts"), Text("끝", "Ends")
TOTAL = Text("최종 가격", "Total")
EVERYBODY = Text("모두", "everybody")


def _price(price: Item | None) -> list[Fact]:
    if price is None:
        return [(TOTAL, Text("가격을 정하고 있습니다", "being priced"))]
    lines: list[Fact] = [(Text(line["name"], line["name"]), Money(-line["amount"])) for line in price["lines"]]
    if lines:
        lines.insert(0, (BASE, Money(price["base"])))
    return [*lines, (TOTAL, Money(price["total"]))]


def _ticket_facts(ticket: Item) -> list[Fact]:
    facts: list[Fact] = [(STARTS, Timestamp(ticket["starts_at"])), (ENDS, Timestamp(ticket["ends_at"]))]
    held = ticket.get("reservation") or {}
    return [
        *facts,
        *_price(ticket.get("price")),
        *([(MEMBER, held["member_id"])] if held.get("member_id") else []),
    ]


def _reservation_facts(reservation: Item) -> list[Fact]:
    ticket = reservation.get("ticket") or {}
    facts: list[Fact] = [(MEMBER, reservation["member_id"]), (CREATED, Timestamp(reservation["created_at"]))]
    if ticket:
        facts += [(STARTS, Timestamp(ticket["starts_at"])), (ENDS, Timestamp(ticket["ends_at"]))]
    return [*facts, *_price(reservation["price"]), *reason_facts(reservation)]


def _next(reservation: Item) -> NextStep | None:
    match reservation["status"]:
        case "PENDING":
            return NextStep(Text("티켓을 아직 확인하고 있습니다", "We are still checking the ticket"), waiting=True)
        case "CANCELLING":
            return NextStep(Text("취소하고 있습니다", "The cancellation is under way"), waiting=True)
        case "RESERVED" if reservation.get("ticket") and reservation["ticket"]["status"] != "EXPIRED":
            return NextStep(Text("시작 시각에 오세요", "Come when it starts"), reservation["ticket"]["starts_at"])
    return None


def _policy_facts(policy: Item) -> list[Fact]:
    percent = policy["kind"] == "percent"
    facts: list[Fact] = [(Text("할인", "Discount"), f"{policy['value']} %" if percent else Money(policy["value"]))]
    facts += [(Text("대상", "For"), "VIP" if policy["grade"] else EVERYBODY)]
    if policy["valid_from"]:
        facts += [(Text("부터", "From"), Timestamp(policy["valid_from"]))]
    if policy["valid_until"]:
        facts += [(Text("까지", "Until"), Timestamp(policy["valid_until"]))]
    return facts


TIMES = (
    FormField("starts_at", STARTS, "moment", from_item="starts_at"),
    FormField("ends_at", ENDS, "moment", from_item="ends_at"),
)

reserve = Action(
    "reserve",
    Text("예약하기", "Reserve"),
    f"{API}/reservations",
    shown=(Shown("expected_price", lambda ticket: (ticket.get("price") or {}).get("total")),),
    when=lambda ticket: ticket["status"] == "AVAILABLE" and ticket.get("price") is not None,
    id_as="ticket_id",
    tone="main",
    opens_new_item=True,
)
change = Action(
    "change",
    Text("수정", "Change"),
    f"{API}/tickets/{{id}}",
    (FormField("name", NAME, from_item="name"), *TIMES),
    method="PATCH",
    roles=STAFF,
    when=status_in("AVAILABLE"),
)
cancel = Action(
    "cancel",
    Text("예약 취소", "Cancel"),
    f"{API}/reservations/{{id}}/cancellation",
    (REASON_FIELD,),
    roles=ANY,
    when=status_in("RESERVED"),
    tone="danger",
    note=Text("티켓은 다른 사람이 예약할 수 있게 됩니다.", "Somebody else may reserve the ticket then."),
)
end_policy = Action(
    "end",
    Text("할인 종료", "End it"),
    f"{API}/discount-policies/{{id}}",
    method="DELETE",
    roles=STAFF,
    tone="danger",
    note=Text("예약되지 않은 티켓의 가격이 다시 정해집니다.", "Tickets that are not reserved are priced anew."),
)


def _samples(now: datetime) -> Registrations:
    """Return discount policies, and tickets of two concerts 7 and 14 days from `now`."""
    noon = now.astimezone(UTC).replace(hour=10, minute=0, second=0, microsecond=0)
    shows = (("가야금 독주회 Gayageum recital", 30_000, 7), ("판소리 한마당 Pansori", 45_000, 14))
    tickets = (
        (
            f"{API}/tickets",
            {
                "name": f"{name} {seat}",
                "starts_at": (noon + timedelta(days=days)).isoformat(),
                "ends_at": (noon + timedelta(days=days, hours=2)).isoformat(),
                "base_price": price,
            },
        )
        for name, price, days in shows
        for seat in ("A1", "A2", "B1")
    )
    return (
        (f"{API}/discount-policies", {"name": "조기 예매 Early bird", "kind": "percent", "value": 10}),
        (f"{API}/discount-policies", {"name": "VIP", "kind": "amount", "value": 5_000, "grade": "VIP"}),
        *tickets,
    )


EVENTS = {
    "TicketRegistered": Text("티켓을 등록했습니다", "Ticket registered"),
    "TicketChanged": Text("티켓 정보를 바꾸었습니다", "Ticket changed"),
    "TicketTaken": Text("티켓을 잡았습니다", "Ticket held"),
    "TicketFreed": Text("티켓이 풀렸습니다", "Ticket free again"),
    "HoldReleased": Text("잡아 둔 티켓을 놓았습니다", "Hold released"),
    "TicketExpired": Text("티켓이 만료되었습니다", "Ticket expired"),
    "PolicyEnded": Text("할인 정책을 끝냈습니다", "Discount policy ended"),
    "PriceAssigned": Text("가격을 정했습니다", "Price set"),
    "PriceFrozen": Text("예약 가격을 고정했습니다", "Price kept for the reservation"),
    "PriceRestored": Text("가격을 되돌렸습니다", "Price restored"),
    "ReservationStarted": Text("예약을 시작했습니다", "Reservation begun"),
    "TicketReserved": Text("예약했습니다", "Reserved"),
    "ReservationRejected": Text("예약하지 못했습니다", "Reservation rejected"),
    "ReservationCancelling": Text("예약을 취소하고 있습니다", "Reservation being cancelled"),
    "ReservationCancelled": Text("예약을 취소했습니다", "Reservation cancelled"),
}

NOTICES = {
    TicketUnavailable.code: (
        Text("티켓을 확인하지 못해 예약하지 않았습니다", "The ticket could not be checked, so nothing was reserved"),
        Text("잠시 후 다시 시도해 주세요.", "Please try again shortly."),
    ),
}

business = Business(
    "ticketing",
    "ticketing",
    Text("티켓 예약", "Ticketing"),
    Text("할인된 가격으로 티켓을 예약합니다.", "Reserve tickets at a price that explains itself."),
    catalogue=Listing(
        "tickets",
        Text("티켓", "Tickets"),
        f"{API}/board?limit=100",
        "ticket_id",
        lambda ticket: str(ticket["name"]),
        item=f"{API}/board/{{id}}",
        state=lambda ticket: TICKET_STATES.get(ticket["status"]),
        facts=_ticket_facts,
        actions=(reserve, change),
        hint="catalogue",
    ),
    records=Listing(
        "reservations",
        Text("티켓 예약", "Ticket reservations"),
        f"{API}/board/reservations?limit=50",
        "reservation_id",
        lambda reservation: (reservation.get("ticket") or {}).get("name") or Text("티켓", "Ticket"),
        item=f"{API}/board/reservations/{{id}}",
        state=lambda reservation: STATES.get(reservation["status"]),
        facts=_reservation_facts,
        next=_next,
        actions=(cancel,),
        takes_min_version=True,
    ),
    general_actions=(
        Action(
            "ticket",
            Text("티켓 등록", "Register a ticket"),
            f"{API}/tickets",
            (FormField("name", NAME), *TIMES, FormField("base_price", BASE, "won")),
            roles=STAFF,
        ),
        Action(
            "policy",
            Text("할인 정책 등록", "Make a discount policy"),
            f"{API}/discount-policies",
            (
                FormField("name", NAME),
                FormField(
                    "kind",
                    Text("방식", "Kind"),
                    "choice",
                    choices=(("percent", Text("비율 (%)", "percent")), ("amount", Text("금액 (원)", "won"))),
                ),
                FormField("value", Text("값", "Value"), "whole"),
                FormField(
                    "grade",
                    Text("대상", "For"),
                    "choice",
                    required=False,
                    choices=(("", EVERYBODY), ("VIP", Text("VIP만", "VIPs only"))),
                ),
                FormField("valid_from", Text("부터", "From"), "moment", required=False),
                FormField("valid_until", Text("까지", "Until"), "moment", required=False),
            ),
            roles=STAFF,
        ),
    ),
    more_listings=(
        Listing(
            "policies",
            Text("할인 정책", "Discount policies"),
            f"{API}/discount-policies?limit=100",
            "policy_id",
            lambda policy: str(policy["name"]),
            item=f"{API}/discount-policies/{{id}}",
            state=lambda policy: POLICY_STATES.get(policy["status"]),
            facts=_policy_facts,
            actions=(end_policy,),
            empty=Text("할인 정책이 없습니다.", "There are no discount policies."),
            roles=STAFF,
        ),
    ),
    events=EVENTS,
    notices=NOTICES,
    offers=("ticketing.",),
    samples=_samples,
)
