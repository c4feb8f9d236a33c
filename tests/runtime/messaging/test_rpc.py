"""The RPC client over a broker without RabbitMQ: queue availability, outcomes, and the breaker under many requests."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from faststream.exceptions import SubscriberNotFound

from contracts.outcomes import Outcome
from ops.settings import SystemSettings
from tests.runtime.fake_broker import FakeBroker, request
from tests.support.system import eventually
from workers.runtime.messaging.errors import BrokerUnavailable, Unroutable
from workers.runtime.messaging.producer import RequestLost
from workers.runtime.messaging.rpc import INSPECTION_SECONDS, QueueAvailability, RpcClient, RpcReply

QUEUE = "sample.decide@sample"


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def rpc(broker: FakeBroker) -> RpcClient:
    return RpcClient(broker, SystemSettings(breaker_open_seconds=0.2, backlog_limit=10))  # type: ignore[arg-type]


@pytest.fixture
def availability(broker: FakeBroker) -> QueueAvailability:
    return QueueAvailability(broker, QUEUE, 10)  # type: ignore[arg-type]


async def send(rpc: RpcClient, within: float = 1.0) -> RpcReply:
    return await rpc.call(request(), within=within)


# -- queue availability


@pytest.mark.parametrize(
    ("queue_state", "is_served"),
    [((0, 1), True), ((9, 1), True), ((10, 1), False), ((0, 0), False), (None, False)],
    ids=["a consumer", "a short backlog", "a long backlog", "no consumer", "no queue"],
)
async def test_a_queue_is_available_with_a_consumer_and_a_short_backlog(
    broker: FakeBroker, availability: QueueAvailability, queue_state: tuple[int, int] | None, is_served: bool
) -> None:
    broker.queue_state = queue_state

    assert await availability.check() is is_served


@pytest.mark.parametrize("error", [ConnectionError("gone"), TimeoutError(), RuntimeError("the channel is closed")])
async def test_a_queue_that_cannot_be_inspected_is_not_available(
    broker: FakeBroker, availability: QueueAvailability, error: Exception
) -> None:
    broker.inspection_error = error

    assert not await availability.check()


async def test_a_hundred_concurrent_checks_share_one_inspection(
    broker: FakeBroker, availability: QueueAvailability
) -> None:
    broker.inspection_seconds = 0.02

    assert all(await asyncio.gather(*(availability.check() for _ in range(100))))
    assert broker.inspected == [QUEUE]


async def test_a_cancelled_check_does_not_cancel_the_shared_inspection(
    broker: FakeBroker, availability: QueueAvailability
) -> None:
    broker.inspection_seconds = 0.02
    first = asyncio.create_task(availability.check())
    others = [asyncio.create_task(availability.check()) for _ in range(3)]
    await asyncio.sleep(0)

    first.cancel()

    assert all(await asyncio.gather(*others))
    assert broker.inspected == [QUEUE]


async def test_an_inspection_is_valid_for_a_quarter_of_a_second(
    broker: FakeBroker, availability: QueueAvailability, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("workers.runtime.messaging.rpc.time.monotonic", lambda: now)
    await availability.check()
    broker.queue_state = None

    now += INSPECTION_SECONDS
    assert await availability.check()
    now += 0.001
    assert not await availability.check()


# -- outcomes


async def test_a_reply_with_an_answer_is_done(broker: FakeBroker, rpc: RpcClient) -> None:
    broker.answers = [("done", b'{"n": 1}')]

    assert await send(rpc) == RpcReply(Outcome.DONE, b'{"n": 1}')


async def test_a_stored_answer_is_marked_as_replayed(broker: FakeBroker, rpc: RpcClient) -> None:
    reply = asyncio.create_task(send(rpc))
    await broker.published(1)

    broker.requests[0].answer("done", replayed=True)

    assert (await reply).replayed


async def test_a_refusal_is_refused_with_its_reason(broker: FakeBroker, rpc: RpcClient) -> None:
    broker.answers = [("refused", b'{"code": "declined"}')]

    assert await send(rpc) == RpcReply(Outcome.REFUSED, b'{"code": "declined"}')


async def test_a_responder_that_has_not_begun_is_unavailable(broker: FakeBroker, rpc: RpcClient) -> None:
    broker.answers = [("unavailable", b"")]

    assert await send(rpc) == RpcReply(Outcome.UNAVAILABLE, retry_after=1)


@pytest.mark.parametrize(
    "error",
    [Unroutable("sample.decide"), BrokerUnavailable("gone"), SubscriberNotFound()],
    ids=lambda e: type(e).__name__,
)
async def test_a_request_that_was_certainly_not_begun_is_unavailable(
    broker: FakeBroker, rpc: RpcClient, error: Exception
) -> None:
    broker.request_error = error

    assert (await send(rpc)).kind is Outcome.UNAVAILABLE
    assert rpc.breaker("sample").state == "closed"


async def test_a_reply_without_a_known_outcome_is_unknown(broker: FakeBroker, rpc: RpcClient) -> None:
    broker.answers = [("nonsense", b"")]

    assert await send(rpc) == RpcReply(Outcome.UNKNOWN)


async def test_a_lost_connection_ends_every_open_request_with_an_unknown_outcome(
    broker: FakeBroker, rpc: RpcClient
) -> None:
    pending = [asyncio.create_task(send(rpc, within=60)) for _ in range(30)]
    await broker.published(30)

    async with asyncio.timeout(1):
        for published in broker.requests:
            published.fail(RequestLost("gone"))
        replies = await asyncio.gather(*pending)

    assert replies == [RpcReply(Outcome.UNKNOWN)] * 30
    assert rpc.breaker("sample").state == "closed"


async def test_without_a_consumer_nothing_is_published(broker: FakeBroker, rpc: RpcClient) -> None:
    broker.queue_state = (0, 0)

    assert (await send(rpc)).kind is Outcome.UNAVAILABLE
    assert broker.requests == []


async def test_without_a_connection_nothing_is_published(broker: FakeBroker, rpc: RpcClient) -> None:
    broker.is_usable = False

    assert await send(rpc) == RpcReply(Outcome.UNAVAILABLE, retry_after=2)
    assert (broker.inspected, broker.requests) == ([], [])


async def test_when_the_inspection_took_all_the_time_nothing_is_published(broker: FakeBroker, rpc: RpcClient) -> None:
    broker.inspection_seconds = 0.05

    assert (await send(rpc, within=0.02)).kind is Outcome.UNAVAILABLE
    assert broker.requests == []


async def test_no_reply_is_unknown(rpc: RpcClient) -> None:
    assert await send(rpc, within=0.05) == RpcReply(Outcome.UNKNOWN)


async def test_a_connection_that_breaks_while_publishing_leaves_the_outcome_unknown(
    broker: FakeBroker, rpc: RpcClient
) -> None:
    broker.request_error = ConnectionError("gone")

    assert (await send(rpc)).kind is Outcome.UNKNOWN


async def test_every_request_has_a_correlation_id_of_its_own(broker: FakeBroker, rpc: RpcClient) -> None:
    broker.answers = [("done", b"{}")]

    await asyncio.gather(*(send(rpc) for _ in range(20)))

    assert len({published.options["correlation_id"] for published in broker.requests}) == 20


async def test_a_request_that_is_still_running_is_repeated_until_there_is_an_answer(
    broker: FakeBroker, rpc: RpcClient
) -> None:
    broker.answers = [("still_running", b""), ("still_running", b""), ("done", b"{}")]
    sent = request()

    reply = await rpc.call(sent, within=2.0)

    assert reply.kind is Outcome.DONE
    assert {published.options["message_id"] for published in broker.requests} == {str(sent.message_id)}
    assert len({published.options["correlation_id"] for published in broker.requests}) == 3


async def test_a_request_that_runs_for_too_long_is_still_running(broker: FakeBroker, rpc: RpcClient) -> None:
    broker.answers = [("still_running", b"")]

    reply = await send(rpc, within=0.35)

    assert reply.kind is Outcome.STILL_RUNNING
    assert 2 <= len(broker.requests) <= 4


async def test_a_lost_connection_does_not_make_a_running_request_unavailable(
    broker: FakeBroker, rpc: RpcClient
) -> None:
    broker.answers = [("still_running", b"")]
    reply = asyncio.create_task(send(rpc, within=0.5))
    await broker.published(1)

    broker.is_usable = False

    assert (await reply).kind is Outcome.STILL_RUNNING


async def test_a_request_carries_its_deadline_and_expires_before_it(broker: FakeBroker, rpc: RpcClient) -> None:
    broker.answers = [("done", b"{}")]
    sent = replace(request(), digest="d1", traceparent="00-1-2-01", causation_id=request().message_id)

    await rpc.call(sent, within=3.0)

    (published,) = broker.requests
    headers = published.options["headers"]
    assert headers.pop("deadline_ms") == pytest.approx(3000, abs=100)
    assert headers == {
        "story_id": str(sent.story_id),
        "actor": "customer:kim",
        "causation_id": str(sent.causation_id),
        "request_digest": "d1",
        "traceparent": "00-1-2-01",
    }
    assert 2.8 < published.options["expiration"] < 3.0
    assert (published.exchange, published.routing_key) == ("yeyak.commands", "sample.decide")
    assert (published.options["message_type"], published.options["message_id"]) == (
        "sample.decide",
        str(sent.message_id),
    )


async def test_a_repeat_carries_only_the_time_that_is_left(broker: FakeBroker, rpc: RpcClient) -> None:
    broker.answers = [("still_running", b""), ("done", b"{}")]

    await send(rpc, within=3.0)

    first, again = (published.options["headers"]["deadline_ms"] for published in broker.requests)
    assert again <= first - 100


async def test_every_request_is_reported_with_its_outcome(broker: FakeBroker, rpc: RpcClient) -> None:
    reported: list[str] = []
    rpc.on_outcome = lambda request, reply, took: reported.append(f"{request.callee} {reply.kind}")
    broker.answers = [("done", b"{}")]
    await send(rpc)
    broker.is_usable = False
    await send(rpc)

    assert reported == ["sample done", "sample unavailable"]


# -- the breaker


async def test_after_ten_requests_without_a_reply_the_breaker_opens_and_gives_the_time_to_wait(
    broker: FakeBroker, rpc: RpcClient
) -> None:
    await asyncio.gather(*(send(rpc, within=0.05) for _ in range(10)))
    requests = len(broker.requests)

    assert await send(rpc) == RpcReply(Outcome.UNAVAILABLE, retry_after=1)
    assert len(broker.requests) == requests


async def half_open(rpc: RpcClient) -> None:
    """Send ten requests that get no reply, and wait until the breaker is half open."""
    await asyncio.gather(*(send(rpc, within=0.05) for _ in range(10)))

    async def is_half_open() -> bool:
        return rpc.breaker("sample").state == "half_open"

    await eventually(is_half_open)


async def test_a_half_open_breaker_lets_one_of_fifty_requests_through(broker: FakeBroker, rpc: RpcClient) -> None:
    await half_open(rpc)

    many = [asyncio.create_task(send(rpc, within=5.0)) for _ in range(50)]
    done, (probe,) = await asyncio.wait(many, timeout=0.5)

    assert {task.result().kind for task in done} == {Outcome.UNAVAILABLE}
    assert len(done) == 49
    assert len(broker.requests) == 11
    broker.requests[-1].answer("done")
    assert (await probe).kind is Outcome.DONE
    assert rpc.breaker("sample").state == "closed"


async def test_a_cancelled_probe_lets_another_one_through(broker: FakeBroker, rpc: RpcClient) -> None:
    await half_open(rpc)
    probe = asyncio.create_task(send(rpc, within=5.0))
    await broker.published(11)

    probe.cancel()
    await asyncio.wait([probe])

    broker.answers = [("done", b"{}")]
    assert (await send(rpc)).kind is Outcome.DONE


@pytest.mark.parametrize("error", [LookupError("no such exchange"), ConnectionError("gone"), Unroutable("sample")])
async def test_a_probe_that_was_not_answered_for_another_reason_lets_another_one_through(
    broker: FakeBroker, rpc: RpcClient, error: Exception
) -> None:
    await half_open(rpc)
    broker.request_error = error
    await asyncio.gather(send(rpc), return_exceptions=True)

    broker.request_error = None
    broker.answers = [("done", b"{}")]
    assert (await send(rpc)).kind is Outcome.DONE


async def test_replies_that_say_unavailable_do_not_open_the_breaker(broker: FakeBroker, rpc: RpcClient) -> None:
    broker.answers = [("unavailable", b"")]

    await asyncio.gather(*(send(rpc) for _ in range(40)))

    assert rpc.breaker("sample").state == "closed"
