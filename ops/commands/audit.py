"""`yeyak audit`: whether the system kept its promises."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from ops.audit import Finding, pending_work, report
from ops.audit.report import Audited
from ops.configured import configuration
from workers.runtime.settings import Settings

SHOWN = 20
"""Discrepancies of one invariant that a person is shown."""


def register(app: typer.Typer) -> None:
    app.command()(audit)


def audit(
    as_json: Annotated[bool, typer.Option("--json", help="the findings as JSON")] = False,
    wait: Annotated[float, typer.Option(min=0, help="seconds to wait for the system to be quiet")] = 0,
) -> None:
    """Check the invariants over all stores, and tell the journal; ends with 1 when anything is wrong, and names it."""
    at_work, audited, untold = asyncio.run(_look(configuration(), wait))
    found = audited.found
    if as_json:
        invariants = [_described(finding) for finding in found]
        typer.echo(json.dumps({"well": audited.well, "under_way": at_work, "invariants": invariants}, indent=1))
    else:
        for line in [*(f"under way: {sentence}" for sentence in at_work), *printed(found)]:
            typer.echo(line)
    if untold:
        typer.echo(f"the journal was not told: {untold}", err=True)
    if not audited.well:
        raise typer.Exit(1)


async def _look(settings: Settings, wait: float) -> tuple[list[str], Audited, str | None]:
    at_work = await pending_work(settings, wait) if wait else []
    audited = await report.take(settings)
    return at_work, audited, await report.tell_journal(audited)


def _described(finding: Finding) -> dict[str, object]:
    return {
        "invariant": finding.invariant,
        "title": finding.title,
        "well": finding.well,
        "discrepancies": finding.discrepancies,
        "not_checkable": finding.not_checkable,
    }


def printed(found: list[Finding]) -> list[str]:
    """One line for each invariant, and its discrepancies below it."""
    lines = []
    for finding in found:
        lines.append(f"{finding.invariant}  {finding.title:<24} {_verdict(finding)}")
        lines += [f"      {sentence}" for sentence in finding.discrepancies[:SHOWN]]
        if (more := len(finding.discrepancies) - SHOWN) > 0:
            lines.append(f"      and {more} more: `yeyak audit --json` names them all")
    return lines


def _verdict(finding: Finding) -> str:
    count = len(finding.discrepancies)
    verdict = "" if count == 0 else f"{count} discrepanc{'y' if count == 1 else 'ies'}"
    if finding.not_checkable:
        return f"{verdict}{', ' if verdict else ''}not checkable: {finding.not_checkable}"
    return verdict or "ok"
