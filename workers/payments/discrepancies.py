"""Differences between the provider's books and ours.

NoteProviderEvent  -> (look-up) -> DiscrepancyFound, DiscrepancyResolved
                                -> LookForCharge    (a charge behind a voided payment is voided at once)
ResolveDiscrepancy -> DiscrepancyResolved

A webhook only says where to look: the provider's books decide, so that an event may come twice, late, early or in any
order. The daily reconciliation sends the same command for each charge that differs.
"""

from __future__ import annotations

from datetime import timedelta

from contracts.base import Page
from contracts.outcomes import Outcome
from contracts.payment_discrepancies import (
    DiscrepancyFound,
    DiscrepancyResolved,
    DiscrepancyState,
    ListDiscrepancies,
    NoteProviderEvent,
    ProviderState,
    ResolveDiscrepancy,
    ShowProvider,
)
from contracts.payments import LookForCharge
from contracts.refusals import NotFound, WrongState
from storage.database import Session
from storage.payments import discrepancies as store
from storage.payments.discrepancies import Subject
from workers.payments import rules
from workers.payments.base import payments
from workers.payments.provider import NoCharge, ProviderCharge, ProviderClient
from workers.runtime.processing.tx import ExternalCall, NoReply, RunAgain, Tx

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
QUIET = timedelta(seconds=10)
"""For so long a payment must not have changed before a difference counts: the look-up may be older than the change."""


@payments.handles(NoteProviderEvent, read_only=True)
async def note_provider_event(command: NoteProviderEvent, tx: Tx) -> ExternalCall | None:
    provider = tx.resource(ProviderClient)
    if command.provider != provider.name:
        return None
    return ExternalCall(lambda: provider.find_charge(command.payment_id, command.reference), within=provider.limit)


@note_provider_event.then
async def compare_books(
    command: NoteProviderEvent, outcome: ProviderCharge | NoCharge | NoReply, tx: Tx
) -> RunAgain | None:
    if isinstance(outcome, Outcome):
        return RunAgain(tx.backoff(FIRST_DELAY, LONGEST_DELAY))
    charge = outcome if isinstance(outcome, ProviderCharge) else None
    payment_id = charge.key if charge else command.payment_id
    books = await store.books_of(tx, payment_id) if payment_id else None
    if books is None and charge and await _may_still_be_settled(charge, tx):
        return RunAgain(tx.backoff(FIRST_DELAY, LONGEST_DELAY))
    if books and books.status in rules.UNSETTLED:
        return RunAgain(tx.backoff(FIRST_DELAY, LONGEST_DELAY))
    if payment_id and rules.late_charge(books, charge):
        tx.schedule(LookForCharge(payment_id=payment_id))
    found = rules.differences(books, charge)
    if found and books and books.quiet < QUIET:
        return RunAgain(QUIET)
    subject = Subject(command.provider, payment_id, charge.reference if charge else command.reference)
    for kind, amount in found.items():
        if discrepancy := await store.record(tx, kind, amount, subject, books):
            tx.publish(DiscrepancyFound.of(discrepancy))
    for settled in await store.settle_others(tx, subject, found):
        tx.publish(DiscrepancyResolved.of(settled))
    return None


async def _may_still_be_settled(charge: ProviderCharge, tx: Tx) -> bool:
    """Whether the process that made a charge may not have written its payment yet."""
    age = await store.now(tx) - charge.created_at
    return age.total_seconds() < tx.resource(ProviderClient).capture_window


@payments.handles(ResolveDiscrepancy)
async def resolve_discrepancy(command: ResolveDiscrepancy, tx: Tx) -> DiscrepancyState:
    resolved = await store.resolve(tx, command.discrepancy_id, command.resolution, command.caller.member_id)
    if resolved is None:
        known = await store.find(tx, command.discrepancy_id)
        raise WrongState(current_status=known.status) if known else NotFound()
    tx.publish(DiscrepancyResolved.of(resolved))
    return resolved


@payments.handles(ListDiscrepancies)
async def list_discrepancies(query: ListDiscrepancies, session: Session) -> Page[DiscrepancyState]:
    return await store.newest(session, query)


@payments.handles(ShowProvider)
async def show_provider(query: ShowProvider, tx: Tx) -> ProviderState:
    provider = tx.resource(ProviderClient)
    return ProviderState(name=provider.name, mode=provider.mode)
