"""Values as the console displays them: texts in both languages, won with separators, times of Seoul."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from contracts.base import REFUSALS
from gateway_api.language import Language

SEOUL = ZoneInfo("Asia/Seoul")
Tone = Literal["good", "wait", "bad", "neutral"]


class Text(NamedTuple):
    ko: str
    en: str

    def of(self, language: Language) -> str:
        return self.en if language == "en" else self.ko


class State(NamedTuple):
    """The label of a status, and its tone."""

    ko: str
    en: str
    tone: Tone

    @property
    def text(self) -> Text:
        return Text(self.ko, self.en)


@dataclass(frozen=True, slots=True)
class Money:
    won: int


@dataclass(frozen=True, slots=True)
class Timestamp:
    at: str


@dataclass(frozen=True, slots=True)
class CodeText:
    """A text to be copied exactly: an account number, a reference."""

    text: str


@dataclass(frozen=True, slots=True)
class Count:
    """A number with its unit; None is not known now."""

    number: int | None
    ko: str = ""
    en: str = ""


class NextStep(NamedTuple):
    """The next step and its deadline; `waiting` when the business takes it, not the member."""

    text: Text
    until: str | None = None
    waiting: bool = False


Fact = tuple[Text, Any]
"""A label, and a value: a text, a number, a Money, a Timestamp, a State, a CodeText, a date or a Count."""

NOT_KNOWN = Text("지금은 알 수 없음", "not known now")


def won(amount: int, language: Language) -> str:
    """Return an amount as `12,000원` or `₩12,000`, a negative one as `-4,500원` or `-₩4,500`."""
    sign = "-" if amount < 0 else ""
    return f"{sign}₩{abs(amount):,}" if language == "en" else f"{amount:,}원"


def clock(instant: str | datetime, language: Language, *, seconds: bool = False) -> str:
    """Return a time of Seoul as `11월 21일 (토) 14:05` or `Sat 21 Nov 14:05`, with the year if it is not this one."""
    at = (datetime.fromisoformat(instant) if isinstance(instant, str) else instant).astimezone(SEOUL)
    other_year = at.year != datetime.now(SEOUL).year
    time = f"{at:%H:%M:%S}" if seconds else f"{at:%H:%M}"
    if language == "en":
        return (
            f"{WEEKDAYS[at.weekday()].en} {at.day} {MONTHS[at.month - 1]}{f' {at.year}' if other_year else ''} {time}"
        )
    year = f"{at.year}년 " if other_year else ""
    return f"{year}{at.month}월 {at.day}일 ({WEEKDAYS[at.weekday()].ko}) {time}"


def day(at: date, language: Language) -> str:
    """Return a day as `11월 21일 (토)` or `Sat 21 Nov`, with the year if it is not this one."""
    return clock(datetime(at.year, at.month, at.day, tzinfo=SEOUL), language).rpartition(" ")[0]


def count(value: Count, language: Language) -> str:
    """Return a number with its unit; English units lose their plural `s` after 1."""
    if value.number is None:
        return NOT_KNOWN.of(language)
    unit = value.ko if language == "ko" else f" {value.en}" if value.en else ""
    if language == "en" and value.number == 1:
        unit = unit.removesuffix("s")
    return f"{value.number:,}{unit}"


WEEKDAYS = (
    Text("월", "Mon"),
    Text("화", "Tue"),
    Text("수", "Wed"),
    Text("목", "Thu"),
    Text("금", "Fri"),
    Text("토", "Sat"),
    Text("일", "Sun"),
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

REASONS = {
    "insufficient_funds": Text("잔액 부족", "insufficient funds"),
    "not_picked_up": Text("기한 안에 찾아가지 않음", "not picked up in time"),
    "cancelled_by_member": Text("회원이 취소", "cancelled by the member"),
    "cancelled_by_staff": Text("직원이 취소", "cancelled by staff"),
    "cancelled": Text("취소됨", "cancelled"),
    "deadline": Text("기한이 지남", "the deadline passed"),
}
"""Texts of the reason codes that are no refusals."""


def reason_text(reason: str) -> Text | str:
    """Return the text of a reason: of its code, or of the refusal with this code; what a person wrote as it is."""
    if text := REASONS.get(reason):
        return text
    refusal = REFUSALS.get(reason)
    return Text(refusal.ko.title, refusal.en.title) if refusal else reason


PAYMENTS = {
    "REQUESTED": State("결제 확인 중", "checking", "wait"),
    "APPROVED": State("결제 완료", "paid", "good"),
    "DECLINED": State("결제 거절", "declined", "bad"),
    "VOIDING": State("결제 취소 중", "being undone", "wait"),
    "VOIDED": State("결제 취소됨", "undone", "neutral"),
    "PARTIALLY_REFUNDED": State("일부 환불", "partly refunded", "neutral"),
    "REFUNDED": State("환불 완료", "refunded", "neutral"),
}
REFUNDS = {
    "PENDING": State("환불 진행 중", "refund under way", "wait"),
    "REFUNDED": State("환불 완료", "refunded", "neutral"),
    "REFUND_FAILED": State("환불 다시 시도 중", "refund failed, trying again", "wait"),
    "REFUSED": State("환불할 수 없음", "cannot be refunded", "bad"),
}

PAYMENT, REFUND = Text("결제", "Payment"), Text("환불", "Refund")
MEMBER, PRICE, STATUS = Text("회원", "Member"), Text("가격", "Price"), Text("상태", "State")
REASON, CREATED = Text("사유", "Reason"), Text("신청", "Requested")


def unknown_state(status: str) -> State:
    """Return a label for a status without a text."""
    return State(status, status, "neutral")


def payment_facts(item: dict[str, Any]) -> list[Fact]:
    """Return the statuses of an item's payment and refund."""
    facts: list[Fact] = []
    if payment := item.get("payment"):
        facts += [(PAYMENT, PAYMENTS.get(payment["status"], unknown_state(payment["status"])))]
    if refund := item.get("refund"):
        facts += [(REFUND, REFUNDS.get(refund["status"], unknown_state(refund["status"])))]
        facts += [(Text("환불 금액", "Refund amount"), Money(refund["amount"]))]
    return facts


def reason_facts(item: dict[str, Any]) -> list[Fact]:
    """Return the reason of an item's status; empty without one."""
    reason = item.get("reason")
    return [(REASON, reason_text(reason))] if reason else []
