"""`yeyak exporter`: run the audit periodically, serve it as metrics and send it to the journal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Annotated

import structlog
import typer
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, start_http_server

from ops.audit import Finding, report
from ops.audit.report import AuditResult
from ops.cli_support import configuration
from ops.settings import SystemSettings
from workers.registry import CONTEXTS

log = structlog.get_logger()


def register(app: typer.Typer) -> None:
    app.command()(exporter)


def exporter(
    port: Annotated[int, typer.Option(min=1, max=65535, help="where /metrics is served")] = 9120,
    host: Annotated[str, typer.Option(help="the address that it listens on")] = "127.0.0.1",
    every: Annotated[float, typer.Option(min=1, help="seconds between two audits")] = 300,
) -> None:
    """Audit the system periodically, serve the findings as metrics and send them to the journal, until SIGTERM."""
    settings = configuration()
    metrics = AuditMetrics(REGISTRY)
    server, _ = start_http_server(port, host)
    try:
        asyncio.run(_run_until_stopped(metrics, settings, every))
    finally:
        server.shutdown()


class AuditMetrics:
    """The gauges that show the last audit."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        self._discrepancies = gauge("yeyak_audit_discrepancies", "Discrepancies by invariant", "invariant", "title")
        self._checked = gauge(
            "yeyak_audit_checkable", "1 when the last audit could check the invariant", "invariant", "title"
        )
        self._ended = gauge("yeyak_audit_timestamp_seconds", "When the last audit ended")
        self._took = gauge("yeyak_audit_seconds", "Duration of the last audit")
        self._kept = gauge(
            "yeyak_money_kept_won", "Money that the provider keeps: captured, neither voided nor refunded"
        )
        self._due = gauge("yeyak_money_due_won", "Cost of all current bookings, less manual refunds")
        self._balance = gauge("yeyak_money_balance_won", "Kept minus due; 0 when the books balance")
        expected = gauge("yeyak_context_expected", "1 for each context of the system", "context")
        for context in CONTEXTS:
            expected.labels(context).set(1)

    def show(self, result: AuditResult) -> None:
        """Set the metrics to the result of an audit."""
        for finding in result.found:
            self._show(finding)
        if totals := result.totals:
            self._kept.set(totals.kept)
            self._due.set(totals.due)
            self._balance.set(totals.kept - totals.due)
        self._took.set(result.took_seconds)
        self._ended.set_to_current_time()

    def _show(self, finding: Finding) -> None:
        self._checked.labels(finding.invariant, finding.title).set(finding.not_checkable is None)
        self._discrepancies.labels(finding.invariant, finding.title).set(len(finding.discrepancies))


async def _run_until_stopped(metrics: AuditMetrics, settings: SystemSettings, every: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set():
        try:
            result = await report.run_audit(settings)
            metrics.show(result)
            if problem := await report.send_to_journal(result):
                log.warning("audit_not_recorded", reason=problem)
        except Exception:
            log.exception("audit_failed")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every):
                await stop.wait()
