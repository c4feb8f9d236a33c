"""Traces: what one HTTP request set in motion, through gateway, queues, outbox and timers, until the views show it.

Spans are exported by OTLP over HTTP when `OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`) is set; the other
`OTEL_` variables hold, too. Without it `on` is None, and every place that would begin a span is one `if`.

A message carries the `traceparent` of its sender, and so do outbox rows, timers and retries: what a crash left behind
keeps its trace. A message without one belongs to no trace; traces begin at the gateway.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from contracts.outcomes import FAILURES

if TYPE_CHECKING:
    from opentelemetry.trace import Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SHUTDOWN_SECONDS = 2.0
"""How long the end of a process waits for the export of the last spans."""

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class TracedMessage(Protocol):
    """A message that was received."""

    id: UUID
    topic: str
    story_id: UUID
    traceparent: str
    span: Any

    @property
    def is_request(self) -> bool: ...


class TracedRequest(Protocol):
    """A request that is to be sent."""

    message_id: UUID
    topic: str
    story_id: UUID
    traceparent: str | None


class Tracing:
    """Spans of this process, each under the name of the context that it belongs to."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self._tracers: dict[str, Any] = {}

    def begin(self, service: str, name: str, kind: str, traceparent: str, **attributes: str) -> Span:
        """A span below `traceparent`, or the first of a trace when that is empty; whoever begins it ends it."""
        from opentelemetry.trace import SpanKind

        attributes = {f"yeyak.{key}": value for key, value in attributes.items()}
        span: Span = self._tracer(service).start_span(
            name, _parent_context(traceparent), kind=SpanKind[kind], attributes=attributes
        )
        return span

    def _tracer(self, service: str) -> Any:
        if service not in self._tracers:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider

            resource = Resource.create({"service.namespace": "yeyak", "service.name": service})
            provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            provider.add_span_processor(self.processor)
            self._tracers[service] = provider.get_tracer("yeyak")
        return self._tracers[service]


on: Tracing | None = None
"""None while nothing is traced."""


def start() -> None:
    """Trace from here on, if the environment names an endpoint."""
    global on
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    on = Tracing(BatchSpanProcessor(OTLPSpanExporter()))


def stop() -> None:
    """Export the last spans; an endpoint that does not answer delays the end by two seconds at most."""
    global on
    if on is None:
        return
    last = threading.Thread(target=on.processor.shutdown, daemon=True)
    on = None
    last.start()
    last.join(SHUTDOWN_SECONDS)


def header_of(span: Span) -> str:
    """The `traceparent` of what comes of a span."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _parent_context(traceparent: str) -> Any:
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    if not TRACEPARENT.fullmatch(traceparent):
        return Context()
    _, trace, span, flags = traceparent.split("-")
    parent = SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(parent), Context())


# -- where spans begin; each is called only while something is traced


def receive(tracing: Tracing, envelope: TracedMessage, context: str, traceparent: Any) -> None:
    """Begin the span of a message's handling: what it sends from now on belongs below it."""
    if not traceparent:
        return
    kind = "SERVER" if envelope.is_request else "CONSUMER"
    envelope.span = tracing.begin(context, envelope.topic, kind, str(traceparent), **_ids(envelope))
    envelope.traceparent = header_of(envelope.span)


def send(tracing: Tracing, request: TracedRequest, context: str) -> Span | None:
    """Begin the span of a request on behalf of what is traced."""
    if not request.traceparent:
        return None
    span = tracing.begin(context, f"request {request.topic}", "CLIENT", request.traceparent, **_ids(request))
    request.traceparent = header_of(span)
    return span


def apply(tracing: Tracing, envelope: TracedMessage, context: str, traceparent: Any) -> Span | None:
    """Begin the span of an event that a view applies; it ends when the view shows it."""
    if not traceparent:
        return None
    return tracing.begin(context, envelope.topic, "CONSUMER", str(traceparent), **_ids(envelope))


def end(span: Span, outcome: str) -> None:
    """End a span with its outcome, a refusal by its code."""
    from opentelemetry.trace import StatusCode

    span.set_attribute("yeyak.outcome", outcome)
    if outcome in FAILURES:
        span.set_status(StatusCode.ERROR, outcome)
    span.end()


def _ids(message: Any) -> dict[str, str]:
    message_id = getattr(message, "id", None) or message.message_id
    return {"message_id": str(message_id), "story_id": str(message.story_id)}
