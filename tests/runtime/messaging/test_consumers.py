"""Who hears an event: all who listen, or only the context that it is about."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from contracts.base import Event
from contracts.payments import PaymentVoided
from contracts.video_rental.videos import VideoRegistered
from tests.runtime.harness import Do, Done, Lab, Remember, effect
from tests.runtime.sample_handlers import remember
from tests.support.proxy import Proxy
from tests.support.system import eventually
from workers.runtime.messaging import bus, consumers
from workers.runtime.processing.tx import Tx
from workers.runtime.worker import Worker


class Weighed(Event):
    """Something that one context wants to know."""

    topic = "lab.weighed"
    about = "whom"

    whom: str


async def weigh(command: Do, tx: Tx) -> Done:
    for whom in ("", "lab", "lab.other", command.text):
        tx.publish(Weighed(version=1, whom=whom))
    return Done()


async def hear(event: Weighed, tx: Tx) -> None:
    await effect(tx, event.whom or "nobody")


async def heard(lab: Lab, worker: Worker, **about: Any) -> list[str]:
    """What a listener hears until what is about it came, the last of all."""
    worker.handles(Do)(weigh)
    worker.handles(Weighed, **about)(hear)
    await lab.run(worker)

    await lab.ask(Do(text="lab"))

    async def all_of_it() -> bool:
        return (await lab.effects()).count("lab") == 2

    await eventually(all_of_it)
    await lab.wait_until_idle()
    return sorted(await lab.effects())


async def test_a_context_hears_what_is_about_it_or_about_nobody(lab: Lab, worker: Worker) -> None:
    assert await heard(lab, worker, about="lab") == ["lab", "lab", "nobody"]


async def test_a_listener_to_all_hears_all(lab: Lab, worker: Worker) -> None:
    assert await heard(lab, worker) == ["lab", "lab", "lab.other", "nobody"]


async def test_a_broker_that_takes_a_connection_and_never_answers_is_tried_anew(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (bus, consumers):
        monkeypatch.setattr(module, "CONNECT_SECONDS", 0.5)
    broker = await Proxy(lab.amqp_url).mend()
    worker.handles(Remember)(remember)
    await lab.run(worker, amqp_url=SecretStr(broker.url))

    async def both_wait() -> bool:
        return len(broker.kept_waiting) >= 2

    async def is_heard() -> bool:
        return await lab.effects() == ["heard"]

    await broker.fall_silent()
    await eventually(both_wait)
    await broker.mend()
    await lab.publish(Remember(text="heard"))

    try:
        await eventually(is_heard)
        await lab.stop("lab")
    finally:
        await broker.cut()


async def _ignore(event: Any, tx: Tx) -> None: ...


def test_routing_keys_end_with_whom_an_event_is_about() -> None:
    rentals = Worker("video_rental.rentals")

    plain = rentals.handles(VideoRegistered)(_ignore)
    own = rentals.handles(PaymentVoided, about="video_rental.rentals")(_ignore)
    every = Worker("journal").handles(PaymentVoided)(_ignore)

    assert plain.keys == ["video_rental.videos.video_registered"]
    assert own.keys == ["payments.payment_voided", "payments.payment_voided.video_rental.rentals"]
    assert every.keys == ["payments.payment_voided.#"]
