"""One trace from the door to the view, whatever carries it on: an ask, an event, the sweeper, a timer."""

from __future__ import annotations

import secrets
import timeit
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import aio_pika
import httpx
import pytest

from gateway_api import tokens
from ops.accounts.files import Folder
from tests.conftest import MakeSettings
from tests.observability.conftest import KEY, at_work, booking, door_of, register
from tests.observability.otlp_receiver import Receiver, Span
from tests.support.processes import Processes
from tests.support.system import System, eventually
from workers.runtime.observability import tracing

RENTALS, VIEW = "video_rental.rentals", "video_rental.my_page"
BOOK, PAY = f"{RENTALS}.book_video", "payments.request_payment"
A_MOMENT = "0.0003"
"""Hours; about a second."""


@dataclass
class Traced:
    """A system whose processes send their spans to a receiver."""

    system: System
    processes: Processes
    receiver: Receiver
    video_id: str

    async def book(self, **headers: str) -> httpx.Response:
        headers |= {"authorization": f"Bearer {tokens.issue(uuid4().hex, 'customer', key=KEY)}"}
        async with door_of(self.processes) as door:
            return await door.post("/v1/video-rental/rentals", json=booking(self.video_id), headers=headers)

    async def trace(self, trace_id: str, *awaited: tuple[str, str]) -> list[Span]:
        """The trace, once it has spans of these services and names."""

        async def arrived() -> bool:
            return set(awaited) <= {(span.service, span.name) for span in self.receiver.trace(trace_id)}

        try:
            await eventually(arrived, within=20)
        except AssertionError:
            found = [(span.service, span.name) for span in self.receiver.trace(trace_id)]
            raise AssertionError(f"{set(awaited) - set(found)} are not in {found}") from None
        return self.receiver.trace(trace_id)


