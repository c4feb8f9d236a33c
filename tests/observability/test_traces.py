"""One trace leads from the gateway to the view: over requests, events, the outbox relay and timers."""

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
from tests.observability.conftest import KEY, booking, gateway_client, register, running_system
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
        async with gateway_client(self.processes) as client:
            return await client.post("/v1/video-rental/rentals", json=booking(self.video_id), headers=headers)

    async def trace(self, trace_id: str, *awaited: tuple[str, str]) -> list[Span]:
        """Return the trace once it has spans of these services and names."""

        async def arrived() -> bool:
            return set(awaited) <= {(span.service, span.name) for span in self.receiver.trace(trace_id)}

        try:
            await eventually(arrived, within=20)
        except AssertionError:
            found = [(span.service, span.name) for span in self.receiver.trace(trace_id)]
            raise AssertionError(f"{set(awaited) - set(found)} are not in {found}") from None
        return self.receiver.trace(trace_id)


def caller() -> tuple[str, str, dict[str, str]]:
    """Return the ids and the header of a trace that began at a caller of the gateway."""
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
    async with running_system(make_settings, accounts_folder, logs, **environment) as (system, processes):
        async with gateway_client(processes) as client:
            video_id = await register(client, system)
        yield Traced(system, processes, receiver, video_id)


async def test_a_message_that_a_crash_left_in_the_outbox_keeps_its_trace(traced: Traced) -> None:
    """Must be the first test of this file: only this booking may pass the armed failpoint."""
    trace_id, _, headers = caller()
    await traced.processes.arm(RENTALS, f"{RENTALS}:replied=kill")

    await traced.book(**headers)
    booked, started = (VIEW, f"{RENTALS}.video_booked"), (VIEW, f"{RENTALS}.booking_started")
    spans = await traced.trace(trace_id, booked, started)

    lost = one(spans, *booked).parent_id
    assert lost not in {span.span_id for span in spans}, "it died before it could export its own span"
    assert {span.parent_id for span in spans if (span.service, span.name) == started} == {lost}


async def test_one_trace_leads_from_the_caller_to_the_view(traced: Traced) -> None:
    trace_id, span_id, headers = caller()

    answer = await traced.book(**headers)
    spans = await traced.trace(
        trace_id,
        *(("gateway", "POST /v1/video-rental/rentals"), ("gateway", f"request {BOOK}"), (RENTALS, BOOK)),
        *((RENTALS, f"request {PAY}"), ("payments", PAY)),
        *((VIEW, f"{RENTALS}.video_booked"), (VIEW, "payments.payment_approved")),
    )

    assert answer.status_code == 201
    root = one(spans, "gateway", "POST /v1/video-rental/rentals")
    request = one(spans, "gateway", f"request {BOOK}")
    booking_span = one(spans, RENTALS, BOOK)
    payment_request = one(spans, RENTALS, f"request {PAY}")
    payment_span = one(spans, "payments", PAY)
    view_span = one(spans, VIEW, f"{RENTALS}.video_booked")
    view_payment_span = one(spans, VIEW, "payments.payment_approved")
    below = [
        (root, span_id),
        (request, root.span_id),
        (booking_span, request.span_id),
        (payment_request, booking_span.span_id),
    ]
    below += [
        (payment_span, payment_request.span_id),
        (view_span, booking_span.span_id),
        (view_payment_span, payment_span.span_id),
    ]
    assert [(span.name, span.parent_id) for span, _ in below] == [(span.name, parent) for span, parent in below]
    assert (root.kind, request.kind, booking_span.kind, view_span.kind) == ("SERVER", "CLIENT", "SERVER", "CONSUMER")
    assert root.attributes["http.response.status_code"] == "201"
    assert booking_span.attributes["yeyak.story_id"] == answer.json()["rental_id"]
    assert {span.attributes["yeyak.outcome"] for span in (root, request, booking_span, payment_span, view_span)} == {
        "done"
    }
    assert all(span.began <= span.ended for span in spans)


async def test_a_timer_continues_the_trace_in_which_it_was_set(traced: Traced) -> None:
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


async def test_without_a_traceparent_a_trace_begins_at_the_gateway(traced: Traced) -> None:
    await traced.book()

    async def begun() -> Any:
        return [span for span in traced.receiver.spans if span.service == "gateway" and not span.parent_id]

    for root in await eventually(begun):
        assert root.name.partition(" ")[2].startswith("/v1/video-rental/")


async def test_without_tracing_no_message_carries_a_traceparent(make_settings: MakeSettings) -> None:
    settings = await make_settings(payments_provider_ms=5000, video_rental_payment_ms=8000)
    system = await System(settings, "video_rental").open()
    await system.start(*system.names)
    received: list[aio_pika.abc.AbstractIncomingMessage] = []
    channel = await system.connection.channel()
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind("yeyak.events", "#")

    async def receive(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        received.append(message)

    await queue.consume(receive, no_ack=True)
    try:
        await system.done(system.booking(await system.video()), id=uuid4())
        await system.wait_until_idle()
        kept = await system.rows(RENTALS, "select traceparent from video_rental_rentals.inbox")
    finally:
        await system.close()
    assert {message.type for message in received} >= {f"{RENTALS}.video_booked", "payments.payment_approved"}
    assert [message.type for message in received if "traceparent" in message.headers] == []
    assert {row["traceparent"] for row in kept} == {None}


def test_disabled_tracing_costs_less_than_a_microsecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "on", None)
    holder = SimpleNamespace(tracing=tracing)

    took = min(timeit.repeat("holder.tracing.on is not None", globals={"holder": holder}, number=100_000, repeat=5))

    assert took / 100_000 < 1e-6


def test_an_unavailable_trace_endpoint_does_not_delay_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    tracing.start()
    assert tracing.on is not None
    tracing.on.begin("here", "something", "INTERNAL", "").end()

    took = timeit.timeit(tracing.stop, number=1)

    assert tracing.on is None
    assert took < tracing.SHUTDOWN_SECONDS + 1
