"""Traces: what one request set in motion, through the door, queues, outbox and timers, until the views show it.

Spans are exported by OTLP over HTTP when `OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`) is set; the other
`OTEL_` variables hold, too. Without it `on` is None, and every place that would begin a span is one `if`.

A message carries the `traceparent` of what said it, and so do outbox rows, timers and retries: what a crash left behind
keeps its trace. A message without one belongs to no trace; traces begin at the door.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from workers.runtime.messaging.envelope import Envelope
    from workers.runtime.messaging.rpc import RpcRequest

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
LEAVE_SECONDS = 2.0
"""How long the end of a process waits for the last spans to be taken."""

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


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
            name, _below(traceparent), kind=SpanKind[kind], attributes=attributes
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
    """Hand over the last spans; an endpoint that does not answer delays nobody for long."""
    global on
    if on is None:
        return
    last = threading.Thread(target=on.processor.shutdown, daemon=True)
    on = None
    last.start()
    last.join(LEAVE_SECONDS)


def header_of(span: Span) -> str:
    """The `traceparent` of what comes of a span."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _below(traceparent: str) -> Any:
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    if not TRACEPARENT.fullmatch(traceparent):
        return Context()
    _, trace, span, flags = traceparent.split("-")
    parent = SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(parent), Context())


# -- the places where spans begin; each is called only while something is traced


def arrive(tracing: Tracing, envelope: Envelope, context: str, traceparent: Any) -> None:
    """A message is taken up: what it says and asks from now on belongs below its span."""
    if not traceparent:
        return
    kind = "SERVER" if envelope.asked else "CONSUMER"
    envelope.span = tracing.begin(context, envelope.topic, kind, str(traceparent), **_ids(envelope))
    envelope.traceparent = header_of(envelope.span)


def ask(tracing: Tracing, request: RpcRequest, context: str) -> Span | None:
    """Something is asked on behalf of what is traced."""
    if not request.traceparent:
        return None
    span = tracing.begin(context, f"ask {request.topic}", "CLIENT", request.traceparent, **_ids(request))
    request.traceparent = header_of(span)
    return span


def show(tracing: Tracing, envelope: Envelope, context: str, traceparent: Any) -> Span | None:
    """A view takes an event up; its span ends when the event is shown."""
    if not traceparent:
        return None
    return tracing.begin(context, envelope.topic, "CONSUMER", str(traceparent), **_ids(envelope))


def end(span: Span, outcome: str) -> None:
    """What was begun has come to this."""
    from opentelemetry.trace import StatusCode

    span.set_attribute("yeyak.outcome", outcome)
    if outcome in ("unknown", "unavailable", "retry", "silence"):
        span.set_status(StatusCode.ERROR, outcome)
    span.end()


def _ids(message: Any) -> dict[str, str]:
    message_id = getattr(message, "id", None) or message.message_id
    return {"message_id": str(message_id), "story_id": str(message.story_id)}
