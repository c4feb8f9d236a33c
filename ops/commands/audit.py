"""`yeyak audit`: check the invariants of the system."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from ops.audit import Finding, pending_work, report
from ops.audit.report import AuditResult
from ops.cli_support import configuration
from ops.settings import SystemSettings
from ops.terminal import echo

SHOWN = 20
"""How many discrepancies of one invariant are printed."""


def register(app: typer.Typer) -> None:
    app.command()(audit)


def audit(
    as_json: Annotated[bool, typer.Option("--json", help="the findings as JSON")] = False,
    wait: Annotated[float, typer.Option(min=0, help="seconds to wait until no work is pending")] = 0,
) -> None:
    """Check the invariants over all stores and send the result to the journal; exits with 1 on a discrepancy."""
    pending, result, problem = asyncio.run(_run(configuration(), wait))
    found = result.found
    if as_json:
        invariants = [_as_json(finding) for finding in found]
        echo(json.dumps({"passed": result.passed, "pending_work": pending, "invariants": invariants}, indent=1))
    else:
        for line in [*(f"pending: {sentence}" for sentence in pending), *printed(found)]:
            echo(line)
    if problem:
        echo(f"the journal did not get the result: {problem}", err=True)
    if not result.passed:
        raise typer.Exit(1)


async def _run(settings: SystemSettings, wait: float) -> tuple[list[str], AuditResult, str | None]:
    pending = await pending_work(settings, wait) if wait else []
    result = await report.run_audit(settings)
    return pending, result, await report.send_to_journal(result)


def _as_json(finding: Finding) -> dict[str, object]:
    return {
        "invariant": finding.invariant,
        "title": finding.title,
        "passed": finding.passed,
        "discrepancies": finding.discrepancies,
        "not_checkable": finding.not_checkable,
    }


def printed(found: list[Finding]) -> list[str]:
    """Format the findings: a line for each invariant, and its discrepancies below it."""
    lines = []
    for finding in found:
        lines.append(f"{finding.invariant}  {finding.title:<24} {_outcome(finding)}")
        lines += [f"      {sentence}" for sentence in finding.discrepancies[:SHOWN]]
        if (more := len(finding.discrepancies) - SHOWN) > 0:
            lines.append(f"      and {more} more: `yeyak audit --json` names them all")
    return lines


def _outcome(finding: Finding) -> str:
    count = len(finding.discrepancies)
    outcome = "" if count == 0 else f"{count} discrepanc{'y' if count == 1 else 'ies'}"
    if finding.not_checkable:
        return f"{outcome}{', ' if outcome else ''}not checkable: {finding.not_checkable}"
    return outcome or "ok"
