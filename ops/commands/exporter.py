"""`yeyak exporter`: the audit, again and again, as metrics and for the journal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Annotated

import structlog
import typer
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, start_http_server

from ops.audit import Finding, report
from ops.audit.report import Audited
from ops.configured import configuration
from workers.registry import CONTEXTS
from workers.runtime.settings import Settings

log = structlog.get_logger()


def register(app: typer.Typer) -> None:
    app.command()(exporter)


def exporter(
    port: Annotated[int, typer.Option(min=1, max=65535, help="where /metrics is served")] = 9120,
    host: Annotated[str, typer.Option(help="the address it is served at")] = "127.0.0.1",
    every: Annotated[float, typer.Option(min=1, help="seconds between two audits")] = 300,
) -> None:
    """Audit the system every so often, serve what was found as metrics, and tell the journal; until SIGTERM."""
    settings = configuration()
    figures = Figures(REGISTRY)
    server, _ = start_http_server(port, host)
    try:
        asyncio.run(_until_told(figures, settings, every))
    finally:
        server.shutdown()


class Figures:
    """The metrics of an audit."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        self._discrepancies = gauge("yeyak_audit_discrepancies", "What is wrong, by invariant", "invariant", "title")
        self._checked = gauge("yeyak_audit_checkable", "1 if an invariant could be checked", "invariant", "title")
        self._ended = gauge("yeyak_audit_timestamp_seconds", "When the last audit ended")
        self._took = gauge("yeyak_audit_seconds", "How long it took")
        self._kept = gauge("yeyak_money_kept_won", "What the provider keeps: captured, neither voided nor refunded")
        self._due = gauge("yeyak_money_due_won", "What the standing bookings cost, less what was given back")
        self._balance = gauge("yeyak_money_balance_won", "What is kept beyond what is due; 0 when the books are right")
        expected = gauge("yeyak_context_expected", "1 for each context of the system", "context")
        for context in CONTEXTS:
            expected.labels(context).set(1)

    def show(self, audited: Audited) -> None:
        """What an audit found."""
        for finding in audited.found:
            self._show(finding)
        if totals := audited.totals:
            self._kept.set(totals.kept)
            self._due.set(totals.due)
            self._balance.set(totals.kept - totals.due)
        self._took.set(audited.took_seconds)
        self._ended.set_to_current_time()

    def _show(self, finding: Finding) -> None:
        self._checked.labels(finding.invariant, finding.title).set(finding.not_checkable is None)
        self._discrepancies.labels(finding.invariant, finding.title).set(len(finding.discrepancies))


async def _until_told(figures: Figures, settings: Settings, every: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set():
        try:
            audited = await report.take(settings)
            figures.show(audited)
            if untold := await report.tell_journal(audited):
                log.warning("the journal was not told of the audit", reason=untold)
        except Exception:
            log.exception("the audit failed")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every):
                await stop.wait()