def caller() -> tuple[str, str, dict[str, str]]:
    """A trace that began at somebody who calls the door."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, {"traceparent": f"00-{trace_id}-{span_id}-01"}


def one(spans: list[Span], service: str, name: str) -> Span:
    (found,) = [span for span in spans if (span.service, span.name) == (service, name)]
    return found


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


@pytest.fixture(scope="module")
async def traced(
    make_settings: MakeSettings, accounts_folder: Folder, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Traced]:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "YEYAK_VIDEO_RENTAL_PICKUP_HOURS": A_MOMENT,
    }
    logs = tmp_path_factory.mktemp("logs")
    async with at_work(make_settings, accounts_folder, logs, **environment) as (system, processes):
        async with door_of(processes) as door:
            video_id = await register(door, system)
        yield Traced(system, processes, receiver, video_id)


async def test_what_a_crash_left_in_the_outbox_keeps_its_trace(traced: Traced) -> None:
    """The first of this file: nothing but this booking may come to the place where the process dies."""
    trace_id, _, headers = caller()
    await traced.processes.arm(RENTALS, f"{RENTALS}:replied=kill")

    await traced.book(**headers)
    booked, started = (VIEW, f"{RENTALS}.video_booked"), (VIEW, f"{RENTALS}.booking_started")
    spans = await traced.trace(trace_id, booked, started)

    lost = one(spans, *booked).parent_id
    assert lost not in {span.span_id for span in spans}, "it died before it could tell of its own span"
    assert {span.parent_id for span in spans if (span.service, span.name) == started} == {lost}


async def test_one_trace_leads_from_the_caller_to_the_view(traced: Traced) -> None:
    trace_id, span_id, headers = caller()

    answer = await traced.book(**headers)
    spans = await traced.trace(
        trace_id,
        *(("gateway", "POST /v1/video-rental/rentals"), ("gateway", f"ask {BOOK}"), (RENTALS, BOOK)),
        *((RENTALS, f"ask {PAY}"), ("payments", PAY)),
        *((VIEW, f"{RENTALS}.video_booked"), (VIEW, "payments.payment_approved")),
    )

    assert answer.status_code == 201
    door = one(spans, "gateway", "POST /v1/video-rental/rentals")
    asks = one(spans, "gateway", f"ask {BOOK}")
    books = one(spans, RENTALS, BOOK)
    asks_for_money = one(spans, RENTALS, f"ask {PAY}")
    pays = one(spans, "payments", PAY)
    shows = one(spans, VIEW, f"{RENTALS}.video_booked")
    shows_the_payment = one(spans, VIEW, "payments.payment_approved")
    below = [(door, span_id), (asks, door.span_id), (books, asks.span_id), (asks_for_money, books.span_id)]
    below += [(pays, asks_for_money.span_id), (shows, books.span_id), (shows_the_payment, pays.span_id)]
    assert [(span.name, span.parent_id) for span, _ in below] == [(span.name, parent) for span, parent in below]
    assert (door.kind, asks.kind, books.kind, shows.kind) == ("SERVER", "CLIENT", "SERVER", "CONSUMER")
    assert door.attributes["http.response.status_code"] == "201"
    assert books.attributes["yeyak.story_id"] == answer.json()["rental_id"]
    assert {span.attributes["yeyak.outcome"] for span in (door, asks, books, pays, shows)} == {"done"}
    assert all(span.began <= span.ended for span in spans)


async def test_a_timer_goes_on_with_the_trace_in_which_it_was_set(traced: Traced) -> None:
    trace_id, _, headers = caller()

    await traced.book(**headers)
    spans = await traced.trace(
        trace_id, (VIEW, f"{RENTALS}.booking_cancelled"), (VIEW, "payments.refund_succeeded"), (RENTALS, BOOK)
    )

    cancelled = one(spans, VIEW, f"{RENTALS}.booking_cancelled")
    (cancels,) = [span for span in spans if span.span_id == cancelled.parent_id]
    assert (cancels.service, cancels.kind) == (RENTALS, "CONSUMER")
    assert cancels.parent_id == one(spans, RENTALS, BOOK).span_id
    assert [span.service for span in spans if span.parent_id == cancels.span_id and span.service != VIEW]


async def test_without_a_trace_of_the_callers_one_begins_at_the_door(traced: Traced) -> None:
    await traced.book()

    async def begun() -> Any:
        return [span for span in traced.receiver.spans if span.service == "gateway" and not span.parent_id]

    for door in await eventually(begun):
        assert door.name.partition(" ")[2].startswith("/v1/video-rental/")


async def test_where_nothing_is_traced_nothing_is_carried(make_settings: MakeSettings) -> None:
    system = await System(await make_settings(), "video_rental").open()
    await system.start(*system.names)
    heard: list[aio_pika.abc.AbstractIncomingMessage] = []
    channel = await system.connection.channel()
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind("yeyak.events", "#")

    async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        heard.append(message)

    await queue.consume(hear, no_ack=True)
    try:
        await system.done(system.booking(await system.video()), id=uuid4())
        await system.wait_until_idle()
        kept = await system.rows(RENTALS, "select traceparent from video_rental_rentals.inbox")
    finally:
        await system.close()
    assert {message.type for message in heard} >= {f"{RENTALS}.video_booked", "payments.payment_approved"}
    assert [message.type for message in heard if "traceparent" in message.headers] == []
    assert {row["traceparent"] for row in kept} == {None}


def test_not_to_trace_costs_a_look_at_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "on", None)
    holder = SimpleNamespace(tracing=tracing)

    took = min(timeit.repeat("holder.tracing.on is not None", globals={"holder": holder}, number=100_000, repeat=5))

    assert took / 100_000 < 1e-6


def test_an_endpoint_that_does_not_answer_delays_no_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    tracing.start()
    assert tracing.on is not None
    tracing.on.begin("here", "something", "INTERNAL", "").end()

    took = timeit.timeit(tracing.stop, number=1)

    assert tracing.on is None
    assert took < tracing.LEAVE_SECONDS + 1
