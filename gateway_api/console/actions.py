"""The description of a business for the console: its lists, its actions with their forms and API requests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from contracts.base import Role
from gateway_api.console.words import REASON, SEOUL, Fact, NextStep, State, Text
from gateway_api.gateway import ANY, CUSTOMER

Item = dict[str, Any]
FieldKind = Literal["text", "long", "whole", "won", "choice", "moment", "payment", "signed"]

TEST_PAYMENTS: tuple[tuple[str, Text], ...] = (
    ("tok_visa", Text("승인되는 카드", "a card that is approved")),
    ("tok_declined", Text("거절되는 카드 (잔액 부족)", "a card that is declined (insufficient funds)")),
    ("tok_slow", Text("응답이 없는 카드", "a card whose payment gets no answer")),
    ("tok_error", Text("결제사 장애", "an outage of the payment provider")),
    ("tok_refund_error", Text("승인되지만 환불이 두 번 실패하는 카드", "approved, but two refunds fail at first")),
)
"""Tokens of the payment simulator on a local run, with the outcome that each leads to."""


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form; `name` is also its name in the body of the API request."""

    name: str
    label: Text
    kind: FieldKind = "text"
    required: bool = True
    default: str = ""
    choices: tuple[tuple[str, Text], ...] = ()
    from_item: str = ""
    """The field of the item from which the initial value is taken."""
    compute: Callable[[Item], int] | None = None
    """Computes the initial value, where it is not a field of the item."""

    def initial_value(self, item: Item) -> str:
        """Return the value that the form shows first."""
        value = item.get(self.from_item) if self.from_item else None
        if self.compute and item:
            value = self.compute(item)
        if value is None:
            return self.default
        return as_local(value) if self.kind == "moment" else str(value)


@dataclass(frozen=True, slots=True)
class Shown:
    """A number that the page has shown of an item; the request names it, and is refused if it has changed since."""

    name: str
    """Its field in the body of the API request."""
    of: Callable[[Item], int | None]
    times: str = ""
    """The field of the form by which it is multiplied."""


VERSION = Shown("expected_version", lambda item: item.get("version"))

REASON_FIELD = FormField("reason", REASON, required=False)
"""An optional reason. The form also serves as a confirmation step before a cancellation."""


def always(_: Item) -> bool:
    return True


def status_in(*statuses: str) -> Callable[[Item], bool]:
    return lambda item: item.get("status") in statuses


@dataclass(frozen=True, slots=True)
class Action:
    """An action on an item, or without one; it becomes one request of the API."""

    slug: str
    label: Text
    path: str
    """The path of the API; `{id}` is replaced by the id of the item."""
    fields: tuple[FormField, ...] = ()
    method: str = "POST"
    roles: frozenset[Role] = CUSTOMER
    when: Callable[[Item], bool] = always
    body: Mapping[str, Any] = field(default_factory=dict)
    """Constant fields of the body."""
    id_as: str = ""
    """The field of the body that takes the id of the item."""
    tone: Literal["main", "plain", "danger"] = "plain"
    opens_new_item: bool = False
    """Whether the page of the new record is shown after success."""
    id_field: str = ""
    """The field of the item that holds `{id}`, where it is not the key of the list."""
    shown: tuple[Shown, ...] = ()
    note: Text | None = None
    """A text about the consequences, which the form shows."""

    def is_for(self, role: Role | None, item: Item) -> bool:
        """Whether a role may take this action on an item in its present status."""
        return role in self.roles and self.when(item)

    @property
    def all_shown(self) -> tuple[Shown, ...]:
        """What has been shown; a change or an ending also names the version."""
        return (*self.shown, VERSION) if self.method in ("PATCH", "DELETE") else self.shown

    def shown_values(self, item: Item) -> dict[str, int]:
        """Return the numbers that are shown of an item now."""
        values = {one.name: one.of(item) for one in self.all_shown}
        return {name: value for name, value in values.items() if value is not None}

    def request(self, form: Mapping[str, str], id: str) -> tuple[str, dict[str, Any]]:
        """Return path and body of the API request; wrong values are sent as they are, for the API to refuse."""
        body = {**self.body, **{name: value for one in self.fields for name, value in _body_items(one, form)}}
        body |= {one.name: value for one in self.all_shown if (value := _shown_value(one, form)) is not None}
        if self.id_as:
            body[self.id_as] = id
        return self.path.replace("{id}", id), body


def _body_items(field: FormField, form: Mapping[str, str]) -> list[tuple[str, Any]]:
    if field.kind == "payment":
        return [("payment", _payment(form))]
    text = form.get(field.name, "").strip()
    if not text:
        return [(field.name, "")] if field.required and field.kind in ("text", "long") else []
    if field.kind in ("whole", "won", "signed"):
        digits = text.replace(",", "")
        return [(field.name, int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else text)]
    return [(field.name, as_utc(text) if field.kind == "moment" else text)]


