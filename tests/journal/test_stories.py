"""A story holds every entry about one thing, in the order in which it happened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.journal import Handled, RecordHandled, Story, StoryEntry, TellStory
from ops.commands.story import diagram
from tests.support.system import System, customer, eventually
from workers.journal.stories import causal_order

NOON = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
BOOK, PAY = "video_rental.rentals.book_video", "payments.request_payment"


def handled(kind: str, topic: str, id: UUID, *, story: UUID, cause: UUID | None = None, **more: Any) -> Handled:
    fields = {"context": topic.rpartition(".")[0], "outcome": "done", "actor": "member:min", "at": NOON, "took_ms": 1.0}
    fields |= {"kind": kind, "topic": topic, "message_id": id, "story_id": story, "causation_id": cause}
    return Handled.model_validate(fields | more)


def entry(
    kind: str, topic: str, id: UUID | None, *, cause: UUID | None = None, at: float = 0, **more: Any
) -> StoryEntry:
    """Return an entry of a story; `at` is in milliseconds after noon."""
    fields: dict[str, Any] = {"context": topic.rpartition(".")[0], "outcome": "done", "actor": "member:min"}
    fields |= {"kind": kind, "topic": topic, "message_id": id, "causation_id": cause, "body": None, "took_ms": 5.0}
    fields |= {"at": NOON + timedelta(milliseconds=at), "attempt": 1}
    return StoryEntry.model_validate(fields | more)


async def test_reported_entries_are_found_by_their_story_their_message_or_their_cause(journal):
    booking, payment = uuid4(), uuid4()
    report = RecordHandled(
        entries=[
            handled(
                "command", PAY, payment, story=booking, cause=booking, at=NOON + timedelta(milliseconds=15), took_ms=8
            ),
            handled("command", BOOK, booking, story=booking, at=NOON + timedelta(milliseconds=30), took_ms=30),
        ]
    )

    assert await journal.done(report) == {"entries": 2}

    for id in (booking, payment):
        story = await journal.done(TellStory(id=id))
        assert story["story_ids"] == [str(booking)]
        assert [entry["topic"] for entry in story["entries"]] == [BOOK, PAY]
        assert story["entries"][0]["at"] == "2030-01-01T12:00:00Z"
    assert (await journal.refused(TellStory(id=uuid4())))["code"] == "not_found"


async def test_reports_leave_no_inbox_rows_for_long(journal):
    from workers.journal.events import delete_reports

    await journal.done(RecordHandled(entries=[]))
    await journal.rows("journal", "update journal.inbox set received_at = now() - interval '1 hour'")

    await delete_reports(journal.contexts["journal"])

    assert await journal.rows("journal", "select 1 from journal.inbox") == []


async def test_rows_are_in_the_partition_of_their_month_also_those_from_before_it_existed(journal):
    from storage.journal_partitions import create_partitions, drop_partitions

    next_year = datetime.now(UTC).date().replace(year=datetime.now(UTC).year + 1, month=5, day=17)
    report = RecordHandled(
        entries=[
            handled("command", BOOK, uuid4(), story=uuid4(), at=datetime.fromisoformat(f"{next_year}T00:00:00+00:00"))
        ]
    )
    await journal.done(report)
    assert (await journal.one("journal", "select count(*) from journal.handled_other"))[0] == 1

    database = journal.contexts["journal"].database
    async with database.transaction() as session:
        await create_partitions(session, next_year)
    assert (await journal.one("journal", "select count(*) from journal.handled_other"))[0] == 0
    assert (await journal.one("journal", f"select count(*) from journal.handled_{next_year:%Y_%m}"))[0] == 1

    async with database.transaction() as session:
        dropped = await drop_partitions(session, -timedelta(days=800))
    assert f"journal.handled_{next_year:%Y_%m}" in dropped


@pytest.fixture
async def patient_system(make_settings) -> AsyncIterator[System]:
    """All contexts of video rental, with time for the first call to the provider."""
    settings = await make_settings(payments_provider_ms=5000, video_rental_payment_ms=8000)
    system = await System(settings, "video_rental").open()
    await system.start(*system.names)
    yield system
    await system.close()


async def test_the_story_of_a_booking_in_a_whole_system(patient_system: System):
    system = patient_system
    video_id = await system.video()
    rental_id, member = uuid4(), customer("min")
    await system.done(system.booking(video_id, member), id=rental_id)
    await system.wait_until_idle()

    wanted = {("command", BOOK), ("ask", PAY), ("command", PAY), ("event", "video_rental.rentals.video_booked")}

    async def complete_story() -> Story | None:
        reply = await system.request(TellStory(id=rental_id))
        story = Story.model_validate_json(reply.body) if reply.kind == "done" else None
        return story if story and wanted <= {(entry.kind, entry.topic) for entry in story.entries} else None

    story: Story = await eventually(complete_story)

    topics = [entry.topic for entry in story.entries]
    assert topics.index(BOOK) < topics.index(PAY) < topics.index("video_rental.rentals.video_booked")
    (payment,) = [entry.message_id for entry in story.entries if entry.kind == "ask"]
    by_payment = Story.model_validate_json((await system.request(TellStory(id=payment))).body)
    assert rental_id in by_payment.story_ids
    drawn = diagram(story)
    assert "book_video" in drawn
    assert "video_booked" in drawn


def test_no_entry_comes_before_its_cause_with_any_clock_difference():
    order, payment, approved, booked = (uuid4() for _ in range(4))
    entries = [
        entry("event", "payments.payment_approved", approved, cause=payment, at=-3_600_000, outcome="said"),
        entry("event", "video_rental.rentals.video_booked", booked, cause=order, at=40, outcome="said"),
        entry("command", PAY, payment, cause=order, at=-3_600_001),
        entry("ask", PAY, payment, cause=order, at=5),
        entry("command", BOOK, order, at=0),
    ]

    names = [one.topic.rpartition(".")[2] for one in causal_order(entries)]

    assert names[0] == "book_video"
    assert names.index("request_payment") < names.index("payment_approved")
    assert names[-1] == "video_booked"


def test_messages_that_cause_each_other_are_ordered_too():
    one, other = uuid4(), uuid4()

    assert len(causal_order([entry("command", PAY, one, cause=other), entry("command", PAY, other, cause=one)])) == 2


def test_the_diagram_shows_commands_requests_replies_events_retries_and_dead_letters():
    order, payment, booked, void = (uuid4() for _ in range(4))
    entries = [
        entry("command", BOOK, order, at=0, took_ms=40.0),
        entry("ask", PAY, payment, cause=order, at=5, context="video_rental.rentals", took_ms=20.0),
        entry("command", PAY, payment, cause=order, at=7, took_ms=10.0),
        entry("event", "video_rental.rentals.video_booked", booked, cause=order, at=50, outcome="said"),
        entry("event", "video_rental.rentals.video_booked", booked, cause=order, at=52, context="video_rental.my_page"),
        entry("event", "payments.payment_voided", uuid4(), cause=void, at=55, outcome="said"),
        entry("retry", "payments.void_payment", void, cause=order, at=60, attempt=2),
        entry("dead_letter", "payments.void_payment", None, at=70, outcome="no; #really"),
        entry(
            "operator", "replay payments.void_payment", None, at=80, context="journal", actor="olga", outcome="repaired"
        ),
    ]

    assert diagram(Story(story_ids=[order], entries=entries)) == "\n    ".join(
        [
            "sequenceDiagram",
            "participant p0 as member:min",
            "participant p1 as video_rental.rentals",
            "participant p2 as payments",
            "participant p3 as video_rental.my_page",
            "participant p4 as everyone",
            "participant p5 as olga",
            "participant p6 as journal",
            "p0->>p1: book_video",
            "p1->>p2: request_payment",
            "p2-->>p1: done (20 ms)",
            "p1-->>p0: done (40 ms)",
            "p1--)p3: video_booked",
            "p2--)p4: payment_voided",
            "p2->>p2: retry: void_payment (attempt 2): done",
            "Note over p2: dead letter: void_payment: no, really",
            "p5->>p6: replay payments.void_payment: repaired",
        ]
    )
