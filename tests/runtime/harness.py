"""The sample context on real servers: four messages, whose handlers a test chooses."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import aio_pika
from alembic.migration import MigrationContext
from alembic.operations import Operations
from pydantic import SecretStr
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from contracts.base import Command, Event, Query, Refused, Shape, Words
from contracts.refusals import NotFound
from ops.settings import SystemSettings
from storage.database import Statement
from storage.migrations.common import create_inbox_and_outbox
from tests.support.proxy import Proxy
from tests.support.system import System
from workers.runtime.messaging import topology
from workers.runtime.processing.tx import Tx
from workers.runtime.processing.worker_runtime import WorkerRuntime
from workers.runtime.worker import Worker


class WorkResult(Shape):
    """The answer to `DoWork`, `ShowWork` and `Decide`."""

    text: str = ""


class WorkRefused(Refused):
    """The refusal of the sample context."""

    code = "work_refused"
    ko = Words("할 수 없습니다", "이 일은 지금 할 수 없습니다.")
    en = Words("Refused", "This work cannot be done now.")

    left: int = 0


class DoWork(Command[WorkResult]):
    topic = "sample.do_work"
    refusals = (WorkRefused, NotFound)

    text: str = ""


class ShowWork(Query[WorkResult]):
    topic = "sample.show_work"
    refusals = (WorkRefused, NotFound)

    text: str = ""


class RecordNote(Command[None]):
    topic = "sample.record_note"

    text: str = ""


class WorkDone(Event):
    topic = "sample.work_done"

    text: str = ""


class Decide(Command[WorkResult]):
    """A request to the context `decisions`."""

    topic = "decisions.decide"


_EFFECT = Statement("insert into sample.effects (message_id, what) values (:message_id, :what)")


async def record_effect(tx: Tx, what: str) -> None:
    """Write a row that a test can count."""
    await tx.value(_EFFECT, message_id=tx.id, what=what)


def _create(connection: Connection) -> None:
    connection.execute(text("create schema sample"))
    connection.execute(text("set local search_path to sample"))
    with Operations.context(MigrationContext.configure(connection)):
        create_inbox_and_outbox()
    columns = "message_id uuid, what text, at timestamptz default clock_timestamp()"
    connection.execute(text(f"create table effects ({columns})"))


class RuntimeHarness(System):
    """Runs workers of a test: `await harness.run(worker)`; their database can be cut off."""

    database: Proxy

    def __init__(self, settings: SystemSettings) -> None:
        super().__init__(settings)
        self._channels: list[Any] = []

    async def open(self) -> RuntimeHarness:
        url = self.settings.database_of("sample")
        engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.run_sync(_create)
        await engine.dispose()
        self.database = await Proxy(url).mend()
        self._connection = await aio_pika.connect(self.amqp_url)
        self._through = {"sample": SecretStr(self.database.url), "decisions": SecretStr(self.database.url)}
        await topology.apply(self.amqp_url, topology.plan([]))
        await self.broker.connect()
        return self

    @property
    def amqp_url(self) -> str:
        return self.settings.amqp_url.get_secret_value()

    async def channel(self) -> Any:
        """Open a channel that is closed after the test."""
        self._channels.append(await self._connection.channel())
        return self._channels[-1]

    async def run(self, worker: Worker, replica: str = "", **settings: Any) -> WorkerRuntime:
        """Declare the queues of a worker and start it; it connects to its database through the proxy."""
        await topology.apply(self.amqp_url, topology.plan([worker]))
        changed = self.settings.model_copy(update={"context_database_urls": self._through, **settings})
        context = worker.runtime(changed)
        self.contexts[worker.name + replica] = context
        await context.start()
        self.rpc._queues.clear()  # forget the consumers of an earlier test
        return context

    async def close(self) -> None:
        await super().close()
        await self._connection.close()
        await self.database.cut()

    async def effects(self, id: UUID | None = None) -> list[str]:
        """Return the recorded effects of one message or of all, in order."""
        query = "select what from sample.effects where $1::uuid is null or message_id = $1 order by at"
        return [row["what"] for row in await self.rows("sample", query, id)]

    async def row(self, id: UUID) -> Any:
        """Return the inbox row of a message; None when there is none."""
        rows = await self.rows("sample", "select * from sample.inbox where id = $1", id)
        return rows[0] if rows else None

    async def reset(self) -> None:
        """Stop the contexts, and delete what they wrote."""
        await self.database.mend()
        for channel in self._channels:
            await channel.close()
        self._channels.clear()
        await self.stop(*self.contexts)
        await self.rows("sample", "truncate sample.inbox, sample.outbox, sample.effects")
