"""An audit taken, and the journal told of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from contracts.base import Refused
from contracts.journal import AuditedInvariant, AuditReport, RecordAudit
from ops.audit import Finding, Totals, findings, money_balance
from ops.requests import NoAnswerError, asking, why
from workers.runtime.settings import Settings

FIRST, SENTENCE = 5, 400
"""How many discrepancies of an invariant the journal is told, and how much of each."""


@dataclass(frozen=True)
class Audited:
    """What an audit found, and what it took."""

    found: list[Finding]
    totals: Totals | None
    took_seconds: float

    @property
    def well(self) -> bool:
        return all(finding.well for finding in self.found)

    def report(self) -> AuditReport:
        """As the journal is told."""
        return AuditReport(
            invariants=[_told(finding) for finding in self.found],
            money_kept=self.totals.kept if self.totals else None,
            money_due=self.totals.due if self.totals else None,
            took_seconds=round(self.took_seconds, 3),
        )


async def take(settings: Settings) -> Audited:
    """Audit once."""
    began = time.monotonic()
    found = await findings(settings)
    totals = await money_balance(settings)
    return Audited(found, totals, time.monotonic() - began)


async def tell_journal(audited: Audited) -> str | None:
    """Have the journal keep it; returns why it could not."""
    try:
        async with asking() as ask:
            await ask(RecordAudit(report=audited.report()))
    except Refused as refusal:
        return why(refusal)
    except NoAnswerError as silence:
        return str(silence)
    return None


def _told(finding: Finding) -> AuditedInvariant:
    return AuditedInvariant(
        invariant=finding.invariant,
        title=finding.title,
        discrepancies=len(finding.discrepancies),
        first=[sentence[:SENTENCE] for sentence in finding.discrepancies[:FIRST]],
        not_checkable=finding.not_checkable,
    )
