"""Bike sharing: top up, take a bike, return it anywhere."""

from __future__ import annotations

from datetime import datetime

from contracts.bike_sharing.refusals import BikeUnavailable, DebtOwed, DepositTooLow, RideOpen
from gateway_api.console.actions import Action, Business, FormField, Item, Listing, Registrations, status_in
from gateway_api.console.words import (
    CREATED,
    MEMBER,
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
from gateway_api.gateway import CUSTOMER, STAFF

API = "/v1/bike-sharing"

BIKE_STATES = {
    "AVAILABLE": State("사용가능", "Available", "good"),
    "IN_USE": State("사용중", "In use", "wait"),
    "BROKEN": State("불량", "Broken", "bad"),
}
TOP_UP_STATES = {
    "AWAITING_PAYMENT": State("결제중", "Being paid", "wait"),
    "COMPLETED": State("충전 완료", "Completed", "good"),
    "REJECTED": State("결제거절", "Payment declined", "bad"),
    "CANCELLED": State("취소", "Cancelled", "neutral"),
}
STATES = {
    "STARTING": State("빌리는 중", "Starting", "wait"),
    "RIDING": State("타는 중", "Riding", "good"),
    "RETURNED": State("반납", "Returned", "neutral"),
    "ENDED_BY_STAFF": State("직원이 끝냄", "Ended by staff", "neutral"),
    "ENDED_AT_CAP": State("최대 시간에 끝남", "Ended at the time limit", "neutral"),
    "NOT_STARTED": State("빌리지 못함", "Not begun", "bad"),
}
BILL_STATES = {
    "OPEN": State("이용 중", "open", "wait"),
    "SETTLING": State("정산 중", "being settled", "wait"),
    "CLOSED": State("정산 완료", "settled", "neutral"),
    "OWED": State("미납", "owed", "bad"),
}
WITHDRAWAL_STATES = {
    "PENDING": State("돌려주는 중", "being paid back", "wait"),
    "COMPLETED": State("돌려줌", "paid back", "neutral"),
}
ENTRY_KINDS = {
    "TOP_UP": Text("충전", "Top-up"),
    "CREDIT": Text("직원 충전", "Credit"),
    "FEE": Text("이용 요금", "Fee"),
    "DEBT": Text("미납금 납부", "Debt paid"),
    "WITHDRAWAL": Text("돌려받음", "Withdrawal"),
}
LOCATION, BALANCE, DEBT = Text("위치", "Location"), Text("잔액", "Balance"), Text("미납금", "Debt")
AMOUNT, REASON = Text("금액", "Amount"), Text("사유", "Reason")
RETURNED_TO = FormField("location", Text("어디에 세웠나요?", "Where did you leave it?"))


def _bike_facts(bike: Item) -> list[Fact]:
    broken = bike["condition"] == "BROKEN" and bike["status"] != "BROKEN"
    noted: list[Fact] = [(Text("알림", "Note"), Text("이용 뒤 불량 처리", "broken after this ride"))] if broken else []
    return [(LOCATION, bike["location"]), *noted]


def _ride_facts(ride: Item) -> list[Fact]:
    facts: list[Fact] = [(MEMBER, ride["member_id"]), (CREATED, Timestamp(ride["created_at"]))]
    if ride["started_at"]:
        facts += [(Text("출발", "Started"), Timestamp(ride["started_at"]))]
    if ride["ended_at"]:
        facts += [(Text("도착", "Ended"), Timestamp(ride["ended_at"]))]
    if ride["location"]:
        facts += [(Text("반납한 곳", "Left at"), ride["location"])]
    if ride["fee"] is not None:
        facts += [(Text("시간", "Time"), Count(ride["minutes"], "분", "min"))]
        facts += [(Text("이용 요금", "Fee"), Money(ride["fee"]))]
    else:
        facts += [(Text("1분 요금", "Fee per minute"), Money(ride["fee_plan"]["per_minute"]))]
    if bill := ride.get("bill"):
        facts += [(Text("정산", "Bill"), BILL_STATES.get(bill["status"], unknown_state(bill["status"])))]
        facts += [(DEBT, Money(bill["owed"]))] if bill["owed"] else []
    if ride.get("balance_after") is not None:
        facts += [(Text("정산 뒤 잔액", "Balance afterwards"), Money(ride["balance_after"]))]
    return [*facts, *reason_facts(ride)]


def _next(ride: Item) -> NextStep | None:
    bill = ride.get("bill") or {}
    match ride["status"]:
        case "STARTING":
            return NextStep(Text("자전거를 아직 확인하고 있습니다", "We are still checking the bike"), waiting=True)
        case "RIDING":
            return NextStep(Text("다 타면 반납하세요", "Return it when you are done"))
    if bill.get("status") in ("OPEN", "SETTLING"):
        return NextStep(Text("요금을 정산하고 있습니다", "The fee is being settled"), waiting=True)
    if bill.get("status") == "OWED":
        return NextStep(Text("충전해서 미납금을 내 주세요", "Top up to pay what is owed"))
    return None


def _top_up_facts(top_up: Item) -> list[Fact]:
    facts: list[Fact] = [(MEMBER, top_up["member_id"]), (AMOUNT, Money(top_up["amount"]))]
    return [*facts, (CREATED, Timestamp(top_up["created_at"])), *payment_facts(top_up), *reason_facts(top_up)]


def _account_facts(account: Item) -> list[Fact]:
    return [(BALANCE, Money(account["balance"])), (DEBT, Money(account["debt"]))]


def _entry_facts(entry: Item) -> list[Fact]:
    facts: list[Fact] = [(AMOUNT, Money(entry["amount"])), (BALANCE, Money(entry["balance_after"]))]
    return [*facts, (Text("시각", "When"), Timestamp(entry["created_at"])), *reason_facts(entry)]


def _withdrawal_facts(withdrawal: Item) -> list[Fact]:
    facts: list[Fact] = [(MEMBER, withdrawal["member_id"]), (AMOUNT, Money(withdrawal["amount"]))]
    facts += [(Text("카드로 환불", "Refunded to cards"), Money(withdrawal["refunded"]))]
    if withdrawal["by_hand"]:
        facts += [(Text("계좌로 송금할 금액", "To be paid by hand"), Money(withdrawal["by_hand"]))]
        facts += [(Text("송금한 금액", "Paid out"), Money(withdrawal["paid_out"]))]
    if withdrawal["reference"]:
        facts += [(Text("송금 번호", "Reference"), withdrawal["reference"])]
    return [*facts, (CREATED, Timestamp(withdrawal["created_at"]))]


ride = Action(
    "ride",
    Text("빌리기", "Ride"),
    f"{API}/rides",
    when=status_in("AVAILABLE"),
    id_as="bike_id",
    tone="main",
    opens_new_item=True,
)
move = Action(
    "move",
    Text("위치 변경", "Move"),
    f"{API}/bikes/{{id}}",
    (FormField("location", LOCATION, from_item="location"),),
    method="PATCH",
    roles=STAFF,
    when=status_in("AVAILABLE", "BROKEN"),
)
broken = Action(
    "broken",
    Text("불량으로 표시", "Mark as broken"),
    f"{API}/bikes/{{id}}",
    method="PATCH",
    roles=STAFF,
    when=lambda bike: bike["condition"] != "BROKEN",
    body={"status": "BROKEN"},
    tone="danger",
)
repaired = Action(
    "repaired",
    Text("수리 완료", "Repaired"),
    f"{API}/bikes/{{id}}",
    method="PATCH",
    roles=STAFF,
    when=status_in("BROKEN"),
    body={"status": "AVAILABLE"},
    tone="main",
)
give_back = Action(
    "return",
    Text("반납하기", "Return"),
    f"{API}/rides/{{id}}/return",
    (RETURNED_TO,),
    when=status_in("RIDING"),
    tone="main",
)
end_ride = Action(
    "end",
    Text("대여 끝내기", "End the ride"),
    f"{API}/rides/{{id}}/end",
    (FormField("reason", REASON), FormField("location", LOCATION, required=False)),
    roles=STAFF,
    when=status_in("RIDING"),
    tone="danger",
)
credit = Action(
    "credit",
    Text("보증금 넣어 주기", "Credit"),
    f"{API}/deposits/{{id}}/credits",
    (FormField("amount", AMOUNT, "won"), FormField("reason", REASON)),
    roles=STAFF,
)

pay_out = Action(
    "payout",
    Text("송금 완료", "Paid by hand"),
    f"{API}/deposits/withdrawals/{{id}}/payout",
    (FormField("reference", Text("송금 번호", "Reference of the transfer")),),
    roles=STAFF,
    when=lambda withdrawal: withdrawal["paid_out"] < withdrawal["by_hand"],
    tone="main",
)


def _samples(_: datetime) -> Registrations:
    return (
        (f"{API}/bikes", {"code": "서울-101", "location": "여의도역 1번 출구"}),
        (f"{API}/bikes", {"code": "서울-102", "location": "여의도역 1번 출구"}),
        (f"{API}/bikes", {"code": "서울-203", "location": "뚝섬 한강공원"}),
    )


EVENTS = {
    "BikeRegistered": Text("자전거를 등록했습니다", "Bike registered"),
    "BikeChanged": Text("자전거 정보를 바꾸었습니다", "Bike changed"),
    "BikeTaken": Text("자전거를 빌려 갔습니다", "Bike taken"),
    "BikeReleased": Text("자전거가 돌아왔습니다", "Bike back"),
    "HoldReleased": Text("잡아 둔 자전거를 놓았습니다", "Hold released"),
    "WithdrawalStarted": Text("보증금 반환을 신청했습니다", "Withdrawal requested"),
    "WithdrawalProgressed": Text("보증금 일부를 처리했습니다", "Part of the withdrawal is done"),
    "WithdrawalCompleted": Text("보증금을 돌려주었습니다", "Withdrawal completed"),
    "FeeTaken": Text("보증금에서 요금을 받았습니다", "Fee taken from the deposit"),
    "DebtPaid": Text("미납금을 냈습니다", "Debt paid"),
    "AccountChanged": Text("보증금이 바뀌었습니다", "Deposit changed"),
    "RideRequested": Text("자전거를 신청했습니다", "Bike asked for"),
    "RideStarted": Text("대여를 시작했습니다", "Ride begun"),
    "RideNotStarted": Text("대여하지 못했습니다", "Ride not begun"),
    "RideReturned": Text("자전거를 반납했습니다", "Bike returned"),
    "RideEndedByStaff": Text("직원이 대여를 끝냈습니다", "Ride ended by staff"),
    "RideEndedAtCap": Text("최대 시간이 지나 대여가 끝났습니다", "Ride ended at the time limit"),
    "BillOpened": Text("이용 요금을 재기 시작했습니다", "Bill opened"),
    "BillSettling": Text("요금을 정산하고 있습니다", "Bill being settled"),
    "BillOwed": Text("보증금이 모자라 미납금이 생겼습니다", "Deposit was short, the rest is owed"),
    "BillClosed": Text("요금 정산을 마쳤습니다", "Bill closed"),
}

NOTICES = {
    BikeUnavailable.code: (
        Text("자전거를 확인하지 못해 빌리지 않았습니다", "The bike could not be checked, so no ride began"),
        Text("잠시 후 다시 시도해 주세요.", "Please try again shortly."),
    ),
}
LINKS = {
    DepositTooLow.code: ("/bike-sharing/new/top-up", Text("보증금 충전", "Top up")),
    DebtOwed.code: ("/bike-sharing/new/top-up", Text("충전해서 미납금 내기", "Top up to pay it")),
    RideOpen.code: ("/mine", Text("타고 있는 자전거 보기", "See the open ride")),
}

business = Business(
    "bike-sharing",
    "bike_sharing",
    Text("자전거 대여", "Bike sharing"),
    Text("보증금을 충전하고, 타고, 아무 데나 반납합니다.", "Top up, ride, and leave the bike anywhere."),
    catalogue=Listing(
        "bikes",
        Text("자전거", "Bikes"),
        f"{API}/bikes?limit=100",
        "bike_id",
        lambda bike: str(bike["code"]),
        item=f"{API}/bikes/{{id}}",
        state=lambda bike: BIKE_STATES.get(bike["status"]),
        facts=_bike_facts,
        actions=(ride, repaired, move, broken),
        hint="catalogue",
    ),
    records=Listing(
        "rides",
        Text("자전거 이용", "Rides"),
        f"{API}/ride-history?limit=50",
        "ride_id",
        lambda ride: (ride.get("bike") or {}).get("code") or Text("자전거", "Bike"),
        item=f"{API}/ride-history/{{id}}",
        state=lambda ride: STATES.get(ride["status"]),
        facts=_ride_facts,
        next=_next,
        actions=(give_back, end_ride),
        takes_min_version=True,
    ),
    general_actions=(
        Action(
            "bike",
            Text("자전거 등록", "Register a bike"),
            f"{API}/bikes",
            (FormField("code", Text("번호", "Code")), FormField("location", LOCATION)),
            roles=STAFF,
        ),
        Action(
            "top-up",
            Text("보증금 충전", "Top up"),
            f"{API}/deposits/top-ups",
            (
                FormField("amount", AMOUNT, "won", default="10000"),
                FormField("payment", Text("결제", "Payment"), "payment"),
            ),
            tone="main",
        ),
        Action(
            "withdraw",
            Text("보증금 돌려받기", "Withdraw"),
            f"{API}/deposits/withdrawals",
            (FormField("amount", AMOUNT, "won"),),
        ),
    ),
    account=Listing(
        "deposit",
        Text("내 보증금", "My deposit"),
        f"{API}/deposits/me",
        "member_id",
        lambda _: Text("내 보증금", "My deposit"),
        facts=_account_facts,
        roles=CUSTOMER,
    ),
    more_listings=(
        Listing(
            "broken",
            Text("고장난 자전거", "Broken bikes"),
            f"{API}/bikes?status=BROKEN&limit=100",
            "bike_id",
            lambda bike: str(bike["code"]),
            item=f"{API}/bikes/{{id}}",
            state=lambda bike: BIKE_STATES.get(bike["status"]),
            facts=_bike_facts,
            actions=(repaired, move),
            empty=Text("고장난 자전거가 없습니다.", "No bike is broken."),
            hint="catalogue",
            roles=STAFF,
            is_work=True,
        ),
        Listing(
            "top-ups",
            Text("충전 내역", "Top-ups"),
            f"{API}/deposits/top-ups?limit=50",
            "top_up_id",
            lambda _: Text("보증금 충전", "Top-up"),
            item=f"{API}/deposits/top-ups/{{id}}",
            state=lambda top_up: TOP_UP_STATES.get(top_up["status"]),
            facts=_top_up_facts,
        ),
        Listing(
            "deposits",
            Text("회원 보증금", "Members' deposits"),
            f"{API}/deposits?limit=50",
            "member_id",
            lambda account: str(account["member_id"]),
            item=f"{API}/deposits/{{id}}",
            facts=_account_facts,
            actions=(credit,),
            roles=STAFF,
        ),
        Listing(
            "withdrawals",
            Text("보증금 반환", "Withdrawals"),
            f"{API}/deposits/withdrawals?status=PENDING&limit=50",
            "withdrawal_id",
            lambda withdrawal: str(withdrawal["member_id"]),
            item=f"{API}/deposits/withdrawals/{{id}}",
            state=lambda withdrawal: WITHDRAWAL_STATES.get(withdrawal["status"]),
            facts=_withdrawal_facts,
            actions=(pay_out,),
            empty=Text("돌려줄 보증금이 없습니다.", "No deposit is being paid back."),
            roles=STAFF,
            is_work=True,
        ),
        Listing(
            "ledger",
            Text("보증금 내역", "Ledger"),
            f"{API}/deposits/me/entries?limit=20",
            "entry_id",
            lambda entry: ENTRY_KINDS.get(entry["kind"], Text(entry["kind"], entry["kind"])),
            facts=_entry_facts,
            roles=CUSTOMER,
        ),
    ),
    events=EVENTS,
    notices=NOTICES,
    links=LINKS,
    offers=("bike_sharing.bikes",),
    samples=_samples,
    has_unique_samples=True,
    purposes={"bike_sharing.deposits": Text("자전거 보증금", "Bike deposit")},
)
