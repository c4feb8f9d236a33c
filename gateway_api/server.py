"""The HTTP/1.1 protocol of the gateway: uvicorn's, with limits on what a client may send and on how long it may take.

A request passes head, body and response. Its client has `header_seconds` for the head and `body_seconds` for the body;
what exceeds a limit is answered with a problem, and the connection is closed. A connection whose client is still
sending is closed in two steps, so that the answer is not lost with the rest of the request: the server's side first,
the other once the client has stopped, or has sent `DRAIN_BYTES` or taken `DRAIN_SECONDS` more.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from http import HTTPStatus
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway_api import metrics
from gateway_api.connections import Connections
from gateway_api.language import Language, preferred
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings

DRAIN_BYTES = 16 * 1024 * 1024
DRAIN_SECONDS = 8.0
WRITE_BUFFER_BYTES = 16 * 1024
"""What may wait to be read by the client, beside one part of the response, before the response pauses."""
MAX_PIPELINED = 8
"""Requests that wait on a connection while another is being answered."""
MAX_CHUNKS = 1024
"""Parts of a chunked body; each costs the same however small it is."""

_NOT_ASCII = re.compile(rb"[\x80-\xff]")


class Phase(Enum):
    BETWEEN = auto()
    """No request has begun, or one was received wholly."""
    HEAD = auto()
    BODY = auto()


class LimitError(Exception):
    """Raised in a callback of the parser, which ends the parsing."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What the connections of one server share."""

    settings: GatewaySettings
    connections: Connections


def protocol_of(settings: GatewaySettings) -> type[EdgeProtocol]:
    """Return the class to pass to uvicorn as `http`; raises ValueError for a proxy that is no network."""
    limits = Connections(
        settings.gateway_connections, settings.gateway_connections_per_address, settings.gateway_trusted_proxies
    )

    class GatewayProtocol(EdgeProtocol):
        edge = Edge(settings, limits)

    return GatewayProtocol


