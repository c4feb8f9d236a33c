"""Subscribers: the routing keys of events, connections that are tried again, and FastStream's own path."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, ClassVar
from uuid import uuid4

import aio_pika
import pytest
from faststream import BaseMiddleware
from pydantic import SecretStr

from contracts.base import Event, Refused
from contracts.payments import PaymentVoided
from contracts.video_rental.videos import VideoRegistered
from tests.runtime.harness import DoWork, RecordNote, RuntimeHarness, ShowWork, WorkResult, record_effect
from tests.runtime.sample_handlers import add_handlers, record_note
from tests.support.proxy import Proxy
from tests.support.system import eventually
from workers.runtime.messaging import broker as broker_module
from workers.runtime.messaging import producer as producer_module
from workers.runtime.messaging.connection import connect
from workers.runtime.messaging.topology import DEAD_QUEUE
from workers.runtime.processing.tx import Tx
from workers.runtime.processing.worker_runtime import WorkerRuntime
from workers.runtime.settings import Settings
from workers.runtime.worker import Worker


class Weighed(Event):
    """An event about one context."""

    topic = "sample.weighed"
    about = "whom"

    whom: str


async def weigh(command: DoWork, tx: Tx) -> WorkResult:
    for whom in ("", "sample", "sample.other", command.text):
        tx.publish(Weighed(version=1, whom=whom))
    return WorkResult()


async def record_event(event: Weighed, tx: Tx) -> None:
    await record_effect(tx, event.whom or "nobody")


async def received_events(harness: RuntimeHarness, worker: Worker, **about: Any) -> list[str]:
    """Return the events that a consumer received, once the last one, which is about it, has arrived."""
    worker.handles(DoWork)(weigh)
    worker.handles(Weighed, **about)(record_event)
    await harness.run(worker)

    await harness.request(DoWork(text="sample"))

    async def all_of_it() -> bool:
        return (await harness.effects()).count("sample") == 2

    await eventually(all_of_it)
    await harness.wait_until_idle()
    return sorted(await harness.effects())


async def test_a_context_receives_events_about_itself_and_about_nobody(harness: RuntimeHarness, worker: Worker) -> None:
    assert await received_events(harness, worker, about="sample") == ["nobody", "sample", "sample"]


async def test_a_consumer_without_a_filter_receives_every_event(harness: RuntimeHarness, worker: Worker) -> None:
    assert await received_events(harness, worker) == ["nobody", "sample", "sample", "sample.other"]


async def test_a_broker_that_accepts_a_connection_and_does_not_answer_is_tried_again(
    harness: RuntimeHarness, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(producer_module, "connect", partial(connect, timeout=0.5))
    broker = await Proxy(harness.amqp_url).mend()
    worker.handles(RecordNote)(record_note)
    await harness.run(worker, amqp_url=SecretStr(broker.url))

    async def both_wait() -> bool:
        return len(broker.kept_waiting) >= 2

    async def is_received() -> bool:
        return await harness.effects() == ["received"]

    await broker.fall_silent()
    await eventually(both_wait)
    await broker.mend()
    await harness.publish(RecordNote(text="received"))

    try:
        await eventually(is_received)
        await harness.stop("sample")
    finally:
        await broker.cut()


# -- FastStream's own path


class Counting(BaseMiddleware):
    """A middleware; with one, messages take FastStream's path."""

    seen: ClassVar[list[str]] = []

    async def consume_scope(self, call_next: Any, msg: Any) -> Any:
        self.seen.append(msg.raw_message.type)
        return await call_next(msg)


class WorkerWithMiddleware(Worker):
    def runtime(self, settings: Settings) -> WorkerRuntime:
        runtime = super().runtime(settings)
        runtime.broker.add_middleware(Counting)
        return runtime


async def test_with_a_middleware_messages_are_handled_and_answered_as_without_one(
    harness: RuntimeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse_some(command: DoWork, tx: Tx) -> WorkResult:
        await record_effect(tx, command.text)
        if command.text == "refused":
            raise Refused("no")
        return WorkResult(text=command.text)

    monkeypatch.setattr(Counting, "seen", [])
    worker = add_handlers(WorkerWithMiddleware("sample", resolves_dead_letters=False))
    worker.handlers[DoWork.topic].first = refuse_some
    await harness.run(worker)
    id = uuid4()

    first = await harness.request(DoWork(text="done"), id=id)
    again = await harness.request(DoWork(text="done"), id=id)
    refused = await harness.refused(DoWork(text="refused"))
    shown = await harness.done(ShowWork(text="done"))
    note = await harness.publish(RecordNote(text="noted"))
    await eventually(lambda: harness.effects(note))
    await harness.wait_until_idle()

    assert (first.kind, first.replayed, again.kind, again.replayed) == ("done", False, "done", True)
    assert (first.body, refused, shown) == (again.body, {"code": "no"}, {"text": "done"})
    assert sorted(await harness.effects()) == ["done", "noted"]
    assert Counting.seen == [DoWork.topic, DoWork.topic, DoWork.topic, ShowWork.topic, RecordNote.topic]


async def test_with_a_middleware_a_message_that_nobody_can_read_is_a_dead_letter(harness: RuntimeHarness) -> None:
    worker = add_handlers(WorkerWithMiddleware("sample", resolves_dead_letters=False))
    context = await harness.run(worker)
    channel = await harness.channel()
    await channel.default_exchange.publish(
        aio_pika.Message(b"no JSON", message_id=str(uuid4())), f"{RecordNote.topic}@sample"
    )
    dead = await channel.get_queue(DEAD_QUEUE)

    letter = await eventually(lambda: dead.get(no_ack=True, fail=False))

    assert letter.headers["x-reason"].startswith("not a sample.record_note")
    await harness.wait_until_idle()
    assert not context.deliveries


async def test_a_context_whose_connection_is_lost_again_and_again_is_not_ready(harness: RuntimeHarness) -> None:
    context: Any = await harness.run(add_handlers(Worker("sample", resolves_dead_letters=False)))

    async def is_connected() -> bool:
        return bool(context.broker.is_usable)

    for lost in range(broker_module.UNSTEADY_RECONNECTIONS):
        assert context.readiness()["consumers"], lost
        await context.broker._connection.transport.connection.close(ConnectionResetError("reset by peer"))
        await eventually(lambda: asyncio.sleep(0, len(context.broker._reconnections) > lost))  # noqa: B023
        await eventually(is_connected, within=30)

    assert not context.readiness()["consumers"]
    assert "again and again" in context.problems()["consumers"]
    await harness.done(DoWork(text="still working"))


# -- routing keys


async def _ignore(event: Any, tx: Tx) -> None: ...


def test_a_routing_key_ends_with_the_context_that_the_event_is_about() -> None:
    rentals = Worker("video_rental.rentals")

    plain = rentals.handles(VideoRegistered)(_ignore)
    own = rentals.handles(PaymentVoided, about="video_rental.rentals")(_ignore)
    every = Worker("journal").handles(PaymentVoided)(_ignore)

    assert plain.keys == ["video_rental.videos.video_registered"]
    assert own.keys == ["payments.payment_voided", "payments.payment_voided.video_rental.rentals"]
    assert every.keys == ["payments.payment_voided.#"]
