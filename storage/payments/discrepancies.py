"""Differences between the provider's books and ours: one row per charge and kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import NAMESPACE_URL, UUID, uuid5

from contracts.base import Page
from contracts.payment_discrepancies import DiscrepancyKind, DiscrepancyState, ListDiscrepancies
from contracts.payments import PaymentStatus
from storage import paging
from storage.database import Row, Session, Statement


@dataclass(frozen=True, slots=True)
class Books:
    """What we have of a payment; amounts in won."""

    payment_id: UUID
    status: PaymentStatus
    payer: str
    purpose: str
    captured: int
    """Captured in all, voided or not."""
    given_back: int
    """Voided and refunded."""
    refunding: int
    """Asked of the provider, and not known to have succeeded."""
    created_at: datetime
    quiet: timedelta
    """Time since the last change, by the database's clock."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A charge whose books are compared: by our payment's id or, if it has none, by the provider's own."""

    provider: str
    payment_id: UUID | None
    reference: str

    @property
    def name(self) -> str:
        return str(self.payment_id) if self.payment_id else self.reference


_BOOKS = """
    select payment_id, status, payer, purpose, captured + voided as captured, voided + refunded as given_back,
      refunding, created_at, clock_timestamp() - modified_at as quiet
    from payments.payments """
_BOOKS_OF = Statement(_BOOKS + "where payment_id = :payment_id for share")
_BOOKS_BETWEEN = Statement(_BOOKS + "where created_at >= :since and created_at < :until order by created_at")


async def books_of(session: Session, payment_id: UUID) -> Books | None:
    """Our side of a payment, locked against changes until this transaction ends; None when its id is unknown."""
    row = await session.one(_BOOKS_OF, payment_id=payment_id)
    return _books(row) if row else None


async def books_between(session: Session, since: datetime, until: datetime) -> list[Books]:
    """Our side of the payments that were created from `since` on and before `until`."""
    return [_books(row) for row in await session.all(_BOOKS_BETWEEN, since=since, until=until)]


def _books(row: Row) -> Books:
    return Books(**{**dict(row), "status": PaymentStatus(row["status"])})


def discrepancy_of(row: Row) -> DiscrepancyState:
    return DiscrepancyState.model_validate(dict(row))


_RECORD = Statement("""
    insert into payments.discrepancies as existing
      (discrepancy_id, kind, status, amount, provider, reference, payment_id, payer, purpose)
    values (:discrepancy_id, :kind, 'OPEN', :amount, :provider, :reference, :payment_id, :payer, :purpose)
    on conflict (discrepancy_id) do update set status = 'OPEN', amount = excluded.amount, resolution = null,
      resolved_by = null, modified_at = now(), version = existing.version + 1
      where existing.amount <> excluded.amount
    returning *""")


async def record(
    session: Session, kind: DiscrepancyKind, amount: int, subject: Subject, books: Books | None
) -> DiscrepancyState | None:
    """Record a difference, or open it again with another amount; None when it is known with this amount."""
    row = await session.one(
        _RECORD,
        discrepancy_id=uuid5(NAMESPACE_URL, f"{subject.provider}:{subject.name}:{kind}"),
        kind=kind.value,
        amount=amount,
        provider=subject.provider,
        reference=subject.reference,
        payment_id=subject.payment_id,
        payer=books.payer if books else "",
        purpose=books.purpose if books else "",
    )
    return discrepancy_of(row) if row else None


_SETTLE = Statement("""
    update payments.discrepancies set status = 'RESOLVED', amount = 0, modified_at = now(), version = version + 1
    where provider = :provider and coalesce(cast(payment_id as text), reference) = :name
      and status = 'OPEN' and kind <> all(cast(:kinds as text[]))
    returning *""")


async def settle_others(session: Session, subject: Subject, kinds: Iterable[DiscrepancyKind]) -> list[DiscrepancyState]:
    """Close the open differences of a charge that are of other kinds: the books agree there again."""
    names = [kind.value for kind in kinds]
    rows = await session.all(_SETTLE, provider=subject.provider, name=subject.name, kinds=names)
    return [discrepancy_of(row) for row in rows]


_RESOLVE = Statement("""
    update payments.discrepancies set status = 'RESOLVED', resolution = :resolution, resolved_by = :resolved_by,
      modified_at = now(), version = version + 1
    where discrepancy_id = :discrepancy_id and status = 'OPEN' returning *""")


async def resolve(session: Session, discrepancy_id: UUID, resolution: str, by: str) -> DiscrepancyState | None:
    """Close an open difference; None when there is none."""
    row = await session.one(_RESOLVE, discrepancy_id=discrepancy_id, resolution=resolution, resolved_by=by)
    return discrepancy_of(row) if row else None


_FIND = Statement("select * from payments.discrepancies where discrepancy_id = :discrepancy_id")


async def find(session: Session, discrepancy_id: UUID) -> DiscrepancyState | None:
    """A difference; None when its id is unknown."""
    row = await session.one(_FIND, discrepancy_id=discrepancy_id)
    return discrepancy_of(row) if row else None


_NEWEST = paging.Newest(
    DiscrepancyState, "payments.discrepancies", "discrepancy_id", at="found_at", filters=("status",)
)


async def newest(session: Session, query: ListDiscrepancies) -> Page[DiscrepancyState]:
    """One page of differences, newest first."""
    return await _NEWEST.page(session, query)


_NOW = Statement("select clock_timestamp()")


async def now(session: Session) -> datetime:
    """The instant, by the database's clock."""
    found: datetime = await session.value(_NOW)
    return found


_LOCK = Statement("select pg_try_advisory_xact_lock(hashtext('payments: reconciliation'))")


async def lock_reconciliation(session: Session) -> bool:
    """Lock the reconciliation until the transaction ends; False when another process has it."""
    return bool(await session.value(_LOCK))


_UNCOMPARED = Statement("""
    select cast(day as date) as day
    from generate_series(cast(:first as date), cast(:last as date), interval '1 day') as days(day)
    where not exists (select from payments.reconciliations r where r.day = days.day) order by day""")


async def uncompared(session: Session, first: date, last: date) -> list[date]:
    """The days of a range that were never compared, oldest first."""
    return [row["day"] for row in await session.all(_UNCOMPARED, first=first, last=last)]


_COMPARED = Statement("""
    insert into payments.reconciliations (day, charges, captured, given_back, differences)
    values (:day, :charges, :captured, :given_back, :differences)
    on conflict (day) do update set charges = excluded.charges, captured = excluded.captured,
      given_back = excluded.given_back, differences = excluded.differences, compared_at = now()""")


async def mark_compared(
    session: Session, day: date, *, charges: int, captured: int, given_back: int, differences: int
) -> None:
    """Record that a day was compared, with the provider's sums and the number of differences."""
    await session.value(
        _COMPARED, day=day, charges=charges, captured=captured, given_back=given_back, differences=differences
    )


_OPEN = Statement("select kind, count(*) as number from payments.discrepancies where status = 'OPEN' group by kind")


async def count_open(session: Session) -> dict[DiscrepancyKind, int]:
    """The number of open differences of each kind that has any."""
    return {DiscrepancyKind(row["kind"]): row["number"] for row in await session.all(_OPEN)}


_LAST_COMPARED = Statement("select max(day) from payments.reconciliations")


async def last_compared(session: Session) -> date | None:
    """The last day that was compared; None before the first."""
    found: date | None = await session.value(_LAST_COMPARED)
    return found