class EdgeProtocol(HttpToolsProtocol):
    """One connection."""

    edge: ClassVar[Edge]

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._socket: asyncio.Transport | None = None
        self._phase = Phase.BETWEEN
        self._message = 0
        """How many requests have begun."""
        self._line_open = False
        """Whether the next bytes continue a request line."""
        self._fed = self._head = self._drained = self._chunks = 0
        """Bytes of this call, bytes of this head, bytes after the response, chunks of this body."""
        self._limit: tuple[str, str] | None = None
        """The limit that was exceeded, and the code of the problem."""
        self._timer: asyncio.TimerHandle | None = None
        self._timed: tuple[int, Phase] | None = None
        self._closing = False
        self._lingers = True

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._socket = transport
        transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        super().connection_made(cast(asyncio.Transport, ClosingTransport(transport, self._close)))
        host = self.client[0] if self.client else ""
        private = self.server is not None and self.server[1] == self.edge.settings.health_port
        if private or self.edge.connections.admit(self, host):
            self._start_timer(self.edge.settings.gateway_header_seconds)
        else:
            self._answer("unavailable")
            self._end(linger=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._stop_timer()
        self.edge.connections.release(self)
        super().connection_lost(exc)

    def evict(self) -> None:
        self._abort()

    # -- what the client sends

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._drain(len(data))
            return
        message, between = self._message, self._phase is Phase.BETWEEN
        if between or self._line_open:
            data = self._encoded(data)
        self._fed = len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._phase is Phase.HEAD:
            if self._message == message or (between and self._message == message + 1):
                self._head += len(data)
            self._check_head(self._head)
        elif self._phase is Phase.BODY and self.cycle.response_complete:
            self._drain(len(data))
        self._watch()

    def _encoded(self, data: bytes) -> bytes:
        """Return the data with the characters of its first line encoded that a URL cannot hold: `강남` as `%EA...`."""
        self._line_open = b"\n" not in data
        if data.isascii():
            return data
        line, newline, rest = data.partition(b"\n")
        return _NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], line) + newline + rest

    def on_message_begin(self) -> None:
        self._phase = Phase.HEAD
        self._message += 1
        self._head = self._drained = self._chunks = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > self.edge.settings.gateway_header_count:
            self._exceed("header_count", "headers_too_large")

    def on_headers_complete(self) -> None:
        bound = self._head + self._fed
        if bound > self.edge.settings.gateway_header_bytes:
            bound = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        self._check_head(bound, complete=True)
        if len(self.pipeline) >= MAX_PIPELINED:
            self._exceed("pipelined", "too_many_requests")
        super().on_headers_complete()
        self._phase = Phase.BODY

    def on_chunk_header(self) -> None:
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            self._exceed("chunks", "too_large")

    def on_message_complete(self) -> None:
        self._phase = Phase.BETWEEN
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._closing:
            return
        if self._phase is Phase.BODY:
            self._start_timer(DRAIN_SECONDS)
            self._timed = (self._message, self._phase)
        if self.cycle.response_complete:
            self.edge.connections.waits(self)

    # -- what the client does not read

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_timer(self.edge.settings.gateway_body_seconds)
        self.edge.connections.waits(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_timer()
        self._watch()

    # -- limits

    def _check_head(self, size: int, *, complete: bool = False) -> None:
        limits = self.edge.settings
        if len(self.url) > limits.gateway_target_bytes:
            self._limit = ("target_bytes", "uri_too_long")
        elif size > limits.gateway_header_bytes:
            self._limit = ("header_bytes", "headers_too_large")
        if self._limit and complete:
            raise LimitError
        if self._limit:
            self.send_400_response("")

    def _exceed(self, limit: str, code: str) -> None:
        self._limit = (limit, code)
        raise LimitError

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or exceeds a limit; uvicorn calls it when the parser fails."""
        self._limit = self._limit or ("malformed", "bad_request")
        metrics.LIMITED.labels(self._limit[0]).inc()
        self._answer(self._limit[1])
        self._end()

    def _watch(self) -> None:
        """Set the time limit of the phase in which the request is now; one that does not read has its own."""
        if self.flow.write_paused:
            return
        if self._phase is not Phase.BETWEEN:
            if self._timed != (self._message, self._phase):
                limits, in_head = self.edge.settings, self._phase is Phase.HEAD
                self._start_timer(limits.gateway_header_seconds if in_head else limits.gateway_body_seconds)
                self._timed = (self._message, self._phase)
                self.edge.connections.waits(self)
        elif self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()
            self.edge.connections.is_served(self)
        elif self._timer is None or self._timed is not None:
            self._start_timer(self.edge.settings.gateway_keep_alive_seconds)

    def _expire(self) -> None:
        limit = "body_seconds" if self._phase is Phase.BODY else "header_seconds"
        metrics.LIMITED.labels("reading_seconds" if self.flow.write_paused else limit).inc()
        if self._phase is not Phase.BETWEEN:
            self._answer("request_timeout")
        self._end(linger=False)

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self._abort if self._closing else self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._timed = None

    # -- the end

    def _answer(self, code: str) -> None:
        """Write a problem, unless the response to a request is being written or outstanding."""
        responding = self.cycle is not None and not self.cycle.response_complete
        if self._phase is Phase.BODY and not self.pipeline:
            responding = self.cycle.response_started
        if not responding:
            metrics.REFUSALS.labels("unmatched", code).inc()
            accepted = dict(self.headers or ()).get(b"accept-language", b"").decode("latin-1")
            self.transport.write(_problem(code, preferred(accepted)))

    def _end(self, *, linger: bool = True) -> None:
        self._lingers = linger
        self.transport.close()

    def _close(self) -> None:
        """Close the connection, in two steps while its client is sending; called once, by the transport."""
        if self._closing or self._socket is None:
            return
        self._closing = True
        sending = self._limit is not None or self._phase is Phase.BODY
        if self._lingers and sending and not self._socket.is_closing():
            self._socket.write_eof()
            self.flow.resume_reading()
        else:
            self._socket.close()
        self._start_timer(DRAIN_SECONDS)

    def _drain(self, size: int) -> None:
        self._drained += size
        if self._drained > DRAIN_BYTES:
            metrics.LIMITED.labels("drained_bytes").inc()
            self._abort()

    def _abort(self) -> None:
        self._closing = True
        self.transport.abort()


class ClosingTransport(asyncio.Transport):
    """A transport whose `close` is done by the protocol; nothing is written after it."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        super().__init__()
        self._transport = transport
        self._close = close
        self._closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._closed or self._transport.is_closing()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._close()

    def abort(self) -> None:
        self._closed = True
        self._transport.abort()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_closing():
            self._transport.write(data)

    def pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


@cache
def _problem(code: str, language: Language) -> bytes:
    """Return a whole HTTP response, after which the connection is closed."""
    response = Problem(code).response(language)
    status = HTTPStatus(response.status_code)
    lines = [b"HTTP/1.1 %d %s" % (status, status.phrase.encode()), b"connection: close"]
    lines += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body)
