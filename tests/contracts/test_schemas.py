"""Messages change by addition only, and the comparison reports every breaking change."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from contracts.base import Command, Event, Message, Shape
from contracts.video_rental.rentals import BookVideo
from tests.contracts.catalogue import SCHEMAS, messages, snapshot_of
from tests.contracts.compare import broken
from tests.contracts.record import read, record

EVERY = pytest.mark.parametrize("topic", messages())


@EVERY
def test_no_message_was_changed_in_a_way_that_breaks_its_readers(topic: str) -> None:
    recorded = read(SCHEMAS, topic)

    assert recorded is not None, "run `python -m tests.contracts.record`"
    assert broken(recorded, snapshot_of(messages()[topic])) == []


@EVERY
def test_each_snapshot_is_up_to_date(topic: str) -> None:
    assert read(SCHEMAS, topic) == snapshot_of(messages()[topic]), "run `python -m tests.contracts.record`"


class Size(StrEnum):
    SMALL = "SMALL"
    LARGE = "LARGE"


class Wide(StrEnum):
    SMALL = "SMALL"
    LARGE = "LARGE"
    HUGE = "HUGE"


class Tiny(StrEnum):
    SMALL = "SMALL"


class Maker(Shape):
    name: str
    since: int | None = None


class Narrow(Shape):
    name: str


class Done(Shape):
    id: int


def shape(**fields: Any) -> dict[str, Any]:
    """Return the snapshot of an event; `fields` replace or extend the usual ones, None removes one."""
    usual: dict[str, Any] = {
        "name": str,
        "size": Size,
        "count": Annotated[int, Field(ge=0, le=100)],
        "note": (str | None, None),
        "code": Annotated[str, Field(pattern="^a", max_length=9)],
        "maker": Maker,
        "makers": list[Maker],
        "prices": dict[str, int],
        "kind": Literal["one", "two"],
    }
    given = {name: value for name, value in (usual | fields).items() if value is not None}
    kind = {name: value[0] if isinstance(value, tuple) else value for name, value in given.items()}
    defaults = {name: value[1] for name, value in given.items() if isinstance(value, tuple)}
    made: Any = type("Parcel", (Event,), {"__annotations__": kind, "__module__": __name__, **defaults})
    made.topic = "parcels.sent"
    return snapshot_of(made)


BREAKING: dict[str, dict[str, Any]] = {
    "a field is gone": {"name": None},
    "an optional field is gone": {"note": None},
    "a field is of another type": {"name": int},
    "a number became whole": {"weight": int},
    "null is not allowed any more": {"note": (str, "")},
    "an enum lost a value": {"size": Tiny},
    "free text became an enum": {"name": Size},
    "a literal lost a value": {"kind": Literal["one"]},
    "the least is more": {"count": Annotated[int, Field(ge=1, le=100)]},
    "the most is less": {"count": Annotated[int, Field(ge=0, le=99)]},
    "a text is shorter": {"code": Annotated[str, Field(pattern="^a", max_length=8)]},
    "a pattern changed": {"code": Annotated[str, Field(pattern="^ab", max_length=9)]},
    "a pattern appeared": {"name": Annotated[str, Field(pattern="^a")]},
    "a limit appeared": {"name": Annotated[str, Field(max_length=10)]},
    "a nested field is gone": {"maker": Narrow},
    "a nested field of an item is gone": {"makers": list[Narrow]},
    "values of another type": {"prices": dict[str, bool]},
    "a new field must be there": {"extra": str},
    "an optional field must be there": {"note": str | None},
}
ADDITIVE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a new field with a default": {"extra": (str, "")},
    "a new field that may be null": {"extra": (str | None, None)},
    "an enum gained a value": {"size": Wide},
    "an enum became free text": {"size": str},
    "the least is less": {"count": Annotated[int, Field(ge=-5, le=100)]},
    "the most is more": {"count": Annotated[int, Field(ge=0, le=1000)]},
    "a limit is gone": {"count": int},
    "a pattern is gone": {"code": Annotated[str, Field(max_length=9)]},
    "null is allowed now": {"name": str | None},
    "a whole number may be any": {"count": Annotated[float, Field(ge=0, le=100)]},
    "a field may be left out": {"name": (str, "")},
    "another alternative": {"note": (str | int | None, None)},
}


@pytest.mark.parametrize("change", BREAKING.values(), ids=BREAKING)
def test_a_breaking_change_is_reported(change: dict[str, Any]) -> None:
    old = shape(weight=float)

    assert broken(old, shape(**({"weight": float} | change))) != []


@pytest.mark.parametrize("change", ADDITIVE.values(), ids=ADDITIVE)
def test_an_addition_is_not_a_breaking_change(change: dict[str, Any]) -> None:
    assert broken(shape(), shape(**change)) == []


@pytest.mark.parametrize("part", ["topic", "exchange", "delivery"])
def test_a_changed_delivery_is_reported(part: str) -> None:
    (problem,) = broken(shape(), shape() | {part: "another"})

    assert problem.startswith(part)


def test_an_answer_that_is_added_removed_or_changed_is_reported() -> None:
    durable, request = made(Command[None]), made(Command[Done])
    other = request | {"answer": shape()["body"]}

    assert [
        bool(broken(*pair)) for pair in ((durable, request), (request, durable), (request, other), (request, request))
    ] == [
        True,
        True,
        True,
        False,
    ]


def made(base: Any) -> dict[str, Any]:
    command: type[Message] = type("Send", (base,), {"__module__": __name__})
    command.topic = "parcels.send"
    return snapshot_of(command)


def test_a_refusal_may_come_and_go_and_a_detail_of_it_may_only_come() -> None:
    refuses, silent = snapshot_of(BookVideo), snapshot_of(BookVideo) | {"refusals": {}}
    bare = refuses | {"refusals": refuses["refusals"] | {"payment_declined": {"type": "object", "properties": {}}}}

    assert broken(silent, refuses) == broken(refuses, silent) == []
    assert "refusal payment_declined.rental_id: is gone" in broken(refuses, bare)
    assert "refusal payment_declined.rental_id: must be there now" in broken(bare, refuses)


def test_an_object_that_no_longer_ignores_unknown_fields_is_reported() -> None:
    old = shape()
    strict = old | {"body": old["body"] | {"additionalProperties": False}}

    assert broken(old, strict) == ["body: unknown fields are not ignored any more"]


class Sent(Event):
    name: str


class SentWithMore(Event):
    name: str
    note: str | None = None


class SentWithLess(Event):
    note: str | None = None


def test_recording_adds_missing_files_follows_additions_and_refuses_breaking_changes(tmp_path: Path) -> None:
    samples, schemas = tmp_path / "samples", tmp_path / "schemas"
    for message in (Sent, SentWithMore, SentWithLess):
        message.topic = "parcels.sent"

    first = record({"parcels.sent": Sent}, samples, schemas)
    again = record({"parcels.sent": Sent}, samples, schemas)
    sample = (samples / "parcels.sent.json").read_text()
    more = record({"parcels.sent": SentWithMore}, samples, schemas)
    less = record({"parcels.sent": SentWithLess}, samples, schemas)

    assert first == (["parcels.sent: the snapshot is new", "parcels.sent: a sample is recorded"], [])
    assert again == ([], [])
    assert more == (["parcels.sent: the snapshot is followed up"], [])
    assert less == ([], ["parcels.sent: body.name: is gone"])
    assert (samples / "parcels.sent.json").read_text() == sample
    assert read(schemas, "parcels.sent") == snapshot_of(SentWithMore)
