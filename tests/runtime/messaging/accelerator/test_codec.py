"""Encoded frames are decoded by the AMQP library to the same message."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from pamqp import frame
from pamqp.commands import Basic

from workers.runtime.messaging.accelerator.codec import Publishing, acknowledgement, publication

EVERYTHING = Publishing(
    '{"title": "카사블랑카"}'.encode(),
    "video_rental.rentals.book_video",
    "gateway",
    persistent=True,
    headers={"actor": "customer:김", "deadline_ms": 1500, "replayed": True, "at_ms": 1_790_000_000_123, "early": -1},
    correlation_id="c" * 255,
    reply_to="gateway.1@replies|yeyak.replies",
    expiration=0.35,
    message_id=str(uuid4()),
)
LEAST = Publishing(b"", "done", "payments")


def decoded(data: bytes) -> list[Any]:
    frames = []
    while data:
        used, channel, one = frame.unmarshal(data)
        assert channel == 7
        frames.append(one)
        data = data[used:]
    return frames


def published(message: Publishing, **more: Any) -> list[Any]:
    options = {"mandatory": True, "body_limit": 100_000} | more
    return decoded(publication(7, "yeyak.commands", message.type, message, **options))


@pytest.mark.parametrize("mandatory", [True, False])
def test_a_publication_carries_exchange_routing_key_and_flags(mandatory: bool) -> None:
    method = published(EVERYTHING, mandatory=mandatory)[0]

    assert (method.exchange, method.routing_key) == ("yeyak.commands", EVERYTHING.type)
    assert (method.mandatory, method.immediate) == (mandatory, False)


def test_every_property_is_encoded() -> None:
    _, header, body = published(EVERYTHING)
    properties: Basic.Properties = header.properties

    assert body.value == EVERYTHING.body
    assert header.body_size == len(EVERYTHING.body)
    assert properties.headers == EVERYTHING.headers
    assert (properties.message_type, properties.app_id) == (EVERYTHING.type, "gateway")
    assert (properties.message_id, properties.correlation_id) == (EVERYTHING.message_id, "c" * 255)
    assert (properties.reply_to, properties.expiration) == (EVERYTHING.reply_to, "350")
    assert (properties.delivery_mode, properties.content_type) == (2, "application/json")


def test_a_property_that_is_not_set_is_not_encoded() -> None:
    (_, header) = published(LEAST)
    properties = header.properties

    assert header.body_size == 0
    assert (properties.headers, properties.correlation_id, properties.reply_to, properties.message_id) == (None,) * 4
    assert (properties.expiration, properties.delivery_mode) == (None, 1)


@pytest.mark.parametrize("size", [1, 99, 100, 101, 200, 1000])
def test_a_long_body_is_split_into_frames(size: int) -> None:
    body = bytes(number % 251 for number in range(size))

    _, header, *pieces = published(Publishing(body, "done", "payments"), body_limit=100)

    assert header.body_size == size
    assert b"".join(piece.value for piece in pieces) == body
    assert all(len(piece.value) <= 100 for piece in pieces)


def test_a_property_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="256"):
        published(Publishing(b"", "done", "payments", correlation_id="c" * 256))


def test_an_acknowledgement_covers_one_delivery() -> None:
    (ack,) = decoded(acknowledgement(7, 2**40))

    assert (ack.delivery_tag, ack.multiple) == (2**40, False)
