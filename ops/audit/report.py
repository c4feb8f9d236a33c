"""Runs an audit and sends its result to the journal."""

from __future__ import annotations

import time
from dataclasses import dataclass

from contracts.base import Refused
from contracts.journal import AuditedInvariant, AuditReport, RecordAudit
from ops.audit.money import Totals
from ops.audit.runner import Finding, findings, money_balance
from ops.requests import RequestFailed, describe_refusal, request_client
from ops.settings import SystemSettings

MAX_DISCREPANCIES, MAX_CHARACTERS = 5, 400
"""How many discrepancies of an invariant are sent to the journal, and how many characters of each."""


@dataclass(frozen=True)
class AuditResult:
    """What an audit found, and how long it took."""

    found: list[Finding]
    totals: Totals | None
    took_seconds: float

    @property
    def passed(self) -> bool:
        return all(finding.passed for finding in self.found)

    def report(self) -> AuditReport:
        """The result as the message of the journal."""
        return AuditReport(
            invariants=[_as_reported(finding) for finding in self.found],
            money_kept=self.totals.kept if self.totals else None,
            money_due=self.totals.due if self.totals else None,
            took_seconds=round(self.took_seconds, 3),
        )


async def run_audit(settings: SystemSettings) -> AuditResult:
    """Run one audit."""
    began = time.monotonic()
    found = await findings(settings)
    totals = await money_balance(settings)
    return AuditResult(found, totals, time.monotonic() - began)


async def send_to_journal(audited: AuditResult) -> str | None:
    """Send the result to the journal; returns why that failed, or None."""
    try:
        async with request_client() as request:
            await request(RecordAudit(report=audited.report()))
    except Refused as refusal:
        return describe_refusal(refusal)
    except RequestFailed as failure:
        return str(failure)
    return None


def _as_reported(finding: Finding) -> AuditedInvariant:
    return AuditedInvariant(
        invariant=finding.invariant,
        title=finding.title,
        discrepancies=len(finding.discrepancies),
        first=[text[:MAX_CHARACTERS] for text in finding.discrepancies[:MAX_DISCREPANCIES]],
        not_checkable=finding.not_checkable,
    )
