"""A system inside the test's own process: real broker, real databases, real workers; each context can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any
from uuid import UUID, uuid4, uuid5

import aio_pika
import asyncpg
from pydantic import ValidationError

from contracts.base import CATALOGUE, Caller, Message, Query
from contracts.payments import Card
from contracts.video_rental.rentals import BookVideo
from contracts.video_rental.videos import RegisterVideo
from ops.settings import SystemSettings
from tests.support.crash import is_handling, kill
from tests.support.view_databases import ViewReader
from workers.registry import CONTEXTS, worker
from workers.runtime.messaging import envelope, topology
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.envelope import RpcReply, RpcRequest
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.processing.worker_runtime import WorkerRuntime

Json = dict[str, Any]
"""An answer, an event, or a row of a list, as JSON has it."""

STAFF = Caller(member_id="staff", role="staff")
OPERATOR = Caller(member_id="operator", role="operator")


def customer(name: str | None = None) -> Caller:
    return Caller(member_id=name or f"member-{uuid4().hex[:8]}", role="customer")


def card(token: str = "tok_visa") -> Card:
    return Card(method="card", token=token, last4="4242", brand="visa")


def has_fields(body: Any, expected: Json) -> bool:
    """Whether a JSON object has these fields; an expected object may leave fields out, at every depth."""
    return body is not None and all(
        has_fields(body.get(name), value) if isinstance(value, dict) else body.get(name) == value
        for name, value in expected.items()
    )


async def eventually(check: Callable[[], Awaitable[Any]], within: float = 10.0, every: float = 0.05) -> Any:
    """Return the first true value of `check`; raises AssertionError with the last value after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        value = await check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {getattr(check, '__doc__', None) or check} gave {value!r}")
        await asyncio.sleep(every)


async def wait_for_fields(
    read: Callable[[], Awaitable[Json | None]], expected: Json, within: float = 10.0, every: float = 0.05
) -> Json:
    """Read until there is an object with these fields; returns it, or raises AssertionError with the last one."""
    found: Json | None = None

    async def is_there() -> bool:
        nonlocal found
        found = await read()
        return has_fields(found, expected)

    try:
        await eventually(is_there, within, every)
    except AssertionError:
        raise AssertionError(f"within {within} s there was {found}, not {expected}") from None
    assert found is not None
    return found


def contexts_of(*systems: str) -> tuple[str, ...]:
    """The contexts of these systems with those that all of them share; every context when no system is named."""
    wanted = {"payments", "journal", *systems}
    return tuple(name for name in CONTEXTS if not systems or name.partition(".")[0] in wanted)


def list_query(context: str) -> Query[Any]:
    """A query of a context that needs no fields but a caller."""
    for kind in CATALOGUE.values():
        if issubclass(kind, Query) and kind.owner() == context:
            for fields in ({}, {"caller": STAFF}):
                with contextlib.suppress(ValidationError):
                    return kind.model_validate(fields)
    raise LookupError(f"{context} has no such query")


