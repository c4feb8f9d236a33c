"""Payments without a broker: its handlers on a real PostgreSQL; tests run its timers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from contracts.base import CATALOGUE, Caller, Command, Message
from contracts.payments import (
    Card,
    PaymentState,
    PaymentStatus,
    RefundAmount,
    RefundPayment,
    RefundRest,
    RefundState,
    RequestPayment,
    VoidPayment,
)
from ops.settings import SystemSettings
from storage.migrations import migrate
from storage.payments import payments as store
from storage.payments import refunds
from tests.support.servers import Servers
from workers.payments import worker
from workers.payments.provider import ProviderClient
from workers.runtime.messaging.envelope import Envelope
from workers.runtime.processing.processor import MessageProcessor
from workers.runtime.processing.results import ProcessingResult
from workers.runtime.processing.worker_runtime import WorkerRuntime

KIM = Caller(member_id="kim", role="customer")
STAFF = Caller(member_id="boss", role="staff")


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
async def migrated(servers: Servers) -> str:
    """A database with the tables of payments, and one named `..._provider` with those of the simulator."""
    name = f"payments_{uuid4().hex[:8]}"
    await _execute(servers.url_of("postgres"), f"create database {name}", f"create database {name}_provider")
    await asyncio.to_thread(migrate, "payments", servers.url_of(name))
    await asyncio.to_thread(migrate, "provider", servers.url_of(f"{name}_provider"))
    return servers.url_of(name)


@pytest.fixture
async def database_url(migrated: str) -> str:
    """The database of `migrated` with empty tables."""
    tables = ("inbox", "outbox", "payments", "refunds", "entries")
    await _execute(migrated, "truncate " + ", ".join(f"payments.{table}" for table in tables))
    await _execute(f"{migrated}_provider", "truncate provider.charges, provider.refunds")
    return migrated


class Payments:
    """The handlers, timers and tables of payments."""

    def __init__(self, runtime: WorkerRuntime) -> None:
        self.runtime = runtime

    async def handle(self, message: Message, *, id: UUID | None = None, deadline: float = 2.4) -> ProcessingResult:
        """Handle one delivery; only a request has a deadline and a reply."""
        is_request = message.delivery() == "request"
        envelope = Envelope(
            id=id or uuid4(),
            topic=message.topic,
            body=message.model_dump_json().encode(),
            story_id=uuid4(),
            causation_id=None,
            actor="video_rental.rentals",
            deadline=deadline if is_request else 0.0,
            reply_to="replies|yeyak.replies" if is_request else "",
        )
        handler = worker.handlers[message.topic]
        processor = MessageProcessor(self.runtime.services, handler, message, envelope, time.monotonic())
        return await (self.runtime._answer_query(processor) if handler.is_query else processor.run())

    async def answer(self, message: Command[Any], **more: Any) -> str:
        """Handle a command; returns the status in the answer, or the code of the refusal."""
        result = await self.handle(message, **more)
        return result.code or json.loads(result.body)["status"]

    async def charge_at_the_provider(self, command: RequestPayment) -> None:
        """What a process leaves that dies between the provider's reply and its commit."""
        await self.runtime.resource(ProviderClient).charge(
            command.payment_id,
            command.amount,
            command.method.token,
            payer=command.payer,
            purpose=command.purpose,
            deadline=time.monotonic() + 1,
        )

    async def run_timers(self, hours: float = 0.001) -> None:
        """Move the timers back by some hours, and run those that are due."""
        await self.execute(
            f"update payments.inbox set due_at = due_at - interval '{hours} hours' where state = 'waiting'"
        )
        await self.runtime.scheduler.run()

    async def wait_for(self, payment_id: UUID, *statuses: PaymentStatus) -> PaymentState:
        """Run timers until a payment has one of these statuses; returns it."""
        for _ in range(60):
            payment = await self.payment(payment_id)
            if payment.status in statuses:
                return payment
            await self.run_timers()
            await asyncio.sleep(0.05)
        raise AssertionError(f"{payment.status}, not one of {statuses}")

    async def payment(self, payment_id: UUID) -> PaymentState:
        async with self.runtime.database.session() as session:
            payment = await store.find(session, payment_id)
        assert payment is not None
        return payment

    async def refund(self, refund_id: UUID) -> RefundState:
        async with self.runtime.database.session() as session:
            refund = await refunds.find(session, refund_id)
        assert refund is not None
        return refund

    async def execute(self, statement: str, *values: Any) -> None:
        async with self.runtime.database.session() as session:
            await session.connection.execute(statement, *values)

    async def rows(self, statement: str) -> list[dict[str, Any]]:
        async with self.runtime.database.session() as session:
            return [dict(row) for row in await session.connection.fetch(statement)]

    async def events(self) -> list[Any]:
        """All events so far, in the order in which they were stored."""
        rows = await self.rows("select topic, body from payments.outbox order by created_at")
        return [CATALOGUE[row["topic"]].model_validate_json(row["body"]) for row in rows]

    async def event_names(self) -> list[str]:
        return [type(event).__name__ for event in await self.events()]

    async def charges(self) -> list[dict[str, Any]]:
        """The provider's charges."""
        connection = await asyncpg.connect(self.runtime.settings.provider_database)
        try:
            return [dict(row) for row in await connection.fetch("select * from provider.charges order by created_at")]
        finally:
            await connection.close()

    async def net_charges(self) -> int:
        """What the provider has taken and not given back, of all charges together, in won."""
        return sum(row["captured"] - row["voided"] - row["refunded"] for row in await self.charges())

    async def wait_for_captured(self, amount: int) -> None:
        """Wait until the provider keeps this amount of all charges together."""
        async with asyncio.timeout(10):
            while await self.net_charges() != amount:
                await asyncio.sleep(0.05)


@pytest.fixture
async def payments(database_url: str, tmp_path: Path) -> AsyncIterator[Payments]:
    """One replica of payments; a slow charge takes 1 s, a call to the provider 0.6 s at most."""
    settings = SystemSettings(
        database_url=database_url,
        payments_slow_seconds=1.0,
        payments_provider_ms=600,
        payments_refund_log=tmp_path / "refunds" / "log.jsonl",
    )
    async with replica(settings) as one:
        yield one


@asynccontextmanager
async def replica(settings: SystemSettings) -> AsyncIterator[Payments]:
    """Payments with its database and its provider, and no broker."""
    runtime = WorkerRuntime(worker, settings)
    await runtime.open()
    yield Payments(runtime)
    await runtime.close()


def request(token: str = "tok_visa", *, amount: int = 9000, payment_id: UUID | None = None) -> RequestPayment:
    card = Card(method="card", token=token, last4="4242", brand="visa")
    return RequestPayment(
        payment_id=payment_id or uuid4(), payer="kim", amount=amount, method=card, purpose="video_rental.rentals"
    )


def void(payment: RequestPayment) -> VoidPayment:
    return VoidPayment(payment_id=payment.payment_id)


def rest_of(payment: RequestPayment, refund_id: UUID | None = None) -> RefundRest:
    return RefundRest(payment_id=payment.payment_id, refund_id=refund_id or uuid4(), reason="cancelled")


def amount_of(payment: RequestPayment, amount: int) -> RefundAmount:
    return RefundAmount(payment_id=payment.payment_id, refund_id=uuid4(), amount=amount, reason="scratched")


def part_of(payment: RequestPayment, amount: int) -> RefundPayment:
    return RefundPayment(payment_id=payment.payment_id, amount=amount, reason="scratched", caller=STAFF)
