"""Consumers: the routing keys of events, and connections that are tried again."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from contracts.base import Event
from contracts.payments import PaymentVoided
from contracts.video_rental.videos import VideoRegistered
from tests.runtime.harness import DoWork, RecordNote, RuntimeHarness, WorkResult, record_effect
from tests.runtime.sample_handlers import record_note
from tests.support.proxy import Proxy
from tests.support.system import eventually
from workers.runtime.messaging import bus, consumers
from workers.runtime.processing.tx import Tx
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
    for module in (bus, consumers):
        monkeypatch.setattr(module, "CONNECT_SECONDS", 0.5)
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


async def _ignore(event: Any, tx: Tx) -> None: ...


def test_a_routing_key_ends_with_the_context_that_the_event_is_about() -> None:
    rentals = Worker("video_rental.rentals")

    plain = rentals.handles(VideoRegistered)(_ignore)
    own = rentals.handles(PaymentVoided, about="video_rental.rentals")(_ignore)
    every = Worker("journal").handles(PaymentVoided)(_ignore)

    assert plain.keys == ["video_rental.videos.video_registered"]
    assert own.keys == ["payments.payment_voided", "payments.payment_voided.video_rental.rentals"]
    assert every.keys == ["payments.payment_voided.#"]
