"""The RPC client over a bus without a broker: queue availability, outcomes, and the breaker under many requests."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from tests.runtime.fake_bus import FakeBus, request
from tests.support.system import eventually
from workers.runtime.messaging.rpc import FRESH_SECONDS, QueueAvailability, RpcClient, RpcReply
from workers.runtime.settings import Settings

QUEUE = "sample.decide@sample"


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
async def rpc(bus: FakeBus) -> RpcClient:
    made = RpcClient(bus, "test", Settings(breaker_rest_seconds=0.2, backlog_limit=10))  # type: ignore[arg-type]
    await made.start()
    return made


async def ask(rpc: RpcClient, within: float = 1.0, budget: float = 0.5) -> RpcReply:
    return await rpc.call(request(), within=within, budget=budget)


# -- queue availability


@pytest.mark.parametrize(
    ("found", "is_open"),
    [((0, 1), True), ((9, 1), True), ((10, 1), False), ((0, 0), False), (None, False)],
    ids=["a consumer", "a short backlog", "a long backlog", "no consumer", "no queue"],
)
async def test_a_queue_is_available_with_a_consumer_and_a_short_backlog(
    bus: FakeBus, found: tuple[int, int] | None, is_open: bool
) -> None:
    bus.found = found

    assert await QueueAvailability(bus, QUEUE, 10).is_open() is is_open  # type: ignore[arg-type]


async def test_a_queue_that_cannot_be_inspected_is_not_available(bus: FakeBus) -> None:
    bus.look_fails = ConnectionError("gone")

    assert not await QueueAvailability(bus, QUEUE, 10).is_open()  # type: ignore[arg-type]


async def test_a_hundred_concurrent_checks_share_one_inspection(bus: FakeBus) -> None:
    door = QueueAvailability(bus, QUEUE, 10)  # type: ignore[arg-type]
    bus.look_takes = 0.02

    assert all(await asyncio.gather(*(door.is_open() for _ in range(100))))
    assert bus.looked == [QUEUE]


async def test_a_cancelled_check_does_not_cancel_the_shared_inspection(bus: FakeBus) -> None:
    door = QueueAvailability(bus, QUEUE, 10)  # type: ignore[arg-type]
    bus.look_takes = 0.02
    first = asyncio.create_task(door.is_open())
    others = [asyncio.create_task(door.is_open()) for _ in range(3)]
    await asyncio.sleep(0)

    first.cancel()

    assert all(await asyncio.gather(*others))
    assert bus.looked == [QUEUE]


async def test_an_inspection_is_valid_for_a_quarter_of_a_second(bus: FakeBus, monkeypatch: pytest.MonkeyPatch) -> None:
    door = QueueAvailability(bus, QUEUE, 10)  # type: ignore[arg-type]
    now = time.monotonic()
    monkeypatch.setattr("workers.runtime.messaging.rpc.time.monotonic", lambda: now)
    await door.is_open()
    bus.found = None

    now += FRESH_SECONDS
    assert await door.is_open()
    now += 0.001
    assert not await door.is_open()


# -- outcomes


async def test_a_reply_with_an_answer_is_done(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("done", b'{"n": 1}')]

    assert await ask(rpc) == RpcReply("done", b'{"n": 1}')


async def test_a_stored_answer_is_marked_as_replayed(bus: FakeBus, rpc: RpcClient) -> None:
    asking = asyncio.create_task(ask(rpc))
    await bus.published(1)

    bus.reply(bus.asked[0].correlation_id, "done", replayed=True)

    assert (await asking).replayed


async def test_a_refusal_is_refused_with_its_reason(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("refused", b'{"code": "declined"}')]

    assert await ask(rpc) == RpcReply("refused", b'{"code": "declined"}')


async def test_a_responder_that_has_not_begun_is_unavailable(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("unavailable", b"")]

    assert await ask(rpc) == RpcReply("unavailable", retry_after=1)


async def test_a_returned_request_is_unavailable(bus: FakeBus, rpc: RpcClient) -> None:
    asking = asyncio.create_task(ask(rpc))
    await bus.published(1)

    bus.return_the_last()

    assert (await asking).kind == "unavailable"
    assert bus.forgotten == bus.asked


async def test_a_broken_connection_ends_every_open_request(bus: FakeBus, rpc: RpcClient) -> None:
    asking = [asyncio.create_task(ask(rpc, within=60)) for _ in range(3)]
    await bus.published(3)

    async with asyncio.timeout(1):
        bus.on_lost()
        replies = await asyncio.gather(*asking)

    assert replies == [RpcReply("unknown")] * 3
    assert len(bus.forgotten) == 3


async def test_without_a_consumer_nothing_is_published(bus: FakeBus, rpc: RpcClient) -> None:
    bus.found = (0, 0)

    assert (await ask(rpc)).kind == "unavailable"
    assert bus.asked == []


async def test_without_a_connection_nothing_is_published(bus: FakeBus, rpc: RpcClient) -> None:
    bus.connected = False

    assert await ask(rpc) == RpcReply("unavailable", retry_after=2)
    assert (bus.looked, bus.asked) == ([], [])


async def test_when_the_inspection_took_all_the_time_nothing_is_published(bus: FakeBus, rpc: RpcClient) -> None:
    bus.look_takes = 0.05

    assert (await ask(rpc, within=0.02, budget=0.01)).kind == "unavailable"
    assert bus.asked == []


async def test_no_reply_is_unknown(rpc: RpcClient) -> None:
    assert await ask(rpc, within=0.05, budget=0.02) == RpcReply("unknown")


async def test_a_connection_that_breaks_while_publishing_leaves_the_outcome_unknown(
    bus: FakeBus, rpc: RpcClient
) -> None:
    bus.ask_fails = ConnectionError("gone")

    assert (await ask(rpc)).kind == "unknown"


async def test_a_late_reply_is_discarded(bus: FakeBus, rpc: RpcClient) -> None:
    await ask(rpc, within=0.05, budget=0.02)
    late = bus.asked[0].correlation_id
    asking = asyncio.create_task(ask(rpc))
    await bus.published(2)

    bus.reply(late, "done", b'{"n": "late"}')
    bus.reply(bus.asked[1].correlation_id, "done", b'{"n": "mine"}')
    bus.reply(bus.asked[1].correlation_id, "done", b'{"n": "twice"}')

    assert (await asking).body == b'{"n": "mine"}'


async def test_each_request_receives_its_own_reply_in_any_order(bus: FakeBus, rpc: RpcClient) -> None:
    asks = [asyncio.create_task(ask(rpc)) for _ in range(20)]
    await bus.published(20)

    for message in reversed(bus.asked):
        bus.reply(message.correlation_id, "done", message.correlation_id.encode())

    heard = [reply.body.decode() for reply in await asyncio.gather(*asks)]
    assert heard == [message.correlation_id for message in bus.asked]


async def test_a_request_that_is_still_running_is_repeated_until_there_is_an_answer(
    bus: FakeBus, rpc: RpcClient
) -> None:
    bus.answers = [("still_running", b""), ("still_running", b""), ("done", b"{}")]
    wanted = request()

    reply = await rpc.call(wanted, within=2.0, budget=1.0)

    assert reply.kind == "done"
    assert {message.message_id for message in bus.asked} == {str(wanted.message_id)}
    assert len({message.correlation_id for message in bus.asked}) == 3


async def test_a_request_that_runs_for_too_long_is_still_running(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("still_running", b"")]

    reply = await ask(rpc, within=0.35, budget=0.1)

    assert reply.kind == "still_running"
    assert 2 <= len(bus.asked) <= 4


async def test_a_lost_connection_does_not_make_a_running_request_unavailable(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("still_running", b"")]
    asking = asyncio.create_task(ask(rpc, within=0.5))
    await bus.published(1)

    bus.connected = False

    assert (await asking).kind == "still_running"


async def test_a_request_carries_its_expiration_and_its_budget(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("done", b"{}")]
    wanted = replace(request(), digest="d1", traceparent="00-1-2-01", causation_id=request().message_id)

    await rpc.call(wanted, within=3.0, budget=1.5)

    message = bus.asked[0]
    assert message.headers == {
        "story_id": str(wanted.story_id),
        "actor": "customer:kim",
        "causation_id": str(wanted.causation_id),
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
    await ask(rpc)
    bus.connected = False
    await ask(rpc)

    assert reported == ["sample done", "sample unavailable"]


# -- the breaker


async def test_after_ten_requests_without_a_reply_the_breaker_opens_and_gives_the_time_to_wait(
    bus: FakeBus, rpc: RpcClient
) -> None:
    await asyncio.gather(*(ask(rpc, within=0.05, budget=0.02) for _ in range(10)))
    asked = len(bus.asked)

    assert await ask(rpc) == RpcReply("unavailable", retry_after=1)
    assert len(bus.asked) == asked


async def half_open(bus: FakeBus, rpc: RpcClient) -> None:
    """Send ten requests that get no reply, and wait until the breaker is half open."""
    await asyncio.gather(*(ask(rpc, within=0.05, budget=0.02) for _ in range(10)))

    async def rested() -> bool:
        return rpc.breaker("sample").state == "half_open"

    await eventually(rested)


async def test_a_half_open_breaker_lets_one_of_fifty_requests_through(bus: FakeBus, rpc: RpcClient) -> None:
    await half_open(bus, rpc)

    many = [asyncio.create_task(ask(rpc, within=5.0)) for _ in range(50)]
    done, (probe,) = await asyncio.wait(many, timeout=0.5)

    assert {task.result().kind for task in done} == {"unavailable"}
    assert len(done) == 49
    assert len(bus.asked) == 11
    bus.reply(bus.asked[-1].correlation_id, "done")
    assert (await probe).kind == "done"
    assert rpc.breaker("sample").state == "closed"


async def test_a_cancelled_probe_lets_another_one_through(bus: FakeBus, rpc: RpcClient) -> None:
    await half_open(bus, rpc)
    probe = asyncio.create_task(ask(rpc, within=5.0))
    await bus.published(11)

    probe.cancel()
    await asyncio.wait([probe])

    bus.answers = [("done", b"{}")]
    assert (await ask(rpc)).kind == "done"


async def test_a_probe_that_fails_unexpectedly_lets_another_one_through(bus: FakeBus, rpc: RpcClient) -> None:
    await half_open(bus, rpc)
    bus.ask_fails = LookupError("no such exchange")
    with pytest.raises(LookupError):
        await ask(rpc)

    bus.ask_fails = None
    bus.answers = [("done", b"{}")]
    assert (await ask(rpc)).kind == "done"


async def test_replies_that_say_unavailable_do_not_open_the_breaker(bus: FakeBus, rpc: RpcClient) -> None:
    bus.answers = [("unavailable", b"")]

    await asyncio.gather(*(ask(rpc) for _ in range(40)))

    assert rpc.breaker("sample").state == "closed"