class System:
    """Contexts that run in this process, by name."""

    def __init__(self, settings: SystemSettings, *systems: str) -> None:
        self.settings = settings
        self.names = contexts_of(*systems)
        """The contexts whose queues exist: those of the systems that are named, or all."""
        self.contexts: dict[str, WorkerRuntime] = {}
        """The runtimes, by context; a second replica has its suffix in the key."""
        self.events: list[tuple[str, Json]] = []
        """Every event since `open`: topic and body."""
        self.expected: set[str] = set()
        """The contexts that should run: a killed one is pending work until it is started again."""
        self.broker = Broker(settings.amqp_url.get_secret_value(), "test")
        self.rpc = RpcClient(self.broker, settings)
        self.connection: Any = None
        self._databases: dict[str, asyncpg.Pool] = {}
        self._view_reader = ViewReader()

    # -- life cycle

    async def open(self) -> System:
        """Apply the topology and record events; starts no context."""
        url = self.settings.amqp_url.get_secret_value()
        queues = topology.plan([worker(name) for name in self.names], self.settings.request_queue_type)
        await topology.apply(url, queues)
        await self.broker.connect()
        self.connection = await aio_pika.connect_robust(url)
        channel = await self.connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("yeyak.events", "#")

        async def record(message: Any) -> None:
            with contextlib.suppress(ValueError):
                self.events.append((message.type, json.loads(message.body)))

        await queue.consume(record, no_ack=True)
        return self

    async def close(self) -> None:
        await asyncio.gather(*(context.stop() for context in self.contexts.values()))
        await self.broker.stop()
        if self.connection:
            await self.connection.close()
        for pool in self._databases.values():
            pool.terminate()
        await self._view_reader.close()

    async def start(self, *names: str, settings: SystemSettings | None = None, replica: str = "") -> None:
        """Start contexts; `replica` is the suffix of a second one of the same."""
        for name in names:
            context = worker(name).runtime(settings or self.settings)
            self.contexts[name + replica] = context
            self.expected.add(name + replica)
            await context.start()

    async def start_stopped(self, *names: str) -> None:
        """Start those of these contexts that do not run."""
        await self.start(*(name for name in names if name not in self.contexts))

    async def stop(self, *names: str) -> None:
        """Stop contexts as SIGTERM would."""
        self.expected -= set(names)
        await asyncio.gather(*(self.contexts.pop(name).stop() for name in names))

    async def stop_until_unavailable(self, *names: str) -> None:
        """Stop contexts, and wait until requests to them are `unavailable`."""
        await self.stop(*names)
        for name in names:
            await self.wait_for_reply(list_query(name), "unavailable")

    async def kill(self, name: str) -> None:
        """End a context as `kill -9` would."""
        await kill(self.contexts.pop(name))

    # -- messages

    async def request(
        self, message: Message, *, id: UUID | None = None, digest: str = "", within: float = 8.0
    ) -> RpcReply:
        """Send a command or a query as the gateway would; `within` in seconds."""
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
        return await self.rpc.call(request, within=within)

    async def done(self, message: Message, **more: Any) -> Json:
        """Send a request that must be done; returns the answer."""
        return await self._answer("done", message, **more)

    async def refused(self, message: Message, **more: Any) -> Json:
        """Send a request that must be refused; returns the refusal."""
        return await self._answer("refused", message, **more)

    async def _answer(self, kind: str, message: Message, **more: Any) -> Json:
        reply = await self.request(message, **more)
        assert reply.kind == kind, (reply.kind, reply.body)
        answer: Json = json.loads(reply.body)
        return answer

    async def until_done(
        self, message: Message, *, id: UUID, digest: str = "", within: float = 20.0, each: float = 2.0
    ) -> RpcReply:
        """Repeat a request under one id until it is done or refused, as a patient client would.

        Each try waits `each` seconds, which limits what is requested on its behalf, too.
        """
        deadline = time.monotonic() + within
        while True:
            reply = await self.request(message, id=id, digest=digest, within=each)
            if reply.kind in ("done", "refused") or time.monotonic() > deadline:
                return reply
            await asyncio.sleep(0.05)

    async def outcome(self, message: Message, *, id: UUID | None = None, within: float = 20.0) -> tuple[str, Json]:
        """Repeat a request under one id until it is done or refused; returns its code and its body.

        The code is `done`, the code of the refusal, or the kind of the last reply when time was up.
        """
        reply = await self.until_done(message, id=id or uuid4(), within=within)
        body: Json = json.loads(reply.body or b"{}")
        return (str(body["code"]) if reply.kind == "refused" else reply.kind), body

    async def outcomes(self, messages: Iterable[Message]) -> list[tuple[str, Json]]:
        """The outcomes of requests that are sent at once, each under an id of its own."""
        return await asyncio.gather(*map(self.outcome, messages))

    async def wait_for_reply(self, message: Message, kind: str) -> None:
        """Repeat a request, each time as a new one, until its reply is of this kind."""

        async def is_kind() -> bool:
            return (await self.request(message, within=1.0)).kind == kind

        await eventually(is_kind)

    async def wait_for(self, query: Message, within: float = 10.0, /, **expected: Any) -> Json:
        """Repeat a query until its answer has these fields; returns the answer."""

        async def read() -> Json | None:
            reply = await self.request(query)
            return json.loads(reply.body) if reply.kind == "done" else None

        return await wait_for_fields(read, expected, within)

    async def items(self, query: Query[Any]) -> list[Json]:
        """All items of a list, read page by page."""
        found: list[Json] = []
        while True:
            page = await self.done(query)
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            query = query.model_copy(update={"cursor": page["next_cursor"]})

    async def publish(self, *messages: Message, id: UUID | None = None) -> UUID:
        """Publish commands or events in this order, as the outbox of their context would.

        Each has a message id of its own unless `id` is given; returns the last one.
        """
        message_id = id or uuid4()
        for message in messages:
            message_id = id or uuid4()
            body = message.model_dump_json().encode()
            await self.broker.publish(
                body,
                routing_key=message.topic,
                exchange=envelope.exchange(message.exchange),
                persist=True,
                headers=envelope.durable_headers(message_id, None, "test"),
                message_id=str(message_id),
                message_type=message.topic,
            )
        return message_id

    # -- events

    def events_of(self, topic: str, **fields: object) -> list[Json]:
        """The bodies of the events with this topic, and with these ids if some are given."""
        wanted = {name: str(value) for name, value in fields.items()}
        return [body for published, body in self.events if published == topic and has_fields(body, wanted)]

    async def event_names(self, context: str, **subject: object) -> list[str]:
        """The names of a context's events about one thing, in the order of their versions, each once.

        `subject` is the field that names the thing: `order_id=...`. Waits until the context's outbox is empty.
        """
        await self.wait_until_published(context)
        wanted = {name: str(value) for name, value in subject.items()}
        names = {
            (body["version"], topic.rpartition(".")[2])
            for topic, body in self.events
            if topic.rpartition(".")[0] == context and has_fields(body, wanted)
        }
        return [name for _, name in sorted(names)]

    async def wait_until_published(self, context: str) -> None:
        """Wait until a context's outbox is empty: an event may be published a moment after the answer."""

        async def is_empty() -> bool:
            return not await self.rows(context, f"select 1 from {context.replace('.', '_')}.outbox limit 1")

        await eventually(is_empty)

    # -- databases

    async def rows(self, context: str, query: str, *arguments: Any) -> list[Any]:
        """Run a query on a context's database (`provider` has one, too); returns its rows."""
        url = self.settings.provider_database if context == "provider" else self.settings.database_of(context)
        if not url.startswith("postgresql://"):
            return await self._view_reader.rows(url, context, query, arguments)
        if url not in self._databases:
            self._databases[url] = await asyncpg.create_pool(url, min_size=0, max_size=2)
        rows: list[Any] = await self._databases[url].fetch(query, *arguments)
        return rows

    async def one(self, context: str, query: str, *arguments: Any) -> Any:
        """The one row of a query."""
        (row,) = await self.rows(context, query, *arguments)
        return row

    async def wait_for_rows(self, context: str, query: str, *arguments: Any) -> list[Any]:
        """Repeat a query until it has rows; returns them."""
        rows: list[Any] = await eventually(partial(self.rows, context, query, *arguments))
        return rows

    # -- quiescence

    async def forget_answer(self, context: str, request_id: UUID) -> None:
        """Delete what a context remembers of a request, as it is deleted some days later."""
        await self.wait_until_idle()
        await self.rows(context, f"delete from {context.replace('.', '_')}.inbox where id = $1", request_id)

    async def again_with_an_old_key(self, context: str, message: Message) -> tuple[Json, Json]:
        """Send a message with a key, forget its answer and send it again; returns both answers."""
        request_id = uuid5(uuid4(), "a key")
        first = await self.done(message, id=request_id)
        await self.forget_answer(context, request_id)
        again = await self.request(message, id=request_id)
        assert (again.kind, again.replayed) == ("done", True), again
        return first, json.loads(again.body)

    async def pending_work(self) -> list[str]:
        """What is not finished among the contexts that run: inbox and outbox rows, messages in queues."""
        left = [f"{name} is down" for name in self.expected - set(self.contexts)]
        for context in {context.name: context for context in self.contexts.values()}.values():
            schema = context.worker.schema
            if is_handling(context):
                left.append(f"{context.name} handles messages")
            if not hasattr(context, "store"):
                rows = await self.rows(
                    context.name,
                    f"""select 'not published: ' || topic as what from {schema}.outbox union all
                    select state || ': ' || topic || coalesce(' ' || error, '') from {schema}.inbox
                    where state in ('started', 'waiting') and due_at < now() + interval '5 minutes' limit 5""",
                )
                left += [row["what"] for row in rows]
            for queue in context.worker.queues():
                found = await self.broker.inspect_queue(queue)
                left += [f"{found[0]} messages in {queue}"] if found and found[0] else []
        return left

    async def wait_until_idle(self, within: float = 20.0) -> None:
        """Wait until there is no pending work twice in a row: a message may be between two contexts."""
        deadline, idle = time.monotonic() + within, 0
        while idle < 2:
            try:
                left = await self.pending_work()
            except TimeoutError:
                left = ["the broker did not answer in time"]
            idle = 0 if left else idle + 1
            if left and time.monotonic() > deadline:
                raise AssertionError(f"not idle within {within} s: {left}")
            await asyncio.sleep(0.1 if left else 0.05)

    # -- video rental

    async def video(self, *, copies: int = 1, daily_price: int = 1000, title: str = "Casablanca") -> UUID:
        """Register a video, and wait until rentals knows it."""
        video = await self.done(RegisterVideo(title=title, daily_price=daily_price, copies=copies, caller=STAFF))
        video_id = UUID(video["video_id"])
        if "video_rental.rentals" in self.contexts:
            query = "select 1 from video_rental_rentals.videos where video_id = $1"
            await self.wait_for_rows("video_rental.rentals", query, video_id)
        return video_id

    def booking(
        self, video_id: UUID, member: Caller | None = None, token: str = "tok_visa", days: int = 1
    ) -> BookVideo:
        return BookVideo(video_id=video_id, days=days, payment=card(token), caller=member or customer())
