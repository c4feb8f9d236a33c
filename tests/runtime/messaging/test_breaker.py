"""The circuit breaker: when it opens, and that a single probe closes it."""

from __future__ import annotations

import pytest

from workers.runtime.messaging.breaker import CircuitBreaker

OPEN_SECONDS = 5.0


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(OPEN_SECONDS, clock=clock)


def call(breaker: CircuitBreaker, outcome: str) -> None:
    admitted = breaker.admit()
    assert admitted
    getattr(breaker, outcome)(admitted)


def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    for _ in range(10):
        call(breaker, "timed_out")
    assert breaker.state == "open"
    return breaker


def test_nine_requests_without_a_reply_among_the_last_twenty_leave_it_closed(breaker: CircuitBreaker) -> None:
    for number in range(40):
        call(breaker, "timed_out" if number % 20 < 9 else "replied")

    assert breaker.state == "closed"


def test_the_tenth_request_without_a_reply_among_the_last_twenty_opens_it(breaker: CircuitBreaker) -> None:
    for number in range(19):
        call(breaker, "timed_out" if number % 2 else "replied")
    assert breaker.state == "closed"

    call(breaker, "timed_out")

    assert breaker.state == "open"
    assert breaker.is_open()
    assert not breaker.admit()


def test_requests_that_were_never_published_do_not_count(breaker: CircuitBreaker) -> None:
    for _ in range(9):
        call(breaker, "timed_out")
    for _ in range(100):
        call(breaker, "not_sent")
    call(breaker, "timed_out")

    assert breaker.state == "open"


@pytest.mark.parametrize(("passed", "retry_after"), [(0.0, 5), (0.2, 5), (3.9, 2), (4.5, 1), (60.0, 1)])
def test_retry_after_is_the_time_until_it_is_half_open(
    breaker: CircuitBreaker, clock: Clock, passed: float, retry_after: int
) -> None:
    opened(breaker)

    clock.now += passed

    assert breaker.retry_after == retry_after


def test_half_open_it_admits_exactly_one_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += OPEN_SECONDS

    assert breaker.state == "half_open"
    assert not breaker.is_open()
    assert sum(bool(breaker.admit()) for _ in range(50)) == 1
    assert breaker.is_open()


def test_an_answered_probe_closes_it_and_resets_its_counters(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += OPEN_SECONDS
    call(breaker, "replied")
    assert breaker.state == "closed"

    for _ in range(9):
        call(breaker, "timed_out")

    assert breaker.state == "closed"


def test_a_probe_without_a_reply_opens_it_for_another_full_period(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += OPEN_SECONDS
    call(breaker, "timed_out")

    assert breaker.state == "open"
    clock.now += OPEN_SECONDS - 0.1
    assert not breaker.admit()
    clock.now += 0.1
    assert breaker.admit()


def test_a_probe_that_was_never_published_lets_another_one_through(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += OPEN_SECONDS
    call(breaker, "not_sent")

    assert breaker.state == "half_open"
    assert breaker.admit()


@pytest.mark.parametrize("outcome", ["replied", "timed_out", "not_sent"])
def test_a_request_from_before_it_opened_does_not_count_as_the_probe(
    breaker: CircuitBreaker, clock: Clock, outcome: str
) -> None:
    early = breaker.admit()
    assert early
    opened(breaker)
    clock.now += OPEN_SECONDS
    probe = breaker.admit()
    assert probe

    getattr(breaker, outcome)(early)

    assert not breaker.admit()
    breaker.replied(probe)
    assert breaker.state == "closed"
