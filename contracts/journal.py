"""The journal: every event with its body, what was handled and asked, and the dead letters."""

from __future__ import annotations

from functools import cache
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Command, Event, Query, Reason, Shape

EntryKind = Literal["command", "event", "ask", "question", "retry", "timer", "dead_letter", "operator"]
DeadLetterStatus = Literal["DEAD", "REPLAYED", "DISCARDED"]


class Recorded(Shape):
    """How many entries were kept."""

    entries: int


class Handled(Shape):
    """One message as a runtime handled it, or one ask as it ended."""

    kind: EntryKind
    context: str
    """Who handled it, or who asked."""
    message_id: UUID
    topic: str
    outcome: str
    """`done`, `unavailable`, `unknown`, `retry`, `dead`, `duplicate`, or a refusal's code."""
    story_id: UUID
    causation_id: UUID | None
    actor: str
    at: AwareDatetime
    took_ms: float
    attempt: int = 1


class Breaker(Shape):
    """Whether a context is asked at the moment."""

    callee: str
    state: Literal["closed", "open", "half_open"]


class ProcessStatus(Shape):
    """How one process of a context stands."""

    context: str
    replica: str
    """Tells the processes of a context apart."""
    at: AwareDatetime
    ready: bool
    outbox: int
    """What is to be said yet, with the age of its oldest row in seconds."""
    outbox_age: float
    waiting: int
    """Inbox rows of a view: events that are not applied yet; of a writer: timers, and what is tried again."""
    started: int
    due: int
    dead: int
    breakers: list[Breaker]


class AuditedInvariant(Shape):
    """One promise of the system, as an audit found it."""

    invariant: str
    title: str
    discrepancies: int
    first: list[str]
    """Some of them, a sentence each."""
    not_checkable: str | None
    """Why it could not be checked."""

    @property
    def well(self) -> bool:
        return self.discrepancies == 0 and self.not_checkable is None


class AuditReport(Shape):
    """What an audit found over all stores."""

    invariants: list[AuditedInvariant]
    money_kept: int | None
    """Won that the payment provider keeps; None when it could not be read."""
    money_due: int | None
    """Won that the standing bookings cost, less what was given back."""
    took_seconds: float


class Audit(AuditReport):
    """An audit, and when the journal heard of it."""

    at: AwareDatetime

    @property
    def well(self) -> bool:
        return all(one.well for one in self.invariants)


class RecordAudit(Command[Audit]):
    """What an audit found, for whoever looks at the system."""

    topic = "journal.record_audit"

    report: AuditReport


class RecordHandled(Command[Recorded]):
    """A runtime's report, in batches, best effort: losing one loses a line of a story, nothing else."""

    topic = "journal.record_handled"

    entries: list[Handled]
    standing: ProcessStatus | None = None
    """Now and then, how the one who reports stands."""


class FileDeadLetter(Command[None]):
    """A context gave a message up."""

    topic = "journal.file_dead_letter"

    context: str
    message_id: UUID
    message_topic: str
    body: str
    error: str
    attempts: int
    story_id: UUID
    causation_id: UUID | None
    actor: str


class Resolution(Shape):
    """What a person decided about a dead letter."""

    action: Literal["replay", "discard"]
    by: str
    reason: str
    at: AwareDatetime


class DeadLetter(Shape):
    """A message that nobody could handle, with the reason."""

    dead_letter_id: UUID
    status: DeadLetterStatus
    source: Literal["retries", "broker"]
    """`retries`: its context gave it up; `broker`: unreadable, or a crash loop."""
    context: str
    queue: str | None
    message_id: str | None
    topic: str | None
    body: str
    error: str
    attempts: int
    story_id: UUID | None
    died_at: AwareDatetime
    closed_by: str | None
    closed_reason: str | None
    closed_at: AwareDatetime | None
    times: int = 1
    """How often it died: it may die again after a replay."""
    headers: str = "{}"
    """JSON; what the broker had beside the body."""
    resolutions: list[Resolution] = []
    """What was decided so far, oldest first; only where a single one is shown."""


