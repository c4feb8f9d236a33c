"""Envelopes are read from message properties; a message without a valid envelope is unreadable."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from pamqp import encode

from contracts.outcomes import Outcome
from contracts.payments import VoidPayment
from tests.runtime.fake_broker import request
from workers.runtime.messaging import envelope
from workers.runtime.messaging.envelope import Unreadable

TOPIC = "sample.decide"


def delivery(**more: Any) -> Any:
    properties: dict[str, Any] = {
        "message_id": str(uuid4()),
        "type": TOPIC,
        "app_id": "gateway",
        "body": b"{}",
        "headers": {},
        "expiration": None,
        "reply_to": None,
        "correlation_id": None,
        "redelivered": False,
    }
    return SimpleNamespace(**(properties | more))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"message_id": None}, "the message has no message_id"),
        ({"message_id": ""}, "the message has no message_id"),
        ({"message_id": "17"}, "message_id is not a UUID"),
        ({"type": "sample.other"}, "a message of type 'sample.other' in a queue of sample.decide"),
        ({"headers": {"story_id": "x"}}, "story_id is not a UUID"),
        ({"headers": {"causation_id": 4}}, "causation_id is not a UUID"),
        ({"headers": {"actor": "k\x00m"}}, "actor has control characters"),
        ({"headers": {"actor": "\udc00"}}, "actor has control characters"),
        ({"headers": {"actor": "k" * 301}}, "actor has 301 characters, more than 300"),
        ({"headers": {"request_digest": "d\n"}}, "request_digest has control characters"),
        ({"reply_to": "q\x7f"}, "reply_to has control characters"),
        ({"correlation_id": "c\x00"}, "correlation_id has control characters"),
        ({"headers": {"deadline_ms": "soon"}}, "deadline_ms is not a number"),
        ({"headers": {"deadline_ms": [1]}}, "deadline_ms is not a number"),
        ({"headers": {"deadline_ms": b"\xff"}}, "deadline_ms is not a number"),
        ({"headers": {"deadline_ms": -1}}, "deadline_ms is not a time"),
        ({"headers": {"deadline_ms": float("nan")}}, "deadline_ms is not a time"),
        ({"expiration": float("inf")}, "expiration is not a time"),
        ({"unreadable": "timestamp: 17 is no time"}, "timestamp: 17 is no time"),
    ],
)
def test_a_message_with_properties_that_cannot_be_kept_is_unreadable(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        envelope.read(delivery(**wrong), TOPIC)


def test_a_message_without_headers_starts_its_own_story_and_its_sender_is_the_actor() -> None:
    raw = delivery()

    read = envelope.read(raw, TOPIC)

    assert (str(read.id), read.story_id, read.causation_id) == (raw.message_id, read.id, None)
    assert (read.actor, read.digest, read.deadline, read.expires_after, read.is_request) == (
        "gateway",
        "",
        0.0,
        None,
        False,
    )


def test_a_message_without_type_and_sender_is_readable() -> None:
    assert envelope.read(delivery(type=None, app_id=None), TOPIC).actor == "unknown"


def test_headers_give_the_story_the_actor_and_the_deadline() -> None:
    story, cause = uuid4(), uuid4()
    headers = {
        "story_id": str(story),
        "causation_id": str(cause),
        "actor": "customer:kim",
        "request_digest": "d1",
        "deadline_ms": 1500,
    }

    read = envelope.read(delivery(headers=headers, expiration=0.5, reply_to="q|yeyak.replies"), TOPIC)

    assert (read.story_id, read.causation_id, read.actor, read.digest) == (story, cause, "customer:kim", "d1")
    assert (read.deadline, read.expires_after, read.is_request) == (1.5, 0.5, True)


def test_a_header_that_is_a_number_is_read_as_text() -> None:
    assert envelope.read(delivery(headers={"actor": 17, "request_digest": 4}), TOPIC).actor == "17"


def test_a_long_deadline_is_cut_to_an_hour() -> None:
    assert envelope.read(delivery(headers={"deadline_ms": 2**62}), TOPIC).deadline == 3600.0


def test_a_request_is_read_as_it_was_written() -> None:
    wanted = replace(request(TOPIC), digest="d1", causation_id=uuid4())

    read = envelope.read(delivery(headers=envelope.request_headers(wanted, 1.5), reply_to="q"), TOPIC)

    assert (read.story_id, read.causation_id, read.actor) == (wanted.story_id, wanted.causation_id, "customer:kim")
    assert (read.deadline, read.digest) == (1.5, "d1")


def test_a_durable_message_is_read_as_it_was_written() -> None:
    story, cause = uuid4(), uuid4()

    read = envelope.read(delivery(headers=envelope.durable_headers(story, cause, "system")), TOPIC)

    assert (read.story_id, read.causation_id, read.actor, read.is_request) == (story, cause, "system", False)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("done", Outcome.DONE),
        ("refused", Outcome.REFUSED),
        ("unavailable", Outcome.UNAVAILABLE),
        ("still_running", Outcome.STILL_RUNNING),
        ("unknown", Outcome.UNKNOWN),
        ("no_reply", Outcome.UNKNOWN),
        (None, Outcome.UNKNOWN),
        ("nonsense", Outcome.UNKNOWN),
    ],
)
def test_a_reply_has_one_of_the_outcomes_that_travel_or_is_unknown(kind: str | None, expected: Outcome) -> None:
    assert envelope.read_reply(delivery(type=kind)).kind is expected


def test_a_reply_of_faststreams_path_has_its_outcome_in_a_header() -> None:
    assert envelope.read_reply(delivery(type=None, headers={"outcome": "refused"})).kind is Outcome.REFUSED


def test_a_dead_letter_copy_adds_reason_and_queue_and_keeps_the_headers() -> None:
    raw = delivery(message_id=None, content_type=None, headers={"actor": "x"})

    copy = envelope.dead_letter_copy(raw, "sample.decide@sample", "y" * 2000)

    assert copy.headers == {
        "actor": "x",
        "x-reason": "y" * 1000,
        "x-queue": "sample.decide@sample",
        "x-message-id": "",
    }


@pytest.mark.parametrize(
    "headers", [None, {"n": 2**70}, {"x": object()}, {"k" * 300: 1}], ids=["none", "int", "object", "name"]
)
def test_a_dead_letter_copy_can_be_encoded_whatever_the_headers(headers: Any) -> None:
    copy = envelope.dead_letter_copy(delivery(content_type=None, headers=headers), "q", "broken")

    encode.field_table(copy.headers)
    assert copy.headers["x-reason"] == "broken"


def test_an_invalid_body_is_described_by_its_fields_and_not_by_its_values() -> None:
    with pytest.raises(Unreadable) as unreadable:
        envelope.read_body(VoidPayment, b'{"payment_id": "4111111111111111"}')

    assert "payment_id" in str(unreadable.value)
    assert "4111" not in str(unreadable.value)


def test_an_unknown_field_is_ignored() -> None:
    id = UUID(int=1)

    assert envelope.read_body(VoidPayment, f'{{"payment_id": "{id}", "new": 1}}'.encode()) == VoidPayment(payment_id=id)


@pytest.mark.parametrize("body", [b"[" * 5000, b"{" * 100_000, b"\xff\xfe", b"", b"null", b"NaN", b'"' + b"9" * 5000])
def test_a_body_that_no_parser_accepts_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable, match=r"not a payments\.void_payment"):
        envelope.read_body(VoidPayment, body)


@pytest.mark.parametrize(
    "traceparent", [None, 4, "", "00-1-2-01", "00-" + "0" * 32 + "-" + "1" * 16 + "-01\n", "x" * 55]
)
def test_a_traceparent_that_is_none_is_left_out(traceparent: Any) -> None:
    assert envelope.traceparent_of(delivery(headers={"traceparent": traceparent})) == ""
