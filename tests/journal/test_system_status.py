"""The status of the system as processes reported it to the journal, and its figures by the minute."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from contracts.journal import (
    AuditReport,
    Handled,
    ProcessStatus,
    RecordAudit,
    RecordHandled,
    ShowTown,
    SystemOverview,
)
from tests.support.system import System, eventually


def status_of(context: str, **changes: object) -> ProcessStatus:
    fields = {
        "context": context,
        "replica": "one",
        "at": datetime.now(UTC),
        "ready": True,
        "outbox": 0,
        "outbox_age": 0.0,
        "waiting": 0,
        "started": 0,
        "due": 0,
        "dead": 0,
        "breakers": [{"callee": "payments", "state": "closed"}],
    }
    return ProcessStatus.model_validate({**fields, **changes})


def handled(kind: str, outcome: str, took_ms: float) -> Handled:
    return Handled.model_validate(
        {
            "kind": kind,
            "context": "test.system",
            "message_id": uuid4(),
            "topic": "test.system.thing",
            "outcome": outcome,
            "story_id": uuid4(),
            "causation_id": None,
            "actor": "customer:kim",
            "at": datetime.now(UTC),
            "took_ms": took_ms,
        }
    )


async def system_now(journal: System) -> SystemOverview:
    return SystemOverview.model_validate(await journal.done(ShowTown()))


async def test_the_newest_status_of_each_process_is_shown(journal: System):
    for outbox in (7, 3):
        await journal.done(RecordHandled(entries=[], standing=status_of("test.system", outbox=outbox)))
    await journal.done(RecordHandled(entries=[], standing=status_of("test.system", replica="two", ready=False)))

    found = [one for one in (await system_now(journal)).standings if one.context == "test.system"]

    assert [(one.replica, one.outbox, one.ready) for one in found] == [("one", 3, True), ("two", 0, False)]


async def test_refusals_and_requests_are_counted_by_the_minute(journal: System):
    before = await system_now(journal)
    entries = [
        handled("command", "already_booked", 5),
        handled("command", "done", 5),
        handled("command", "unknown", 5),
        *(handled("ask", "done", float(ms)) for ms in (10, 20, 30)),
    ]
    await journal.done(RecordHandled(entries=entries))

    after = await system_now(journal)

    assert sum(one.refusals for one in after.minutes) == sum(one.refusals for one in before.minutes) + 1
    assert sum(one.asks for one in after.minutes) == sum(one.asks for one in before.minutes) + 3
    assert any(one.ask_ms is not None and one.ask_ms_p95 is not None for one in after.minutes)


async def test_a_process_reports_its_status_by_itself(journal: System):
    await journal.contexts["journal"].report_status()

    async def reported() -> bool:
        return any(one.context == "journal" and one.ready for one in (await system_now(journal)).standings)

    await eventually(reported)


async def test_a_process_without_its_table_reports_what_keeps_it_from_its_work(journal: System):
    await journal.start("video_rental.videos")
    context = journal.contexts["video_rental.videos"]
    await journal.rows("video_rental.videos", "alter table video_rental_videos.inbox rename to elsewhere")

    async def is_unready() -> bool:
        return not context.readiness()["database"]

    async def told() -> bool:
        await context.report_status()
        found = [one for one in (await system_now(journal)).standings if one.context == context.name]
        return any(text.startswith("database: ") and "videos.inbox" in text for one in found for text in one.problems)

    await eventually(is_unready, within=30)
    await eventually(told, within=30)


async def test_the_newest_audit_is_shown(journal: System):
    for wrong in (2, 0):
        await journal.done(RecordAudit(report=audit(wrong)))

    found = (await system_now(journal)).audit

    assert found is not None
    assert found.well
    assert found.money_kept == 3000
    assert [(one.invariant, one.discrepancies) for one in found.invariants] == [("I4", 0)]


def audit(wrong: int) -> AuditReport:
    return AuditReport.model_validate(
        {
            "invariants": [
                {
                    "invariant": "I4",
                    "title": "money balance",
                    "discrepancies": wrong,
                    "first": ["too little"] * wrong,
                    "not_checkable": None,
                }
            ],
            "money_kept": 3000,
            "money_due": 3000,
            "took_seconds": 0.2,
        }
    )
