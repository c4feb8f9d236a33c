"""What the payment provider's books say and ours do not, found by its webhooks and by the daily reconciliation.

NoteProviderEvent  -> (look-up at the provider) -> DiscrepancyFound, LookForCharge for a charge that came too late
                                                -> DiscrepancyResolved   (the books agree again)
ResolveDiscrepancy -> DiscrepancyResolved                                (by staff)

The daily reconciliation sends a NoteProviderEvent for each charge that differs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Command, Event, Page, Query, Reason, Shape, Won
from contracts.refusals import NotFound, WrongState

ProviderName = Literal["simulator", "stripe", "portone"]
ProviderMode = Literal["simulated", "test", "live"]
"""Whether real money moves: only in `live`."""


class DiscrepancyKind(StrEnum):
    REFUNDED_AT_PROVIDER = "REFUNDED_AT_PROVIDER"
    """The provider has given back more than we asked for: a refund by its dashboard."""
    REFUND_REVERSED = "REFUND_REVERSED"
    """The provider has given back less than we know of: a refund failed after it was accepted."""
    DISPUTED = "DISPUTED"
    """The cardholder's bank disputes the charge or has taken it back (chargeback)."""
    UNKNOWN_CHARGE = "UNKNOWN_CHARGE"
    """The provider keeps money of a charge that we do not have, or have as declined."""
    MISSING_CHARGE = "MISSING_CHARGE"
    """We have a paid payment that the provider does not have."""
    AMOUNT_DIFFERS = "AMOUNT_DIFFERS"
    """The provider has captured another amount than we have."""


class DiscrepancyStatus(StrEnum):
    OPEN = "OPEN"
    RESOLVED = "RESOLVED"


class DiscrepancyState(Shape):
    """One difference between the provider's books and ours; there is one per charge and kind."""

    discrepancy_id: UUID
    kind: DiscrepancyKind
    status: DiscrepancyStatus
    amount: Won
    """What the books differ by."""
    provider: str
    reference: str
    """The provider's own id of the charge."""
    payment_id: UUID | None
    payer: str
    """Empty when we have no such payment."""
    purpose: str
    """The context that requested the payment; empty when we have none."""
    resolution: str | None
    """What staff did about it; None when the books agree by themselves."""
    resolved_by: str | None
    found_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class NoteProviderEvent(Command[None]):
    """The provider's webhook reports a change of a charge. It says where to look, not what is true."""

    topic = "payments.note_provider_event"

    provider: ProviderName
    event_id: str
    kind: str
    """The provider's word for it: `charge.dispute.created`, `Transaction.Cancelled`; `reconciliation` of our own."""
    payment_id: UUID | None
    reference: str
    """The provider's own id of the charge."""


class ResolveDiscrepancy(Command[DiscrepancyState]):
    """Staff have dealt with a difference; it is open again when its amount changes."""

    topic = "payments.resolve_discrepancy"
    refusals = (NotFound, WrongState)

    discrepancy_id: UUID
    resolution: Reason
    caller: Caller


class DiscrepancyEvent(DiscrepancyState, Event):
    """A change of a difference, with its state after the change."""

    about = "purpose"


class DiscrepancyFound(DiscrepancyEvent):
    topic = "payments.discrepancy_found"


class DiscrepancyResolved(DiscrepancyEvent):
    topic = "payments.discrepancy_resolved"


JOURNAL_ONLY = (DiscrepancyFound, DiscrepancyResolved)
"""Events that only the journal handles."""


class ListDiscrepancies(Query[Page[DiscrepancyState]]):
    topic = "payments.list_discrepancies"
    refusals = ()

    status: DiscrepancyStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ProviderState(Shape):
    """The payment provider that is in use."""

    name: ProviderName
    mode: ProviderMode


class ShowProvider(Query[ProviderState]):
    topic = "payments.show_provider"
    refusals = ()
