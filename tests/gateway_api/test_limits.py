"""Rate limits and concurrency limits."""

import asyncio

import pytest

from gateway_api import limits
from gateway_api.limits import Bulkheads, CallerTurns, FailedAttempts, Seats, TokenBuckets
from gateway_api.problems import Problem


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def taken(buckets: TokenBuckets, member: str, tries: int) -> int:
    done = 0
    for _ in range(tries):
        try:
            buckets.take(member)
        except Problem:
            break
        done += 1
    return done


def test_a_burst_of_four_seconds_then_the_rate():
    clock = Clock()
    buckets = TokenBuckets(50, clock)

    assert taken(buckets, "kim", 1000) == 200

    clock.now = 1.0
    assert taken(buckets, "kim", 1000) == 50


def test_one_member_does_not_take_from_another():
    buckets = TokenBuckets(50, Clock())
    taken(buckets, "kim", 1000)

    assert taken(buckets, "lee", 1000) == 200


def test_retry_after_is_in_whole_seconds():
    buckets = TokenBuckets(0.25, Clock())
    taken(buckets, "kim", 10)

    with pytest.raises(Problem) as refused:
        buckets.take("kim")

    assert refused.value.headers["retry-after"] == "4"


def test_a_rate_of_zero_sets_no_limit():
    assert taken(TokenBuckets(0), "kim", 10_000) == 10_000


def test_the_number_of_remembered_members_is_bounded(monkeypatch):
    monkeypatch.setattr(limits, "MEMBERS", 5)
    buckets = TokenBuckets(50, Clock())

    for number in range(20):
        buckets.take(f"member {number}")

    assert len(buckets) == 5


def test_a_full_context_refuses_requests_and_another_one_does_not():
    bulkheads = Bulkheads(2)

    with bulkheads.slot("cafe.menu"), bulkheads.slot("cafe.menu"):
        with pytest.raises(Problem, match="unavailable"), bulkheads.slot("cafe.menu"):
            pass
        with bulkheads.slot("shop.orders"):
            pass

    with bulkheads.slot("cafe.menu"):
        assert bulkheads.in_flight["cafe.menu"] == 1


async def test_one_caller_does_not_fill_a_context():
    turns = CallerTurns(2, patience=0.01)

    async with turns.turn("cafe.menu", "kim"), turns.turn("cafe.menu", "kim"):
        with pytest.raises(Problem, match="too_many_requests") as refused:
            async with turns.turn("cafe.menu", "kim"):
                pass
        async with turns.turn("cafe.menu", "lee"), turns.turn("shop.orders", "kim"):
            pass

    async with turns.turn("cafe.menu", "kim"):
        pass
    assert refused.value.headers["retry-after"] == "1"
    assert not len(turns)


async def test_the_requests_of_a_caller_wait_for_their_turn():
    turns, done, at_once, most = CallerTurns(3, patience=60), 0, 0, 0

    async def request() -> None:
        nonlocal done, at_once, most
        async with turns.turn("cafe.menu", "kim"):
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0)
            at_once -= 1
            done += 1

    await asyncio.gather(*(request() for _ in range(50)))

    assert (done, most, len(turns)) == (50, 3, 0)


def test_the_seats_of_a_person_and_of_all_are_limited_and_given_back():
    seats = Seats(3, per_person=2)

    with seats.seat("kim"), seats.seat("kim"):
        with pytest.raises(Problem, match="too_many_requests"), seats.seat("kim"):
            pass
        with seats.seat("lee"), pytest.raises(Problem, match="unavailable"), seats.seat("park"):
            pass

    assert not seats._taken
    with seats.seat("kim"), seats.seat("park"), seats.seat("park"):
        pass


def test_the_number_of_remembered_addresses_is_bounded(monkeypatch):
    monkeypatch.setattr(limits, "MEMBERS", 5)
    failures = FailedAttempts(1, Clock())

    for number in range(20):
        failures.count((f"192.0.2.{number}", 1))

    assert len(failures) == 5


async def test_too_many_requests_of_one_member_are_refused(make_client):
    client = make_client(gateway_rate=0.5)

    answers = [(await client.get("/v1/video-rental/rentals", as_="customer:kim")) for _ in range(3)]
    other = await client.get("/v1/video-rental/rentals", as_="customer:lee")

    assert [answer.status_code for answer in answers] == [503, 503, 429]
    assert answers[-1].json()["code"] == "too_many_requests"
    assert answers[-1].headers["retry-after"] == "2"
    assert other.status_code == 503


async def test_a_slow_context_does_not_occupy_the_whole_gateway(make_client, rpc):
    client = make_client(gateway_in_flight=2)
    rpc.replies_with("payments.list_payments", {"items": [], "next_cursor": None})
    held = asyncio.Event()
    answer = rpc.call

    async def slow(request, **limits_):
        if request.topic.startswith("video_rental.rentals"):
            await held.wait()
        return await answer(request, **limits_)

    rpc.call = slow
    waiting = [asyncio.create_task(client.get("/v1/video-rental/rentals", as_="staff:lee")) for _ in range(2)]
    while len(waiting) and sum(client._transport.app.state.gateway.gateway.bulkheads.in_flight.values()) < 2:
        await asyncio.sleep(0)

    third = await client.get("/v1/video-rental/rentals", as_="staff:lee")
    neighbour = await client.get("/v1/payments", as_="staff:lee")
    held.set()
    await asyncio.gather(*waiting)

    assert (third.status_code, third.json()["code"], third.headers["retry-after"]) == (503, "unavailable", "1")
    assert neighbour.status_code == 200


async def test_a_caller_with_many_requests_in_flight_is_refused_and_others_are_not(make_client, rpc):
    client = make_client(gateway_in_flight_per_caller=2, gateway_turn_seconds=0.01)
    held, begun = asyncio.Event(), asyncio.Event()
    answer = rpc.call

    async def slow(request, **limits_):
        reply = await answer(request, **limits_)
        if request.actor == "customer:kim":
            if len(rpc.requests) == 2:
                begun.set()
            await held.wait()
        return reply

    rpc.call = slow
    rpc.replies_with("video_rental.rentals.list_rentals", {"items": [], "next_cursor": None})
    path = "/v1/video-rental/rentals"
    waiting = [asyncio.create_task(client.get(path, as_="customer:kim")) for _ in range(2)]
    await begun.wait()

    third = await client.get(path, as_="customer:kim")
    neighbour = await client.get(path, as_="customer:lee")
    held.set()
    answers = await asyncio.gather(*waiting)
    later = await client.get(path, as_="customer:kim")

    assert (third.status_code, third.json()["code"], third.headers["retry-after"]) == (429, "too_many_requests", "1")
    assert [answer.status_code for answer in (*answers, neighbour, later)] == [200] * 4