def _shown_value(shown: Shown, form: Mapping[str, str]) -> int | None:
    value, times = form.get(shown.name, ""), form.get(shown.times, "1").strip().replace(",", "")
    if not (value + times).isascii() or not value.isdigit() or not times.isdigit() or len(value + times) > 18:
        return None
    return int(value) * int(times)


def _payment(form: Mapping[str, str]) -> dict[str, str]:
    return {
        "method": "card",
        "token": form.get("token", ""),
        "last4": form.get("last4") or "4242",
        "brand": form.get("brand") or "visa",
    }


def as_utc(text: str) -> str:
    """Convert a local time of Seoul to UTC for the API; any other text is returned as it is."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=SEOUL).astimezone(UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return text


def as_local(instant: str) -> str:
    """Convert an instant to the local time of Seoul for an input of type `datetime-local`."""
    return f"{datetime.fromisoformat(instant).astimezone(SEOUL):%Y-%m-%dT%H:%M}"


def idempotency_key(nonce: str, form: Mapping[str, str]) -> str:
    """Return a key that is the same for the same form and values, and another one after a change."""
    text = "".join(f"{len(name)}:{name}={len(value)}:{value}" for name, value in sorted(form.items()))
    return hashlib.sha256(f"{nonce};{text}".encode()).hexdigest()


def no_facts(_: Item) -> list[Fact]:
    return []


def no_next(_: Item) -> NextStep | None:
    return None


def no_state(_: Item) -> State | None:
    return None


Registrations = tuple[tuple[str, dict[str, Any]], ...]
"""Requests that register something, as staff: a path of the API, and a body."""


def no_samples(_: datetime) -> Registrations:
    return ()


NOTHING_YET = Text("아직 아무것도 없습니다.", "Nothing here yet.")


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of the API, and how the console shows it and its items."""

    slug: str
    name: Text
    path: str
    key: str
    """The field of an item that is its id."""
    title: Callable[[Item], str | Text]
    item: str = ""
    """The path of a single item; empty where the API has none."""
    staff_path: str = ""
    """The path of the list for staff, where it differs."""
    state: Callable[[Item], State | None] = no_state
    facts: Callable[[Item], list[Fact]] = no_facts
    next: Callable[[Item], NextStep | None] = no_next
    actions: tuple[Action, ...] = ()
    timeline: Callable[[Item], list[Item]] = lambda item: item.get("timeline", [])
    joins: tuple[tuple[str, str], ...] = ()
    """Joined items: the name under which each is added, and its path, in which `{name}` is a field of the item."""
    roles: frozenset[Role] = ANY
    is_work: bool = False
    """Whether the items are tasks of staff."""
    takes_min_version: bool = False
    """Whether the path of an item accepts `min_version`."""
    empty: Text = NOTHING_YET
    hint: str = "records"
    """The kind of live hints that concern the list: `catalogue` or `records` of its business."""

    def id_of(self, item: Item) -> str:
        return str(item[self.key])

    def action(self, slug: str) -> Action | None:
        return next((action for action in self.actions if action.slug == slug), None)


@dataclass(frozen=True, slots=True)
class StaffNotice:
    """What staff should know before they work on a business's page."""

    path: str
    """The path of the API that tells it."""
    text: Callable[[Item], Text]


@dataclass(frozen=True, slots=True)
class Business:
    """One of the businesses, or payments."""

    slug: str
    family: str
    name: Text
    about: Text
    catalogue: Listing | None
    records: Listing
    general_actions: tuple[Action, ...] = ()
    more_listings: tuple[Listing, ...] = ()
    account: Listing | None = None
    """The account of a member: the deposit of bike sharing."""
    events: Mapping[str, Text] = field(default_factory=dict)
    """The labels of its events in a timeline, by the name of the event."""
    notices: Mapping[str, tuple[Text, Text]] = field(default_factory=dict)
    """Title and detail of refusals by code, where the console says more than the API does."""
    links: Mapping[str, tuple[str, Text]] = field(default_factory=dict)
    """The page that helps after a refusal, by its code, and the text of the link."""
    purposes: Mapping[str, Text] = field(default_factory=dict)
    """The titles of its payments, by the context that requests them."""
    offers: tuple[str, ...] = ()
    """Contexts whose events change the catalogue: their hints name the business only, and everybody gets them."""
    samples: Callable[[datetime], Registrations] = no_samples
    """Sample data for an empty system, made at a given time."""
    has_unique_samples: bool = False
    """Whether nobody can register its first sample twice."""
    staff_notice: StaffNotice | None = None

    @property
    def listings(self) -> tuple[Listing, ...]:
        return tuple(one for one in (self.catalogue, self.records, *self.more_listings, self.account) if one)

    def listing(self, slug: str) -> Listing | None:
        return next((one for one in self.listings if one.slug == slug), None)
