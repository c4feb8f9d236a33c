"""A system inside the test's own process: real broker, real database, real workers, and a way to kill each of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import asyncpg

from contracts.base import Caller, Message
from contracts.payments import Card
from contracts.video_rental.rentals import BookVideo
from contracts.video_rental.videos import RegisterVideo
from tests.support.elsewhere import Looker
from workers.registry import CONTEXTS, worker
from workers.runtime.messaging import topology
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.envelope import RpcReply, RpcRequest
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.processing.worker_runtime import WorkerRuntime
from workers.runtime.settings import Settings

STAFF = Caller(member_id="staff", role="staff")
OPERATOR = Caller(member_id="operator", role="operator")


def customer(name: str | None = None) -> Caller:
    return Caller(member_id=name or f"member-{uuid4().hex[:8]}", role="customer")


def card(token: str = "tok_visa") -> Card:
    return Card(method="card", token=token, last4="4242", brand="visa")


async def eventually(check: Callable[[], Awaitable[Any]], within: float = 10.0, every: float = 0.05) -> Any:
    """The first true value of `check`; fails with the last one when time is up."""
    deadline = time.monotonic() + within
    while True:
        value = await check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {getattr(check, '__doc__', None) or check} gave {value!r}")
        await asyncio.sleep(every)


def contexts_of(*systems: str) -> tuple[str, ...]:
    """What runs for these systems, what all of them share included; every context when none is named."""
    wanted = {"payments", "journal", *systems}
    return tuple(name for name in CONTEXTS if not systems or name.partition(".")[0] in wanted)


class System:
    """Contexts of this process, by name."""

    def __init__(self, settings: Settings, *systems: str) -> None:
        self.settings = settings
        self.names = contexts_of(*systems)
        """The contexts whose queues are there: all of them, unless systems are named."""
        self.contexts: dict[str, WorkerRuntime] = {}
        self.news: list[tuple[str, dict[str, Any]]] = []
        """Every event that was said since the start: (topic, body)."""
        self.expected: set[str] = set()
        """Contexts that are meant to run: a killed one is missed until it is started again."""
        self._broker = Broker(settings.amqp_url.get_secret_value(), "test")
        self._asker = RpcClient(self._broker, settings)
        self._listener: Any = None
        self._databases: dict[str, asyncpg.Pool] = {}
        self._looker = Looker()

    # -- life

    async def open(self) -> System:
        """Apply the topology and listen; no context is started."""
        url = self.settings.amqp_url.get_secret_value()
        queues = topology.plan([worker(name) for name in self.names], self.settings.asked_queue_type)
        await topology.apply(url, queues)
        await self._broker.connect()
        self._listener = await aio_pika.connect_robust(url)
        channel = await self._listener.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("yeyak.events", "#")

        async def hear(message: Any) -> None:
            with contextlib.suppress(ValueError):
                self.news.append((message.type, json.loads(message.body)))

        await queue.consume(hear, no_ack=True)
        return self

    async def close(self) -> None:
        await asyncio.gather(*(context.stop() for context in self.contexts.values()))
        await self._broker.stop()
        if self._listener:
            await self._listener.close()
        for pool in self._databases.values():
            pool.terminate()
        await self._looker.close()

    async def start(self, *names: str, settings: Settings | None = None, replica: str = "") -> None:
        """Start contexts; `replica` names a second one of the same."""
        for name in names:
            context = worker(name).runtime(settings or self.settings)
            self.contexts[name + replica] = context
            self.expected.add(name + replica)
            await context.start()

    async def stop(self, *names: str) -> None:
        """Stop contexts as SIGTERM would."""
        self.expected -= set(names)
        await asyncio.gather(*(self.contexts.pop(name).stop() for name in names))

    async def kill(self, name: str) -> None:
        """End a context as `kill -9` would: nothing is finished, acknowledged or said any more."""
        context: Any = self.contexts.pop(name)
        while context.consumers.broker is None:  # it is just being started, and has a message already
            await asyncio.sleep(0.01)
        current = asyncio.current_task()
        tasks = [*context.deliveries, *context._tasks, *context.outbox._tasks]
        for extra in (context.availability._probe, getattr(context, "_applying", None)):
            tasks += [extra] if extra else []
        for task in tasks:
            if task is not current:
                task.cancel()
        await context.database.stop()
        await context.consumers.broker._connection.close()
        for task in context.deliveries:  # what was delivered meanwhile
            task.cancel()
        await context.bus.stop()
        if hasattr(context, "store"):
            await context.store.close()
        else:
            for task in tasks:
                if task is not current:
                    with contextlib.suppress(BaseException):
                        await task
            await context._stack.aclose()

    # -- speaking

    async def ask(
        self, message: Message, *, id: UUID | None = None, digest: str = "", within: float = 8.0, budget: float = 5.0
    ) -> RpcReply:
        """Ask as the gateway would."""
        message_id = id or uuid4()
        request = RpcRequest(
            topic=message.topic,
            exchange=message.exchange,
            body=message.model_dump_json().encode(),
            message_id=message_id,
            actor="customer:test",
            story_id=message_id,
            digest=digest,
        )
        return await self._asker.call(request, within=within)

    async def done(self, message: Message, **more: Any) -> dict[str, Any]:
        """Ask, and expect it to be done."""
        reply = await self.ask(message, **more)
        assert reply.kind == "done", (reply.kind, reply.body)
        answer: dict[str, Any] = json.loads(reply.body)
        return answer

    async def refused(self, message: Message, **more: Any) -> dict[str, Any]:
        """Ask, and expect a refusal; returns it."""
        reply = await self.ask(message, **more)
        assert reply.kind == "refused", (reply.kind, reply.body)
        refusal: dict[str, Any] = json.loads(reply.body)
        return refusal

    async def until_done(self, message: Message, *, id: UUID, digest: str = "", within: float = 20.0) -> RpcReply:
        """Ask as a patient customer would: again under the same id until there is an outcome."""
        deadline = time.monotonic() + within
        while True:
            reply = await self.ask(message, id=id, digest=digest, within=2.0, budget=1.5)
            if reply.kind in ("done", "refused") or time.monotonic() > deadline:
                return reply
            await asyncio.sleep(0.05)

    # -- video rental, in a word

    async def video(self, *, copies: int = 1, daily_price: int = 1000, title: str = "Casablanca") -> UUID:
        """A video that rentals has heard of."""
        video = await self.done(RegisterVideo(title=title, daily_price=daily_price, copies=copies, caller=STAFF))
        video_id = UUID(video["video_id"])

        async def known() -> bool:
            rows = await self.rows(
                "video_rental.rentals", "select 1 from video_rental_rentals.videos where video_id=$1", video_id
            )
            return bool(rows)

        if "video_rental.rentals" in self.contexts:
            await eventually(known)
        return video_id

    def booking(
        self, video_id: UUID, member: Caller | None = None, token: str = "tok_visa", days: int = 1
    ) -> BookVideo:
        return BookVideo(video_id=video_id, days=days, payment=card(token), caller=member or customer())

    # -- looking behind the scenes

    async def rows(self, context: str, query: str, *arguments: Any) -> list[Any]:
        """Rows of a context's database (`provider` is one, too)."""
        url = self.settings.provider_database if context == "provider" else self.settings.database_of(context)
        if not url.startswith("postgresql://"):
            return await self._looker.rows(url, context, query, arguments)
        if url not in self._databases:
            self._databases[url] = await asyncpg.create_pool(url, min_size=0, max_size=2)
        rows: list[Any] = await self._databases[url].fetch(query, *arguments)
        return rows

    async def one(self, context: str, query: str, *arguments: Any) -> Any:
        (row,) = await self.rows(context, query, *arguments)
        return row

    def said(self, topic: str) -> list[dict[str, Any]]:
        """What was said under a topic."""
        return [body for said, body in self.news if said == topic]

    async def all_told(self, context: str) -> None:
        """Wait until a context has said what it has to say: an event may leave a moment after the answer."""

        async def nothing_left() -> bool:
            return not await self.rows(context, f"select 1 from {context.replace('.', '_')}.outbox limit 1")

        await eventually(nothing_left)

    async def pending_work(self) -> list[str]:
        """What is still under way among the contexts that run: inbox and outbox rows, messages in queues."""
        left = [f"{name} is down" for name in self.expected - set(self.contexts)]
        for context in {context.name: context for context in self.contexts.values()}.values():
            schema = context.worker.schema
            if context.deliveries or getattr(getattr(context, "_arrived", None), "_unfinished_tasks", 0):
                left.append(f"{context.name} is at work")
            if not hasattr(context, "store"):
                rows = await self.rows(
                    context.name,
                    f"""select 'said not yet: ' || topic as what from {schema}.outbox union all
                    select state || ': ' || topic || coalesce(' ' || error, '') from {schema}.inbox
                    where state in ('started', 'waiting') and due_at < now() + interval '5 minutes' limit 5""",
                )
                left += [row["what"] for row in rows]
            for queue in context.worker.queues():
                found = await self._broker.inspect_queue(queue)
                left += [f"{found[0]} messages in {queue}"] if found and found[0] else []
        return left

    async def wait_until_idle(self, within: float = 20.0) -> None:
        """Wait until nothing is under way, seen twice: what leaves one context may not have reached the next."""
        deadline, calm = time.monotonic() + within, 0
        while calm < 2:
            try:
                left = await self.pending_work()
            except TimeoutError:
                left = ["the broker is too busy to say what waits"]
            calm = 0 if left else calm + 1
            if left and time.monotonic() > deadline:
                raise AssertionError(f"not quiet within {within} s: {left}")
            await asyncio.sleep(0.1 if left else 0.05)
