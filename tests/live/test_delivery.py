"""What the broker may do to messages: twice, to two at once, unreadable, unroutable."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx
import pytest

from contracts.journal import ListDeadLetters, ResolveDeadLetter
from contracts.payments import VoidPayment
from contracts.video_rental.rentals import CancelBooking
from contracts.video_rental.videos import ListVideos, VideoRegistered
from tests.conftest import MakeSettings
from tests.support import checks
from tests.support.duplication import everything_twice
from tests.support.system import OPERATOR, System, customer, eventually
from workers.registry import worker
from workers.runtime.messaging import topology


@pytest.fixture
async def own_system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """A system that a test may break, with time enough for a busy machine."""
    patient = {"video_rental_payment_ms": 8000, "payments_provider_ms": 5000}
    system = await System(await make_settings(retry_seconds=(0.05, 0.05), **patient), "video_rental").open()
    await system.start(*system.names)
    yield system
    await system.close()


@asynccontextmanager
async def channel_of(system: System) -> AsyncIterator[Any]:
    connection = await aio_pika.connect(system.settings.amqp_url.get_secret_value())
    async with connection:
        yield await connection.channel()


async def test_everything_delivered_twice_and_to_two_workers_at_once_takes_effect_once(own_system: System) -> None:
    system = own_system
    await system.start(*system.names, replica=" (second)")
    video_id = await system.video(copies=20)

    async with everything_twice(system) as doubled:
        tokens = ["tok_visa"] * 16 + ["tok_declined"] * 4
        wishes = [(uuid4(), customer(), token) for token in tokens]
        replies = await asyncio.gather(
            *(system.until_done(system.booking(video_id, who, token), id=id, each=10) for id, who, token in wishes)
        )
        booked = [(id, who) for (id, who, _), reply in zip(wishes, replies, strict=True) if reply.kind == "done"]
        await asyncio.gather(*(system.done(CancelBooking(rental_id=id, caller=who)) for id, who in booked[:5]))
        await system.wait_until_idle()

    assert len(booked) == 16
    assert {"payments.request_payment", "payments.refund_rest", "video_rental.rentals.video_booked"} <= set(doubled)
    assert await checks.discrepancies(system, video_id) == []
    refunds = await system.rows("provider", "select charge_key, count(*) as times from provider.refunds group by 1")
    assert [row["times"] for row in refunds] == [1] * 5


async def dead(system: System, part: str) -> dict[str, Any]:
    """The dead letter whose error holds `part`."""

    async def filed() -> Any:
        found = await system.done(ListDeadLetters(error=part))
        return found["items"]

    return dict((await eventually(filed))[0])


async def put_by_hand(system: System, queue: str, body: bytes, properties: dict[str, Any]) -> None:
    """Put a message into a queue as the management console does; None leaves a property out."""
    assert system.settings.rabbitmq_api is not None
    vhost = system.settings.amqp_url.get_secret_value().rpartition("/")[2]
    message = {
        "routing_key": queue,
        "payload": b64encode(body).decode(),
        "payload_encoding": "base64",
        "properties": {name: value for name, value in properties.items() if value is not None},
    }
    async with httpx.AsyncClient(base_url=system.settings.rabbitmq_api.get_secret_value(), trust_env=False) as api:
        answer = await api.post(f"/api/exchanges/{vhost}/amq.default/publish", json=message)
    assert answer.json() == {"routed": True}


POISON = {
    "without a message id": ({"message_id": None}, b"{}", "no message_id"),
    "of another type": ({"type": "something.else"}, b"{}", "of type"),
    "that is no JSON": ({}, b"{{{", "Invalid JSON"),
    "with a field of the wrong type": ({}, b'{"version": 1, "video_id": "x"}', "video_id"),
    "that is too long": ({}, b'"' + b"x" * 1_100_000 + b'"', "bytes, more than"),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
async def test_a_message_is_a_dead_letter_with_its_reason_and_its_neighbours_go_on(
    system: System, poison: tuple[dict[str, Any], bytes, str]
) -> None:
    properties, body, reason = poison
    queue = f"{VideoRegistered.topic}@video_rental.rentals"

    await put_by_hand(system, queue, body, {"message_id": str(uuid4()), "type": VideoRegistered.topic} | properties)
    video_id = await system.video()

    letter = await dead(system, reason)
    assert letter["queue"] == queue
    assert await checks.discrepancies(system, video_id) == []


async def test_a_handler_with_a_bug_is_retried_then_dead_and_replayed_when_it_is_mended(
    own_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = own_system
    handler = system.contexts["payments"].worker.handlers[VoidPayment.topic]
    healthy = handler.first

    async def buggy(command: VoidPayment, tx: Any) -> None:
        raise ZeroDivisionError("a bug in the handler")

    monkeypatch.setattr(handler, "first", buggy)
    await system.done(system.booking(await system.video()))
    await system.publish(VoidPayment(payment_id=(payment_id := uuid4())))
    letter = await dead(system, "a bug in the handler")
    assert letter["attempts"] == 3
    assert letter["context"] == "payments"

    monkeypatch.setattr(handler, "first", healthy)
    await system.done(
        ResolveDeadLetter(
            dead_letter_id=UUID(letter["dead_letter_id"]), action="replay", reason="mended", caller=OPERATOR
        )
    )

    async def tombstone() -> Any:
        return await system.rows("payments", "select 1 from payments.payments where payment_id=$1", payment_id)

    await eventually(tombstone)


async def test_a_deleted_queue_holds_messages_back_until_it_is_there_again(own_system: System) -> None:
    system = own_system
    queue = f"{VoidPayment.topic}@payments"
    video_id = await system.video()
    async with channel_of(system) as channel:
        await channel.queue_delete(queue)

    id = uuid4()
    reply = await system.until_done(system.booking(video_id, token="tok_error"), id=id)
    assert b"payment_unavailable" in reply.body
    await eventually(lambda: _only_void_is_unpublished(system))
    await eventually(lambda: _missing(system, "payments", queue))

    await topology.apply(
        system.settings.amqp_url.get_secret_value(), topology.plan([worker(name) for name in system.names])
    )
    await system.wait_until_idle()

    assert system.contexts["payments"].missing_queues == []
    assert await checks.discrepancies(system, video_id) == []


async def _only_void_is_unpublished(system: System) -> bool:
    left = await system.rows("video_rental.rentals", "select topic from video_rental_rentals.outbox")
    return [row["topic"] for row in left] == [VoidPayment.topic]


async def _missing(system: System, context: str, queue: str) -> bool:
    return queue in system.contexts[context].missing_queues


async def test_a_deleted_binding_is_made_again_and_nothing_counts_as_sent_meanwhile(own_system: System) -> None:
    system = own_system
    queue = f"{VoidPayment.topic}@payments"
    video_id = await system.video()
    async with channel_of(system) as channel:
        held = await channel.get_queue(queue)
        await held.unbind("yeyak.commands", VoidPayment.topic)

    await system.until_done(system.booking(video_id, token="tok_error"), id=uuid4())
    await system.wait_until_idle()

    assert await checks.discrepancies(system, video_id) == []


async def test_a_query_whose_queue_is_gone_is_unavailable_at_once(own_system: System) -> None:
    async with channel_of(own_system) as channel:
        await channel.queue_delete(f"{ListVideos.topic}@video_rental.videos")

    reply = await own_system.request(ListVideos())

    assert reply.kind == "unavailable"


async def test_a_query_that_is_unroutable_is_unavailable_and_not_waited_for(own_system: System) -> None:
    queue = f"{ListVideos.topic}@video_rental.videos"
    async with channel_of(own_system) as channel:
        held = await channel.get_queue(queue)
        await held.unbind("yeyak.queries", ListVideos.topic)
        began = time.monotonic()

        reply = await own_system.request(ListVideos(), within=8.0)

    assert reply.kind in ("unavailable", "done")  # it may have been bound again in between
    assert time.monotonic() - began < 4
