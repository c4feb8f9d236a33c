"""The event streams of the console are few for one person and limited in all; a gateway process on a real broker."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack

import httpx
import pytest

from tests.gateway_api.edge import PATIENCE, GatewayProcess, gateway_process, status_of
from tests.support import servers as support
from tests.support.servers import Servers
from workers.runtime.messaging import topology


@pytest.fixture
async def broker(servers: Servers) -> AsyncIterator[str]:
    amqp_url = await support.create_vhost(servers)
    await topology.apply(amqp_url, topology.plan([]))
    yield amqp_url
    await support.delete_vhost(servers, amqp_url)


async def test_the_event_streams_of_a_person_are_few_and_those_of_all_limited(broker):
    await asyncio.to_thread(_open_too_many, broker)


def _open_too_many(broker: str) -> None:
    limits = {"YEYAK_GATEWAY_STREAMS_PER_PERSON": "3", "YEYAK_GATEWAY_STREAMS": "4"}
    with gateway_process(YEYAK_AMQP_URL=broker, **limits) as gateway, ExitStack() as stack:
        _await_ready(gateway)
        kim, lee = _sign_in(gateway, "kim"), _sign_in(gateway, "lee")
        streams = [stack.enter_context(gateway.connect()) for _ in range(6)]
        statuses = [_open_stream(stream, kim if n < 4 else lee) for n, stream in enumerate(streams)]
        streams[0].close()
        another = stack.enter_context(gateway.connect())
        _until_open(another, lee)

        assert statuses == [200, 200, 200, 429, 200, 503]
        assert gateway.limited("streams_per_person") == 1
        assert gateway.limited("streams") >= 1


def _open_stream(connection: socket.socket, cookie: str) -> int:
    connection.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
    return status_of(connection)


def _until_open(connection: socket.socket, cookie: str) -> None:
    """Ask again until the gateway has seen that a stream was closed."""
    deadline = time.monotonic() + PATIENCE
    while _open_stream(connection, cookie) != 200:
        assert time.monotonic() < deadline


def _await_ready(gateway: GatewayProcess) -> None:
    deadline = time.monotonic() + PATIENCE
    while httpx.get(f"{gateway.url}/ready", timeout=PATIENCE).status_code != 200:
        assert time.monotonic() < deadline


def _sign_in(gateway: GatewayProcess, person: str) -> str:
    """Sign in at the console; returns the cookies."""
    with httpx.Client(base_url=gateway.url, timeout=PATIENCE) as browser:
        csrf = re.search('name="csrf" value="([^"]*)"', browser.get("/sign-in").text)
        assert csrf
        fields = {"csrf": csrf[1], "subject": person, "role": "customer", "next": "/"}
        assert browser.post("/sign-in", data=fields).status_code == 303
        return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