class DeadLetters(Shape):
    items: list[DeadLetter]
    next_cursor: str | None


class ListDeadLetters(Query[DeadLetters]):
    topic = "journal.list_dead_letters"

    status: DeadLetterStatus | None = "DEAD"
    context: str | None = None
    message_topic: str | None = None
    error: str | None = None
    """A part of the error's text."""
    limit: int = 50
    cursor: str | None = None


class ShowDeadLetter(Query[DeadLetter]):
    topic = "journal.show_dead_letter"

    dead_letter_id: UUID


class ResolveDeadLetter(Command[DeadLetter]):
    """Handle a dead letter again, or give it up for good; refused with `wrong_state` or `not_replayable`."""

    topic = "journal.resolve_dead_letter"

    dead_letter_id: UUID
    action: Literal["replay", "discard"]
    reason: Reason
    caller: Caller


class StoryEntry(Shape):
    """One line of a story."""

    at: AwareDatetime
    kind: EntryKind
    context: str
    topic: str
    outcome: str
    message_id: UUID | None
    causation_id: UUID | None
    actor: str
    took_ms: float | None
    attempt: int
    body: str | None


class Story(Shape):
    """What happened to one thing, oldest first."""

    story_ids: list[UUID]
    entries: list[StoryEntry]


class TellStory(Query[Story]):
    """The story of anything that has an id: a rental, a payment, a message."""

    topic = "journal.tell_story"

    id: UUID


class KeptEvent(Shape):
    """An event as it was said."""

    position: int
    message_id: UUID
    topic: str
    body: str
    at: AwareDatetime


class KeptEvents(Shape):
    events: list[KeptEvent]


class ReadEvents(Query[KeptEvents]):
    """Events of some topics after a position of the journal, in its order."""

    topic = "journal.read_events"

    topics: list[str]
    after: int = 0
    limit: int = 1000


class Marked(Shape):
    position: int | None


class FindMark(Query[Marked]):
    """Where the journal keeps a mark; None until it has read that far."""

    topic = "journal.find_mark"

    mark_id: UUID


class MarkSet(Event):
    """A mark in the stream of events: what was said before it lies before it."""

    topic = "journal.mark_set"

    mark_id: UUID


class Minute(Shape):
    """What happened in one minute of the system; `at` is its beginning."""

    at: AwareDatetime
    bookings: int
    """Bookings, reservations, rides and orders that came to be."""
    refusals: int
    """Commands that were answered with a refusal."""
    asks: int
    ask_ms: float | None
    """Of the asks between contexts, the median and the slowest twentieth; None when there were none."""
    ask_ms_p95: float | None


class SystemNow(Shape):
    """How the system stands, as far as the journal was told."""

    standings: list[ProcessStatus]
    """Of the processes that reported lately, by context."""
    minutes: list[Minute]
    """Oldest first, without those in which nothing happened."""
    open_letters: int
    read_to: int
    """The offset up to which the stream of events was read."""
    audit: Audit | None = None
    """The last one, if there was any."""
    as_of: AwareDatetime


class ShowTown(Query[SystemNow]):
    """How the system stands, and what happened in the last minutes."""

    topic = "journal.show_town"

    minutes: int = 60


class TakeUpDeadLetter(Command[None]):
    """A context is told to handle a dead letter of its own again, or to give it up; each context has its own topic."""

    message_id: UUID
    action: Literal["replay", "discard"]
    reason: str


@cache
def take_up_dead_letter(context: str) -> type[TakeUpDeadLetter]:
    """The command by which `context` is told about its dead letters."""
    return type(
        "TakeUpDeadLetter", (TakeUpDeadLetter,), {"topic": f"{context}.take_up_dead_letter", "__module__": __name__}
    )
