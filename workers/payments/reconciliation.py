"""The daily reconciliation: the provider's list of a day's charges beside our payments.

Each charge that differs is looked up again by `NoteProviderEvent`, which records what still differs then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Protocol
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from prometheus_client import Gauge

from contracts.payment_discrepancies import DiscrepancyKind, NoteProviderEvent, ProviderName
from storage.database import Database, Session
from storage.inbox import OutboxMessage
from storage.payments import discrepancies as store
from storage.payments.discrepancies import Books
from workers.payments import rules
from workers.payments.base import payments
from workers.payments.provider import ProviderCharge, ProviderClient
from workers.runtime.processing.worker_runtime import WorkerRuntime

SEOUL = ZoneInfo("Asia/Seoul")
SETTLED_AFTER = timedelta(hours=2)
"""After the end of a day, before it is compared: every charge has its outcome then."""
DAYS_BACK = 7
"""How far back days are compared that were missed."""
MARGIN = timedelta(hours=1)
"""A charge and its payment may be created on two sides of midnight, by two clocks."""


OPEN = Gauge(
    "yeyak_payment_discrepancies_open", "Open differences between the provider's books and ours, by kind", ("kind",)
)
COMPARED = Gauge(
    "yeyak_payments_compared_until_seconds", "The end of the last day whose charges were compared; 0 before the first"
)


class ChargeList(Protocol):
    """The part of a provider that is compared."""

    def charges(self, since: datetime, until: datetime) -> AsyncIterator[ProviderCharge]: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """A charge whose books differ, or that is behind a voided payment."""

    payment_id: UUID | None
    reference: str
    kinds: dict[DiscrepancyKind, int]
    is_late: bool


@dataclass(slots=True)
class Comparison:
    """A day's charges at the provider, beside our payments; sums in won."""

    day: date
    charges: int = 0
    captured: int = 0
    given_back: int = 0
    differences: list[Difference] = field(default_factory=list)


def bounds(day: date) -> tuple[datetime, datetime]:
    """Begin and end of a day of Seoul."""
    begin = datetime.combine(day, time(), SEOUL)
    return begin, begin + timedelta(days=1)


async def compare(provider: ChargeList, database: Database, day: date) -> Comparison:
    """Compare a day; a payment that changes meanwhile may seem to differ."""
    begin, end = bounds(day)
    charges = [one async for one in provider.charges(begin - MARGIN, end + MARGIN)]
    async with database.session() as session:
        ours = await store.books_between(session, begin - MARGIN, end + MARGIN)
    books = {one.payment_id: one for one in ours}
    found = Comparison(day)
    for charge in charges:
        if begin <= charge.created_at < end:
            found.charges += 1
            found.captured += charge.captured
            found.given_back += charge.given_back
            _compare(found, books.get(charge.key) if charge.key else None, charge, charge.key, charge.reference)
    listed = {charge.key for charge in charges}
    for payment in ours:
        if begin <= payment.created_at < end and payment.payment_id not in listed:
            _compare(found, payment, None, payment.payment_id, str(payment.payment_id))
    return found


def _compare(
    found: Comparison, books: Books | None, charge: ProviderCharge | None, payment_id: UUID | None, reference: str
) -> None:
    kinds, is_late = rules.differences(books, charge), rules.late_charge(books, charge)
    if kinds or is_late:
        found.differences.append(Difference(payment_id, reference, kinds, is_late))


@payments.every(600)
async def reconcile(context: WorkerRuntime) -> None:
    """Compare the days that have not been compared, one at a time, unless another replica does."""
    provider = context.resource(ProviderClient)
    async with context.database.session() as session:
        now = await store.now(session)
        last = (now - SETTLED_AFTER).astimezone(SEOUL).date() - timedelta(days=1)
        days = await store.uncompared(session, last - timedelta(days=DAYS_BACK - 1), last)
    for day in days:
        comparison = await compare(provider, context.database, day)
        async with context.database.transaction() as session:
            if not await store.lock_reconciliation(session) or not await store.uncompared(session, day, day):
                return
            commands = [_command(provider.name, difference) for difference in comparison.differences]
            await context.inbox.add_messages(session, commands)
            await store.mark_compared(
                session,
                day,
                charges=comparison.charges,
                captured=comparison.captured,
                given_back=comparison.given_back,
                differences=len(comparison.differences),
            )


def _command(provider: ProviderName, difference: Difference) -> OutboxMessage:
    id = uuid4()
    command = NoteProviderEvent(
        provider=provider,
        event_id=str(id),
        kind="reconciliation",
        payment_id=difference.payment_id,
        reference=difference.reference,
    )
    return OutboxMessage(id, command.topic, command.model_dump_json(), difference.payment_id or id, None, payments.name)


@payments.gauge
async def set_gauges(session: Session) -> None:
    found = await store.count_open(session)
    for kind in DiscrepancyKind:
        OPEN.labels(kind).set(found.get(kind, 0))
    day = await store.last_compared(session)
    COMPARED.set(bounds(day)[1].timestamp() if day else 0)
