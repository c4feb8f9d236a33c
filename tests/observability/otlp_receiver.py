"""A small OTLP receiver: keeps the spans that are sent to it."""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent

KINDS = {number: name.removeprefix("SPAN_KIND_") for name, number in Sent.SpanKind.items()}


@dataclass(frozen=True)
class Span:
    """A span as the receiver read it."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str] = field(hash=False)
    began: int
    ended: int


class Receiver:
    """An OTLP endpoint on 127.0.0.1 that keeps every span until it is closed."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.requests = 0
        keep = self._keep

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                keep(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of one trace in the order in which they began."""
        return sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.began)

    def _keep(self, body: bytes) -> None:
        self.requests += 1
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [_span(named["service.name"], sent) for sent in scope.spans]


def _span(service: str, sent: Sent) -> Span:
    return Span(
        service=service,
        name=sent.name,
        kind=KINDS[sent.kind],
        trace_id=sent.trace_id.hex(),
        span_id=sent.span_id.hex(),
        parent_id=sent.parent_span_id.hex(),
        attributes={pair.key: pair.value.string_value or str(pair.value.int_value) for pair in sent.attributes},
        began=sent.start_time_unix_nano,
        ended=sent.end_time_unix_nano,
    )
