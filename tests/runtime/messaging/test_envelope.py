"""Envelopes are read from message properties; a message without a valid envelope is unreadable."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.payments import VoidPayment
from tests.runtime.fake_bus import request
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
    ],
)
def test_a_message_without_valid_ids_or_of_another_type_is_unreadable(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        envelope.read(delivery(**wrong), TOPIC)


def test_a_message_without_headers_starts_its_own_story_and_its_sender_is_the_actor() -> None:
    raw = delivery()

    read = envelope.read(raw, TOPIC)

    assert (str(read.id), read.story_id, read.causation_id) == (raw.message_id, read.id, None)
    assert (read.actor, read.digest, read.budget, read.expires_after, read.asked) == ("gateway", "", 0.0, None, False)


def test_a_message_without_type_and_sender_is_readable() -> None:
    assert envelope.read(delivery(type=None, app_id=None), TOPIC).actor == "unknown"


def test_headers_give_the_story_the_actor_and_the_budget() -> None:
    story, cause = uuid4(), uuid4()
    headers = {
        "story_id": str(story),
        "causation_id": str(cause),
        "actor": "customer:kim",
        "request_digest": "d1",
        "budget_ms": 1500,
    }

    read = envelope.read(delivery(headers=headers, expiration=0.5, reply_to="q|yeyak.replies"), TOPIC)

    assert (read.story_id, read.causation_id, read.actor, read.digest) == (story, cause, "customer:kim", "d1")
    assert (read.budget, read.expires_after, read.asked) == (1.5, 0.5, True)


@pytest.mark.parametrize("nonsense", ["soon", b"\xff", [1], {}])
def test_a_budget_that_is_no_number_is_zero(nonsense: Any) -> None:
    assert envelope.read(delivery(headers={"budget_ms": nonsense}), TOPIC).budget == 0.0


def test_a_request_is_read_as_it_was_written() -> None:
    wanted = request(TOPIC)
    sent = envelope.asked(wanted, "gateway", reply_to="q", correlation_id="c", expires=0.5, budget=1.5)

    read = envelope.read(delivery(**_properties_of(sent)), TOPIC)

    assert (read.id, read.story_id, read.actor) == (wanted.message_id, wanted.story_id, "customer:kim")
    assert (read.budget, read.expires_after, read.correlation_id) == (1.5, 0.5, "c")
    assert not sent.persistent


def test_a_durable_message_is_read_as_it_was_written_and_is_persistent() -> None:
    id, story, cause = uuid4(), uuid4(), uuid4()
    sent = envelope.told(id, b"{}", TOPIC, "payments", story, cause, "system")

    read = envelope.read(delivery(**_properties_of(sent)), TOPIC)

    assert (read.id, read.story_id, read.causation_id, read.actor) == (id, story, cause, "system")
    assert sent.persistent


def test_a_dead_letter_copy_adds_reason_and_queue_and_keeps_the_headers() -> None:
    raw = delivery(message_id=None, content_type=None, headers={"actor": "x"})

    copy = envelope.dead_letter_copy(raw, "sample.decide@sample", "y" * 2000)

    assert copy.headers == {
        "actor": "x",
        "x-reason": "y" * 1000,
        "x-queue": "sample.decide@sample",
        "x-message-id": "",
    }


def test_an_invalid_body_is_described_by_its_fields_and_not_by_its_values() -> None:
    with pytest.raises(Unreadable) as unreadable:
        envelope.read_body(VoidPayment, b'{"payment_id": "4111111111111111"}')

    assert "payment_id" in str(unreadable.value)
    assert "4111" not in str(unreadable.value)


def test_an_unknown_field_is_ignored() -> None:
    id = UUID(int=1)

    assert envelope.read_body(VoidPayment, f'{{"payment_id": "{id}", "new": 1}}'.encode()) == VoidPayment(payment_id=id)


def _properties_of(message: Any) -> dict[str, Any]:
    names = ("message_id", "type", "app_id", "body", "headers", "expiration", "reply_to", "correlation_id")
    return {name: getattr(message, name) for name in names}
