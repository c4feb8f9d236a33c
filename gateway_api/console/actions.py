"""What a person can do: the form for it, and the request of the API that it becomes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from contracts.base import Role
from gateway_api.console.words import REASON, SEOUL, Fact, Next, State, Text
from gateway_api.gateway import ANY, CUSTOMER

Item = dict[str, Any]
Kind = Literal["text", "long", "whole", "won", "choice", "moment", "payment", "signed"]

TEST_PAYMENTS: tuple[tuple[str, Text], ...] = (
    ("tok_visa", Text("승인되는 카드", "a card that is approved")),
    ("tok_declined", Text("거절되는 카드 (잔액 부족)", "a card that is declined (insufficient funds)")),
    ("tok_slow", Text("응답이 없는 카드", "a card whose payment stays silent")),
    ("tok_error", Text("결제사 장애", "an outage of the payment provider")),
    ("tok_refund_error", Text("승인되지만 환불이 두 번 실패하는 카드", "approved, but two refunds fail at first")),
)
"""What the payment simulator of a local run understands."""


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to fill in, under its name in the API's body."""

    name: str
    label: Text
    kind: Kind = "text"
    required: bool = True
    default: str = ""
    choices: tuple[tuple[str, Text], ...] = ()
    from_item: str = ""
    """The item's field that this one is filled with at first."""
    reckoned: Callable[[Item], int] | None = None
    """What it is filled with at first, where that is no field."""

    def first(self, item: Item) -> str:
        value = item.get(self.from_item) if self.from_item else None
        if self.reckoned and item:
            value = self.reckoned(item)
        if value is None:
            return self.default
        return as_local(value) if self.kind == "moment" else str(value)


WHY = Field("reason", REASON, required=False)
"""Asked for before something is given up, which is thereby not done by one slip of a finger."""


def always(_: Item) -> bool:
    return True


def status_in(*statuses: str) -> Callable[[Item], bool]:
    return lambda item: item.get("status") in statuses


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done, about an item or about none."""

    slug: str
    label: Text
    path: str
    """Of the API's route; `{id}` is the item's."""
    fields: tuple[Field, ...] = ()
    method: str = "POST"
    roles: frozenset[Role] = CUSTOMER
    when: Callable[[Item], bool] = always
    body: Mapping[str, Any] = field(default_factory=dict)
    """What is sent beside the fields."""
    id_as: str = ""
    """The field of the body that takes the item's id."""
    tone: Literal["main", "plain", "danger"] = "plain"
    opens: bool = False
    """Afterwards the new thing's own page is shown."""
    key: str = ""
    """The item's field whose value is `{id}`, where it is not the list's own."""
    note: Text | None = None
    """What will come of it, said before it is done."""

    def is_for(self, role: Role | None, item: Item) -> bool:
        return role in self.roles and self.when(item)

    def request(self, given: Mapping[str, str], id: str) -> tuple[str, dict[str, Any]]:
        """Path and body of the API's request; what is not a number stays as it is, for the API to refuse."""
        body = {**self.body, **{name: value for one in self.fields for name, value in _sent(one, given)}}
        if self.id_as:
            body[self.id_as] = id
        return self.path.replace("{id}", id), body


def _sent(field: Field, given: Mapping[str, str]) -> list[tuple[str, Any]]:
    if field.kind == "payment":
        return [("payment", _payment(given))]
    text = given.get(field.name, "").strip()
    if not text:
        return [(field.name, "")] if field.required and field.kind in ("text", "long") else []
    if field.kind in ("whole", "won", "signed"):
        digits = text.replace(",", "")
        return [(field.name, int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else text)]
    return [(field.name, as_utc(text) if field.kind == "moment" else text)]


def _payment(given: Mapping[str, str]) -> dict[str, str]:
    return {
        "method": "card",
        "token": given.get("token", ""),
        "last4": given.get("last4") or "4242",
        "brand": given.get("brand") or "visa",
    }


def as_utc(text: str) -> str:
    """What a person wrote by the clock of Seoul, as the API takes it; what is no moment stays as it is."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=SEOUL).astimezone(UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return text


def as_local(instant: str) -> str:
    return f"{datetime.fromisoformat(instant).astimezone(SEOUL):%Y-%m-%dT%H:%M}"


def idempotency_key(nonce: str, given: Mapping[str, str]) -> str:
    """The same form sent twice has the same key; one that was changed meanwhile has another."""
    told = "".join(f"{len(name)}:{name}={len(value)}:{value}" for name, value in sorted(given.items()))
    return hashlib.sha256(f"{nonce};{told}".encode()).hexdigest()


def no_facts(_: Item) -> list[Fact]:
    return []


def no_next(_: Item) -> Next | None:
    return None


def no_state(_: Item) -> State | None:
    return None


NOTHING_YET = Text("아직 아무것도 없습니다.", "Nothing here yet.")


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of the API as people see it, and one item of it."""

    slug: str
    name: Text
    path: str
    key: str
    """The item's field that is its id."""
    title: Callable[[Item], str | Text]
    item: str = ""
    """The route of a single one; empty where there is none."""
    staff_path: str = ""
    """The list's route for staff, where it is another one."""
    state: Callable[[Item], State | None] = no_state
    facts: Callable[[Item], list[Fact]] = no_facts
    next: Callable[[Item], Next | None] = no_next
    actions: tuple[Action, ...] = ()
    timeline: Callable[[Item], list[Item]] = lambda item: item.get("timeline", [])
    joins: tuple[tuple[str, str], ...] = ()
    """What is fetched beside each item: a name for it, and a route in which `{name}` is a field of the item."""
    roles: frozenset[Role] = ANY
    work: bool = False
    """What lies here waits for staff."""
    waits: bool = False
    """Its item's route takes `min_version`."""
    empty: Text = NOTHING_YET
    hears: str = "things"
    """The live hints that concern it: `shelf` or `things` of its business."""

    def id_of(self, item: Item) -> str:
        return str(item[self.key])

    def action(self, slug: str) -> Action | None:
        return next((action for action in self.actions if action.slug == slug), None)


@dataclass(frozen=True, slots=True)
class Business:
    """One of the six, and payments beside them."""

    slug: str
    family: str
    name: Text
    about: Text
    shelf: Listing | None
    things: Listing
    registers: tuple[Action, ...] = ()
    worklists: tuple[Listing, ...] = ()
    account: Listing | None = None
    """What a member has here beside things: the deposit."""

    @property
    def listings(self) -> tuple[Listing, ...]:
        return tuple(one for one in (self.shelf, self.things, *self.worklists, self.account) if one)

    def listing(self, slug: str) -> Listing | None:
        return next((one for one in self.listings if one.slug == slug), None)
