"""Every recorded message can still be parsed without loss."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, TypeAdapter

from contracts.base import Message
from contracts.journal import TakeUpDeadLetter, take_up_dead_letter
from tests.contracts.catalogue import SAMPLES, SCHEMAS, messages, schema_of
from tests.contracts.record import read, sample_of

EVERY = pytest.mark.parametrize("topic", messages())


def samples(topic: str) -> list[tuple[type[BaseModel], Any]]:
    """Return each recorded body and answer with the shape that must parse it."""
    recorded = read(SAMPLES, topic)
    assert recorded is not None, "run `python -m tests.contracts.record`"
    message = messages()[topic]
    pairs: list[tuple[type[BaseModel], Any]] = [(message, body) for body in recorded["bodies"]]
    return pairs + [(message.answer, answer) for answer in recorded["answers"]]


def lost(recorded: Any, now: Any, at: str = "") -> list[str]:
    """List the parts of the recorded value that are missing in the other or differ from it."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        return [
            problem
            for key, value in recorded.items()
            for problem in lost(value, now.get(key, "nothing"), f"{at}.{key}")
        ]
    if isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        return [
            problem for i, (a, b) in enumerate(zip(recorded, now, strict=True)) for problem in lost(a, b, f"{at}[{i}]")
        ]
    return [] if recorded == now else [f"{at}: {recorded!r} became {now!r}"]


@EVERY
def test_each_message_has_a_recorded_sample_with_every_field(topic: str) -> None:
    shapes = [shape for shape, _ in samples(topic)]

    answer = messages()[topic].answer
    assert shapes == [messages()[topic]] * 2 + ([answer] * 2 if answer else [])


@EVERY
def test_recorded_samples_are_parsed_without_loss(topic: str) -> None:
    for shape, recorded in samples(topic):
        understood = shape.model_validate_json(json.dumps(recorded))

        assert lost(recorded, json.loads(understood.model_dump_json())) == []


@EVERY
def test_a_message_is_parsed_as_it_was_serialised(topic: str) -> None:
    for shape, recorded in samples(topic):
        meant = shape.model_validate_json(json.dumps(recorded))

        assert shape.model_validate_json(meant.model_dump_json()) == meant


@EVERY
def test_unknown_fields_are_ignored(topic: str) -> None:
    for shape, recorded in samples(topic):
        newer = with_more(recorded)

        assert shape.model_validate_json(json.dumps(newer)) == shape.model_validate_json(json.dumps(recorded))


def with_more(value: Any) -> Any:
    """Return the same value with one more field in every object, as a newer producer would send it."""
    if isinstance(value, dict):
        return {key: with_more(part) for key, part in value.items()} | {"said_since_next_year": {"by": ["somebody"]}}
    return [with_more(part) for part in value] if isinstance(value, list) else value


def test_no_sample_or_snapshot_belongs_to_a_removed_message() -> None:
    kept = {path.stem for folder in (SAMPLES, SCHEMAS) for path in folder.glob("*.json")}

    assert kept - set(messages()) == set(), "a message that was ever sent is understood for ever"


def test_the_command_about_dead_letters_is_the_same_for_every_context() -> None:
    schemas = [schema_of(take_up_dead_letter(context)) for context in ("payments", "video_rental.rentals")]

    assert schemas == [schema_of(TakeUpDeadLetter)] * 2


@pytest.mark.parametrize("changed", ["renamed", "another value", "shorter"])
def test_a_lost_part_of_a_sample_is_reported(changed: str) -> None:
    recorded = {"a": {"b": [1, 2]}}
    now: dict[str, Any] = {
        "renamed": {"a": {"c": [1, 2]}},
        "another value": {"a": {"b": [1, 3]}},
        "shorter": {"a": {"b": [1]}},
    }

    assert lost(recorded, now[changed]) != []


def test_a_sample_is_made_of_every_field(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nested(BaseModel):
        token: str
        days: int | None = None

    class Everything(Message):
        exchange = "yeyak.events"
        id: UUID
        nested: list[Nested]
        flag: bool = False

    monkeypatch.setattr(Everything, "topic", "everything", raising=False)

    full, bare = sample_of(Everything)["bodies"]

    assert full["nested"] == [{"token": "tok_visa", "days": 3}]
    assert set(bare) == {"id", "nested"}
    TypeAdapter(list[Everything]).validate_python([full, bare])
