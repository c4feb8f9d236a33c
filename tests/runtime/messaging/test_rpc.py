"""The RPC client over a bus without a broker: queue availability, outcomes, and the breaker under many requests."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from ops.settings import SystemSettings
from tests.runtime.fake_bus import FakeBus, request
from tests.support.system import eventually
from workers.runtime.messaging.rpc import FRESH_SECONDS, QueueAvailability, RpcClient, RpcReply

QUEUE = "sample.decide@sample"


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
async def rpc(bus: FakeBus) -> RpcClient:
    made = RpcClient(bus, "test", SystemSettings(breaker_open_seconds=0.2, backlog_limit=10))  # type: ignore[arg-type]
    await made.start()
    return made


async def send(rpc: RpcClient, within: float = 1.0, budget: float = 0.5) -> RpcReply:
    return await rpc.call(request(), within=within, budget=budget)


# -- queue availability


@pytest.mark.parametrize(
    ("queue_state", "is_open"),
    [((0, 1), True), ((9, 1), True), ((10, 1), False), ((0, 0), False), (None, False)],
    ids=["a consumer", "a short backlog", "a long backlog", "no consumer", "no queue"],
)
async def test_a_queue_is_available_with_a_consumer_and_a_short_backlog(
    bus: FakeBus, queue_state: tuple[int, int] | None, is_open: bool
) -> None:
    bus.queue_state = queue_state

    assert await QueueAvailability(bus, QUEUE, 10).is_open() is is_open  # type: ignore[arg-type]


async def test_a_queue_that_cannot_be_inspected_is_not_available(bus: FakeBus) -> None:
    bus.inspection_error = ConnectionError("gone")

    assert not await QueueAvailability(bus, QUEUE, 10).is_open()  # type: ignore[arg-type]


async def test_a_hundred_concurrent_checks_share_one_inspection(bus: FakeBus) -> None:
    availability = QueueAvailability(bus, QUEUE, 10)  # type: ignore[arg-type]
    bus.inspection_seconds = 0.02

    assert all(await asyncio.gather(*(availability.is_open() for _ in range(100))))
    assert bus.inspected == [QUEUE]


async def test_a_cancelled_check_does_not_cancel_the_shared_inspection(bus: FakeBus) -> None:
    availability = QueueAvailability(bus, QUEUE, 10)  # type: ignore[arg-type]
    bus.inspection_seconds = 0.02
    first = asyncio.create_task(availability.is_open())
    others = [asyncio.create_task(availability.is_open()) for _ in range(3)]
    await asyncio.sleep(0)

    first.cancel()

    assert all(await asyncio.gather(*others))
    assert bus.inspected == [QUEUE]


async def test_an_inspection_is_valid_for_a_quarter_of_a_second(bus: FakeBus, monkeypatch: pytest.MonkeyPatch) -> None:
    availability = QueueAvailability(bus, QUEUE, 10)  # type: ignore[arg-type]
    now = time.monotonic()
    monkeypatch.setattr("workers.runtime.messaging.rpc.time.monotonic", lambda: now)
    await availability.is_open()
    bus.queue_state = None

    now += FRESH_SECONDS
    assert await availability.is_open()
    now += 0.001
    assert not await availability.is_open()


# -- outcomes


async def test_a_reply_with_an_answer_is_done(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("done", b'{"n": 1}')]

    assert await send(rpc) == RpcReply("done", b'{"n": 1}')


async def test_a_stored_answer_is_marked_as_replayed(bus: FakeBus, rpc: RpcClient) -> None:
    reply = asyncio.create_task(send(rpc))
    await bus.published(1)

    bus.reply(bus.requests[0].correlation_id, "done", replayed=True)

    assert (await reply).replayed


async def test_a_refusal_is_refused_with_its_reason(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("refused", b'{"code": "declined"}')]

    assert await send(rpc) == RpcReply("refused", b'{"code": "declined"}')


async def test_a_responder_that_has_not_begun_is_unavailable(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("unavailable", b"")]

    assert await send(rpc) == RpcReply("unavailable", retry_after=1)


async def test_a_returned_request_is_unavailable(bus: FakeBus, rpc: RpcClient) -> None:
    reply = asyncio.create_task(send(rpc))
    await bus.published(1)

    bus.return_last_request()

    assert (await reply).kind == "unavailable"
    assert bus.forgotten == bus.requests


async def test_a_broken_connection_ends_every_open_request(bus: FakeBus, rpc: RpcClient) -> None:
    pending = [asyncio.create_task(send(rpc, within=60)) for _ in range(3)]
    await bus.published(3)

    async with asyncio.timeout(1):
        bus.on_lost()
        replies = await asyncio.gather(*pending)

    assert replies == [RpcReply("unknown")] * 3
    assert len(bus.forgotten) == 3


async def test_without_a_consumer_nothing_is_published(bus: FakeBus, rpc: RpcClient) -> None:
    bus.queue_state = (0, 0)

    assert (await send(rpc)).kind == "unavailable"
    assert bus.requests == []


async def test_without_a_connection_nothing_is_published(bus: FakeBus, rpc: RpcClient) -> None:
    bus.connected = False

    assert await send(rpc) == RpcReply("unavailable", retry_after=2)
    assert (bus.inspected, bus.requests) == ([], [])


async def test_when_the_inspection_took_all_the_time_nothing_is_published(bus: FakeBus, rpc: RpcClient) -> None:
    bus.inspection_seconds = 0.05

    assert (await send(rpc, within=0.02, budget=0.01)).kind == "unavailable"
    assert bus.requests == []


async def test_no_reply_is_unknown(rpc: RpcClient) -> None:
    assert await send(rpc, within=0.05, budget=0.02) == RpcReply("unknown")


async def test_a_connection_that_breaks_while_publishing_leaves_the_outcome_unknown(
    bus: FakeBus, rpc: RpcClient
) -> None:
    bus.request_error = ConnectionError("gone")

    assert (await send(rpc)).kind == "unknown"


async def test_a_late_reply_is_discarded(bus: FakeBus, rpc: RpcClient) -> None:
    await send(rpc, within=0.05, budget=0.02)
    late = bus.requests[0].correlation_id
    reply = asyncio.create_task(send(rpc))
    await bus.published(2)

    bus.reply(late, "done", b'{"n": "late"}')
    bus.reply(bus.requests[1].correlation_id, "done", b'{"n": "mine"}')
    bus.reply(bus.requests[1].correlation_id, "done", b'{"n": "twice"}')

    assert (await reply).body == b'{"n": "mine"}'


async def test_each_request_receives_its_own_reply_in_any_order(bus: FakeBus, rpc: RpcClient) -> None:
    replies = [asyncio.create_task(send(rpc)) for _ in range(20)]
    await bus.published(20)

    for message in reversed(bus.requests):
        bus.reply(message.correlation_id, "done", message.correlation_id.encode())

    received = [reply.body.decode() for reply in await asyncio.gather(*replies)]
    assert received == [message.correlation_id for message in bus.requests]


async def test_a_request_that_is_still_running_is_repeated_until_there_is_an_answer(
    bus: FakeBus, rpc: RpcClient
) -> None:
    bus.answers = [("still_running", b""), ("still_running", b""), ("done", b"{}")]
    sent = request()

    reply = await rpc.call(sent, within=2.0, budget=1.0)

    assert reply.kind == "done"
    assert {message.message_id for message in bus.requests} == {str(sent.message_id)}
    assert len({message.correlation_id for message in bus.requests}) == 3


async def test_a_request_that_runs_for_too_long_is_still_running(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("still_running", b"")]

    reply = await send(rpc, within=0.35, budget=0.1)

    assert reply.kind == "still_running"
    assert 2 <= len(bus.requests) <= 4


async def test_a_lost_connection_does_not_make_a_running_request_unavailable(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("still_running", b"")]
    reply = asyncio.create_task(send(rpc, within=0.5))
    await bus.published(1)

    bus.connected = False

    assert (await reply).kind == "still_running"


async def test_a_request_carries_its_expiration_and_its_budget(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("done", b"{}")]
    sent = replace(request(), digest="d1", traceparent="00-1-2-01", causation_id=request().message_id)

    await rpc.call(sent, within=3.0, budget=1.5)

    message = bus.requests[0]
    assert message.headers == {
        "story_id": str(sent.story_id),
        "actor": "customer:kim",
        "causation_id": str(sent.causation_id),
        "budget_ms": 1500,
        "request_digest": "d1",
        "traceparent": "00-1-2-01",
    }
    assert message.expiration == pytest.approx(1.2, abs=0.05)
    assert message.reply_to == "test@replies|yeyak.replies"


async def test_every_request_is_reported_with_its_outcome(bus: FakeBus, rpc: RpcClient) -> None:
    reported: list[str] = []
    rpc.on_outcome = lambda request, reply, took: reported.append(f"{request.callee} {reply.kind}")
    bus.answers = [("done", b"{}")]
    await send(rpc)
    bus.connected = False
    await send(rpc)

    assert reported == ["sample done", "sample unavailable"]


# -- the breaker


async def test_after_ten_requests_without_a_reply_the_breaker_opens_and_gives_the_time_to_wait(
    bus: FakeBus, rpc: RpcClient
) -> None:
    await asyncio.gather(*(send(rpc, within=0.05, budget=0.02) for _ in range(10)))
    requests = len(bus.requests)

    assert await send(rpc) == RpcReply("unavailable", retry_after=1)
    assert len(bus.requests) == requests


async def half_open(bus: FakeBus, rpc: RpcClient) -> None:
    """Send ten requests that get no reply, and wait until the breaker is half open."""
    await asyncio.gather(*(send(rpc, within=0.05, budget=0.02) for _ in range(10)))

    async def rested() -> bool:
        return rpc.breaker("sample").state == "half_open"

    await eventually(rested)


async def test_a_half_open_breaker_lets_one_of_fifty_requests_through(bus: FakeBus, rpc: RpcClient) -> None:
    await half_open(bus, rpc)

    many = [asyncio.create_task(send(rpc, within=5.0)) for _ in range(50)]
    done, (probe,) = await asyncio.wait(many, timeout=0.5)

    assert {task.result().kind for task in done} == {"unavailable"}
    assert len(done) == 49
    assert len(bus.requests) == 11
    bus.reply(bus.requests[-1].correlation_id, "done")
    assert (await probe).kind == "done"
    assert rpc.breaker("sample").state == "closed"


async def test_a_cancelled_probe_lets_another_one_through(bus: FakeBus, rpc: RpcClient) -> None:
    await half_open(bus, rpc)
    probe = asyncio.create_task(send(rpc, within=5.0))
    await bus.published(11)

    probe.cancel()
    await asyncio.wait([probe])

    bus.answers = [("done", b"{}")]
    assert (await send(rpc)).kind == "done"


async def test_a_probe_that_fails_unexpectedly_lets_another_one_through(bus: FakeBus, rpc: RpcClient) -> None:
    await half_open(bus, rpc)
    bus.request_error = LookupError("no such exchange")
    with pytest.raises(LookupError):
        await send(rpc)

    bus.request_error = None
    bus.answers = [("done", b"{}")]
    assert (await send(rpc)).kind == "done"


async def test_replies_that_say_unavailable_do_not_open_the_breaker(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("unavailable", b"")]

    await asyncio.gather(*(send(rpc) for _ in range(40)))

    assert rpc.breaker("sample").state == "closed"
