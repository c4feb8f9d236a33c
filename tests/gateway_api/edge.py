"""A gateway process without a broker, and clients that write raw bytes to it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse

import httpx

from contracts.base import Role
from gateway_api.tokens import issue
from tests.support.processes import free_port

KEY = "a-key-for-tests-that-has-at-least-32-bytes"
NOBODY = "amqp://guest:guest@127.0.0.1:1/"
PATIENCE = 60.0
"""Seconds after which a test gives up; nothing takes that long on a machine that works."""


def token(subject: str = "kim", role: Role = "customer") -> str:
    return issue(subject, role, key=KEY)


@dataclass(frozen=True, slots=True)
class RawResponse:
    """What a client read until the gateway closed the connection."""

    status: int
    body: bytes
    bytes: bytes


@dataclass(frozen=True)
class GatewayProcess:
    process: subprocess.Popen[bytes]
    port: int
    health_port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, source: str = "") -> socket.socket:
        """Open a connection, `source` being the client's address."""
        opened = socket.create_connection(("127.0.0.1", self.port), PATIENCE, (source, 0) if source else None)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def send(self, *parts: bytes) -> RawResponse:
        """Send bytes on a connection of their own, as far as the gateway takes them, and read to the end."""
        with self.connect() as connection:
            for part in parts:
                try:
                    connection.sendall(part)
                except (ConnectionResetError, BrokenPipeError):
                    break
            return read_all(connection)

    def limited(self, limit: str) -> float:
        """How often a limit was applied, by the metrics."""
        found = re.search(rf'^yeyak_gateway_limited_total{{limit="{limit}"}} (\S+)$', self.metrics(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.health_port or self.port}/metrics", timeout=PATIENCE).text


def read_all(connection: socket.socket) -> RawResponse:
    """Read until the gateway closes the connection."""
    received = b""
    try:
        while data := connection.recv(65_536):
            received += data
    except ConnectionResetError:
        pass
    head, _, body = received.partition(b"\r\n\r\n")
    return RawResponse(int(head.split()[1]) if head else 0, body, received)


def status_of(connection: socket.socket) -> int:
    """Read a response and return its status; the body of one that does not end is left."""
    response = HTTPResponse(connection)
    response.begin()
    if response.length is not None:
        response.read()
    return response.status


def closes(connection: socket.socket) -> bool:
    """Whether the gateway closes a connection; waits for it."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


@contextmanager
def gateway_process(**settings: str) -> Iterator[GatewayProcess]:
    """Run the gateway with settings; ends with an orderly stop, which must succeed."""
    port = free_port()
    settings = {"YEYAK_GATEWAY_PORT": str(port), "YEYAK_JWT_KEY": KEY, "YEYAK_AMQP_URL": NOBODY, **settings}
    process = subprocess.Popen([sys.executable, "-m", "gateway_api"], env={**os.environ, **settings})
    gateway = GatewayProcess(process, port, int(settings.get("YEYAK_HEALTH_PORT", 0)))
    try:
        _await_start(gateway)
        yield gateway
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def _await_start(gateway: GatewayProcess) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            httpx.get(f"{gateway.url}/live", timeout=PATIENCE)
            return
        except httpx.TransportError:
            if time.monotonic() > deadline or gateway.process.poll() is not None:
                raise
            time.sleep(0.05)


@dataclass
class Neighbour:
    """Another client, who sends one request after the other on connections of its own."""

    statuses: list[int]
    slowest: float = 0.0

    @property
    def is_served(self) -> bool:
        return bool(self.statuses) and set(self.statuses) == {200} and self.slowest < NEIGHBOUR_SECONDS


NEIGHBOUR_SECONDS = 5.0
"""The longest that a neighbour's request may take in a test on a busy machine."""


@contextmanager
def neighbour_of(gateway: GatewayProcess) -> Iterator[Neighbour]:
    """Let a neighbour send requests while an attack runs; at least one of them after its end."""
    neighbour, attack_ended = Neighbour([]), threading.Event()

    def send_requests() -> None:
        last = False
        while not last:
            last = attack_ended.is_set()
            started = time.monotonic()
            try:
                neighbour.statuses.append(httpx.get(f"{gateway.url}/live", timeout=PATIENCE).status_code)
            except httpx.TransportError:
                neighbour.statuses.append(0)
            neighbour.slowest = max(neighbour.slowest, time.monotonic() - started)

    thread = threading.Thread(target=send_requests)
    thread.start()
    try:
        yield neighbour
    finally:
        attack_ended.set()
        thread.join(PATIENCE)
