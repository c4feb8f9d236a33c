"""What one request may cost: its size, its parts, its time. The gateway is a process, the clients write raw bytes."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import httpx
import pytest

from tests.gateway_api.edge import (
    PATIENCE,
    GatewayProcess,
    closes,
    gateway_process,
    neighbour_of,
    read_all,
    token,
)

MEGABYTE = 1024 * 1024
ORDER = b"POST /v1/cafe/orders HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %s\r\n"


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with gateway_process() as process:
        yield process


@pytest.fixture(scope="module")
def impatient() -> Iterator[GatewayProcess]:
    """A gateway that gives its clients little time."""
    with gateway_process(
        YEYAK_GATEWAY_HEADER_SECONDS="0.5", YEYAK_GATEWAY_BODY_SECONDS="1", YEYAK_GATEWAY_KEEP_ALIVE_SECONDS="1"
    ) as process:
        yield process


def order(more: bytes) -> bytes:
    return ORDER % token().encode() + more + b"\r\n\r\n"


# -- size


def test_an_endless_header_is_refused_at_64_kib_and_the_connection_closed(gateway):
    with neighbour_of(gateway) as neighbour:
        refused = gateway.send(b"GET /live HTTP/1.1\r\nX: ", *[b"a" * MEGABYTE] * 64)

    assert refused.status == 431
    assert json.loads(refused.body)["code"] == "headers_too_large"
    assert neighbour.is_served
    assert gateway.limited("header_bytes") >= 1


def test_an_endless_header_is_refused_without_waiting_for_its_end(gateway):
    with gateway.connect() as connection:
        connection.sendall(b"GET /live HTTP/1.1\r\nX: " + b"a" * 70_000)

        assert read_all(connection).status == 431


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET /live HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n", 431, "headers_too_large"),
        (b"GET /live HTTP/1.1\r\n" + b"a: b\r\n" * 50_000, 431, "headers_too_large"),
        (b"GET /live HTTP/1.1\r\n" + b"a: %s\r\n" % (b"b" * 1000) * 70 + b"\r\n", 431, "headers_too_large"),
        (b"GET /live?%s HTTP/1.1\r\nHost: gateway\r\n\r\n" % (b"a" * 9000), 414, "uri_too_long"),
        (b"GET /%s" % (b"a" * 9000), 414, "uri_too_long"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
        (b"GET /live HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400, "bad_request"),
    ],
)
def test_what_exceeds_a_limit_is_answered_with_a_problem_that_the_metrics_see(gateway, request_, status, code):
    refused = gateway.send(request_)

    assert refused.status == status
    assert b"content-type: application/problem+json" in refused.bytes
    assert json.loads(refused.body)["code"] == code
    assert f'yeyak_gateway_refusals_total{{code="{code}",route="unmatched"}}' in gateway.metrics()


def test_a_head_within_the_limits_is_accepted(gateway):
    head = b"GET /live?%s HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n" % (b"a" * 8000)
    head += b"a: %s\r\n" % (b"b" * 500) * 90

    assert gateway.send(head, b"\r\n").status == 200


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_the_refusal_of_a_large_body_reaches_a_client_that_sends_all_of_it_first(gateway, connection):
    headers = {"authorization": f"Bearer {token()}", "connection": connection}
    request = urllib.request.Request(f"{gateway.url}/v1/cafe/orders", b"a" * 8 * MEGABYTE, headers)

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=PATIENCE)

    assert refused.value.code == 413
    assert json.load(refused.value)["code"] == "too_large"


def test_after_the_refusal_of_a_large_body_the_connection_serves_the_next_request(gateway):
    with httpx.Client(base_url=gateway.url, timeout=PATIENCE) as client:
        headers = {"authorization": f"Bearer {token()}"}
        refused = client.post("/v1/cafe/orders", content=b"a" * 8 * MEGABYTE, headers=headers)
        following = client.get("/live")

    assert (refused.status_code, following.status_code) == (413, 200)


def test_a_body_without_end_is_not_read_for_ever(gateway):
    with neighbour_of(gateway) as neighbour:
        refused = gateway.send(order(b"Content-Length: 999999999"), *[b"a" * MEGABYTE] * 200)

    assert refused.status in (0, 413)  # the client sends on after its answer, so that it may be lost
    assert neighbour.is_served
    assert gateway.limited("drained_bytes") >= 1


def test_a_body_in_tiny_chunks_is_refused(gateway):
    refused = gateway.send(order(b"Transfer-Encoding: chunked"), b"1\r\na\r\n" * 60_000 + b"0\r\n\r\n")

    assert refused.status == 413
    assert gateway.limited("chunks") >= 1


def test_requests_without_waiting_for_responses_are_limited(gateway):
    with neighbour_of(gateway) as neighbour:
        gateway.send(b"GET /live HTTP/1.1\r\nHost: gateway\r\n\r\n" * 5_000)

    assert neighbour.is_served
    assert gateway.limited("pipelined") >= 1


def test_a_few_requests_without_waiting_are_all_answered(gateway):
    requests = b"GET /live HTTP/1.1\r\nHost: gateway\r\n\r\n" * 5
    last = b"GET /live HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"

    assert gateway.send(requests + last).bytes.count(b"HTTP/1.1 200 OK") == 6


@pytest.mark.parametrize("cut", [1000, 18, 25])
def test_characters_in_the_request_line_that_a_url_cannot_hold_are_accepted(gateway, cut):
    request = "GET /problems/강남역?location=강남역 HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n".encode()
    with gateway.connect() as connection:
        connection.sendall(request[:cut])
        connection.sendall(request[cut:])
        answer = read_all(connection)

    assert answer.status == 404
    assert json.loads(answer.body)["code"] == "not_found"


def test_a_query_that_is_not_encoded_reaches_its_route(gateway):
    head = "GET /v1/bike-sharing/bikes?location=강남역 HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
    answer = gateway.send(head.encode() + b"Authorization: Bearer %s\r\n\r\n" % token().encode())

    assert answer.status == 503  # there is no broker
    assert json.loads(answer.body)["code"] == "unavailable"


# -- time


def test_a_client_that_sends_nothing_is_disconnected(impatient):
    with impatient.connect() as connection:
        assert closes(connection)


def test_a_client_that_sends_only_empty_lines_is_disconnected(impatient):
    with impatient.connect() as connection:
        assert _drips(connection, b"", b"\r\n") is not None


def test_a_head_that_comes_slowly_is_refused(impatient):
    with neighbour_of(impatient) as neighbour, impatient.connect() as connection:
        answer = _drips(connection, b"GET /live HTTP/1.1\r\nX: ", b"a")

    assert b"HTTP/1.1 408 " in answer
    assert neighbour.is_served
    assert impatient.limited("header_seconds") >= 1


def test_a_body_that_comes_slowly_is_refused(impatient):
    with neighbour_of(impatient) as neighbour, impatient.connect() as connection:
        answer = _drips(connection, order(b"Content-Length: 50000"), b"a")

    assert b"HTTP/1.1 408 " in answer
    assert neighbour.is_served
    assert impatient.limited("body_seconds") >= 1


def test_an_idle_connection_is_closed(impatient):
    with impatient.connect() as connection:
        connection.sendall(b"GET /live HTTP/1.1\r\nHost: gateway\r\n\r\n")

        assert read_all(connection).status == 200


def test_a_client_that_does_not_read_is_disconnected(impatient):
    page = b"GET /static/vendor/swagger-ui-dist/swagger-ui-bundle.js HTTP/1.1\r\nHost: gateway\r\n\r\n"
    with impatient.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(page * 8)
        deadline = time.monotonic() + PATIENCE
        while not impatient.limited("reading_seconds"):
            assert time.monotonic() < deadline


def test_a_slow_request_is_no_slow_client(impatient):
    """The time that the gateway takes is not counted as the client's."""
    with httpx.Client(base_url=impatient.url, timeout=PATIENCE) as client:
        statuses = [client.get("/live").status_code for _ in range(50)]

    assert set(statuses) == {200}


def _drips(connection: socket.socket, begin: bytes, drop: bytes) -> bytes:
    """Send a byte now and then until the gateway ends the connection; returns what it answered."""
    connection.sendall(begin)
    connection.settimeout(0.1)
    received = b""
    for _ in range(int(PATIENCE / 0.1)):
        try:
            data = connection.recv(65_536)
        except TimeoutError:
            connection.sendall(drop)
            continue
        except ConnectionError:
            return received
        if not data:
            return received
        received += data
    raise AssertionError("the gateway kept the connection open")
