"""Who may keep a connection, and what a client without a token may do. Gateway processes, real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest

from gateway_api.connections import Connections, network_of
from tests.gateway_api.edge import PATIENCE, GatewayProcess, closes, gateway_process, neighbour_of, status_of, token
from tests.support.processes import free_port

LIVE = b"GET /live HTTP/1.1\r\nHost: gateway\r\n\r\n"


@contextmanager
def silent_connections(gateway: GatewayProcess, number: int, source: str = "") -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(gateway.connect(source)) for _ in range(number)]


def answers(connection: socket.socket) -> bool:
    connection.sendall(LIVE)
    return status_of(connection) == 200


# -- places


@pytest.mark.parametrize("limit", ["YEYAK_GATEWAY_CONNECTIONS", "YEYAK_GATEWAY_CONNECTIONS_PER_ADDRESS"])
def test_a_thousand_connections_that_send_nothing_take_no_place_from_others(limit):
    with gateway_process(**{limit: "50"}) as gateway:
        with neighbour_of(gateway) as neighbour, silent_connections(gateway, 1_000) as silent:
            assert all(closes(connection) for connection in silent[:900])

        assert neighbour.is_served
        assert gateway.limited(limit.removeprefix("YEYAK_GATEWAY_").lower()) >= 900


def test_a_client_of_one_address_ends_no_connection_of_another():
    with gateway_process(YEYAK_GATEWAY_CONNECTIONS="40") as gateway, gateway.connect("127.0.0.3") as idle:
        assert answers(idle)

        with silent_connections(gateway, 200, "127.0.0.2") as silent:
            assert all(closes(connection) for connection in silent[:150])
            assert answers(idle)


def test_slow_heads_take_no_place_from_others():
    with gateway_process(YEYAK_GATEWAY_CONNECTIONS="40") as gateway:
        with neighbour_of(gateway) as neighbour, silent_connections(gateway, 200) as slow:
            for connection in slow:
                with suppress(ConnectionError):
                    connection.sendall(b"GET /live HTTP/1.1\r\nX: ")

        assert neighbour.is_served


def test_probes_at_the_private_port_need_no_place():
    health = free_port()
    settings = {"YEYAK_GATEWAY_CONNECTIONS": "1", "YEYAK_HEALTH_PORT": str(health)}
    with gateway_process(**settings) as gateway, gateway.connect() as only:
        assert answers(only)

        with httpx.Client(base_url=f"http://127.0.0.1:{health}", timeout=PATIENCE) as probe:
            assert [probe.get("/live").status_code for _ in range(3)] == [200] * 3
            assert answers(only)


def test_probes_are_answered_at_the_public_port_while_all_places_are_taken():
    with gateway_process(YEYAK_GATEWAY_CONNECTIONS="20") as gateway, silent_connections(gateway, 100):
        assert httpx.get(f"{gateway.url}/live", timeout=PATIENCE).status_code == 200
        assert httpx.get(f"{gateway.url}/ready", timeout=PATIENCE).status_code == 503  # no broker


def test_a_stop_does_not_wait_for_idle_connections():
    with gateway_process() as gateway:
        silent = gateway.connect()
        half = gateway.connect()
        half.sendall(b"GET /live HTTP/1.1\r\nX: ")

    assert closes(silent)
    assert closes(half)


# -- clients without a valid token


def test_failing_authentication_is_limited_by_address_and_valid_tokens_pass():
    with gateway_process(YEYAK_GATEWAY_FAILURES="0.001") as gateway:
        with httpx.Client(base_url=gateway.url, timeout=PATIENCE) as attacker:
            refused = [_page(attacker, f"guess-{number}") for number in range(3)]
            valid = _page(attacker, token())
        transport = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(base_url=gateway.url, timeout=PATIENCE, transport=transport) as other:
            elsewhere = _page(other, "guess")

        assert [answer.status_code for answer in refused] == [401, 429, 429]
        assert refused[-1].json()["code"] == "too_many_requests"
        assert int(refused[-1].headers["retry-after"]) > 0
        assert valid.status_code == 503  # there is no broker
        assert elsewhere.status_code == 401
        assert gateway.limited("failures") == 2


def test_behind_a_trusted_proxy_failures_are_counted_by_the_address_that_it_names():
    settings = {"YEYAK_GATEWAY_FAILURES": "0.001", "YEYAK_GATEWAY_TRUSTED_PROXIES": '["127.0.0.1/32"]'}
    with gateway_process(**settings) as gateway, httpx.Client(base_url=gateway.url, timeout=PATIENCE) as proxy:
        clients = ["203.0.113.7", "203.0.113.7", "203.0.113.8", "2001:db8::1", "2001:db8::2"]
        statuses = [_page(proxy, "guess", {"x-forwarded-for": client}).status_code for client in clients]

    assert statuses == [401, 429, 401, 401, 429]


def test_nobody_else_names_the_address_of_a_client():
    with gateway_process(YEYAK_GATEWAY_FAILURES="0.001") as gateway, httpx.Client(base_url=gateway.url) as client:
        statuses = [_page(client, "guess", {"x-forwarded-for": f"203.0.113.{n}"}).status_code for n in range(2)]

    assert statuses == [401, 429]


def _page(client: httpx.Client, bearer: str, headers: dict[str, str] | None = None) -> httpx.Response:
    authorization = {"authorization": f"Bearer {bearer}"}
    return client.get("/v1/video-rental/my-page", headers=authorization | (headers or {}))


# -- the rules


class Place:
    evicted = False

    def evict(self) -> None:
        self.evicted = True


def test_the_longest_waiting_connection_of_the_most_crowded_address_gives_way():
    connections = Connections(limit=4, per_address=0)
    first, second, third, neighbour, newcomer = places = [Place() for _ in range(5)]
    connections.admit(neighbour, "192.0.2.1")
    for place in (first, second, third):
        connections.admit(place, "192.0.2.2")
    connections.is_served(first)

    assert connections.admit(newcomer, "192.0.2.3")
    assert [place.evicted for place in places] == [False, True, False, False, False]
    assert len(connections) == 4


def test_connections_that_are_being_served_keep_their_places():
    connections = Connections(limit=2, per_address=0)
    served = [Place(), Place()]
    for place in served:
        connections.admit(place, "192.0.2.1")
        connections.is_served(place)

    assert not connections.admit(Place(), "192.0.2.2")
    connections.waits(served[1])
    assert connections.admit(Place(), "192.0.2.2")
    assert [place.evicted for place in served] == [False, True]


def test_a_trusted_proxy_may_open_any_number():
    connections = Connections(limit=0, per_address=2, trusted=["10.0.0.0/8"])
    proxied, direct = [Place() for _ in range(5)], [Place() for _ in range(3)]

    assert all(connections.admit(place, "10.1.2.3") for place in proxied)
    assert all(connections.admit(place, "192.0.2.1") for place in direct)
    assert [place.evicted for place in proxied + direct] == [False] * 5 + [True, False, False]


def test_nothing_is_remembered_of_closed_connections():
    connections = Connections(limit=0, per_address=0)
    places = [Place() for _ in range(10)]
    for number, place in enumerate(places):
        connections.admit(place, f"192.0.2.{number}")
    for place in places * 2:
        connections.release(place)

    assert len(connections) == 0
    assert not connections._addresses


def test_ipv6_addresses_of_one_network_are_one_client():
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")
