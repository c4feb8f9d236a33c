"""The journal: the log of events and of handled messages, dead letters, stories and the status of the system.

RecordHandled, RecordAudit         reports of runtimes and audits
FileDeadLetter                     -> a dead letter
ResolveDeadLetter                  -> TakeUpDeadLetter to the context that has the message, or the message again
TellStory, ShowTown, ReadEvents, FindMark, ListDeadLetters, ShowDeadLetter   queries
"""

from __future__ import annotations

from functools import cache
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Command, Event, Query, Reason, Refused, Shape, Words
from contracts.refusals import NotFound, WrongRole, WrongState

EntryKind = Literal["command", "event", "ask", "question", "retry", "timer", "dead_letter", "operator"]
DeadLetterStatus = Literal["DEAD", "REPLAYED", "DISCARDED"]


class Recorded(Shape):
    """The number of entries that were stored."""

    entries: int


class Handled(Shape):
    """A message that a runtime has handled, or a request that has ended (kind `ask`)."""

    kind: EntryKind
    context: str
    """The context that handled the message, or that sent the request."""
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


class BreakerStatus(Shape):
    """The state of a context's circuit breaker for requests to `callee`."""

    callee: str
    state: Literal["closed", "open", "half_open"]


class ProcessStatus(Shape):
    """The status of one process of a context."""

    context: str
    replica: str
    """Identifies the process among those of its context."""
    at: AwareDatetime
    ready: bool
    problems: list[str] = []
    """What keeps the context from its work, each with its source."""
    outbox: int
    """Outbox messages that are not published yet."""
    outbox_age: float
    """Age of the oldest of them in seconds."""
    waiting: int
    """Of a view: events that are not applied yet. Of a writer: inbox rows that wait for a timer or a retry."""
    started: int
    due: int
    dead: int
    breakers: list[BreakerStatus]


class AuditedInvariant(Shape):
    """The result of an audit for one invariant."""

    invariant: str
    title: str
    discrepancies: int
    first: list[str]
    """Descriptions of some discrepancies."""
    not_checkable: str | None
    """Why the invariant could not be checked; None when it was."""

    @property
    def well(self) -> bool:
        return self.discrepancies == 0 and self.not_checkable is None


class AuditReport(Shape):
    """The result of an audit of all databases."""

    invariants: list[AuditedInvariant]
    money_kept: int | None
    """Won that the payment provider has captured and not returned; None when its ledger could not be read."""
    money_due: int | None
    """Won that the valid bookings cost, less refunds."""
    took_seconds: float


class Audit(AuditReport):
    """An audit report, with the time at which the journal stored it."""

    at: AwareDatetime

    @property
    def well(self) -> bool:
        return all(invariant.well for invariant in self.invariants)


class RecordAudit(Command[Audit]):
    """Store the report of an audit."""

    topic = "journal.record_audit"
    refusals = ()

    report: AuditReport


class RecordHandled(Command[Recorded]):
    """Store a batch of reports of a runtime. Best effort: a lost batch only leaves gaps in stories."""

    topic = "journal.record_handled"
    refusals = ()

    entries: list[Handled]
    standing: ProcessStatus | None = None
    """The status of the reporting process, at intervals."""


class FileDeadLetter(Command[None]):
    """Store a message that a context has failed to handle in all its attempts."""

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
    """An operator's decision about a dead letter."""

    action: Literal["replay", "discard"]
    by: str
    reason: str
    at: AwareDatetime


class DeadLetter(Shape):
    """A message that could not be handled, with the reason."""

    dead_letter_id: UUID
    status: DeadLetterStatus
    source: Literal["retries", "broker"]
    """`retries`: all attempts of its context failed; `broker`: the message is unreadable, or crashed its consumers."""
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
    """How often it became a dead letter: a replayed message may fail again."""
    headers: str = "{}"
    """The AMQP headers as JSON."""
    resolutions: list[Resolution] = []
    """The decisions so far, oldest first; in the answer to `ShowDeadLetter` only."""


class DeadLetters(Shape):
    """One page of dead letters, newest first."""

    items: list[DeadLetter]
    next_cursor: str | None


class DeadLetterNotFound(NotFound):
    dead_letter_id: str


class StoryNotFound(NotFound):
    """Nothing that happened has this `id`."""

    id: str


class NotReplayable(Refused):
    """The original message cannot be handled again, for `reason`."""

    code = "not_replayable"
    ko = Words("다시 처리할 수 없는 메시지입니다", "읽을 수 없는 메시지는 버리는 것만 가능합니다.")
    en = Words("Cannot be replayed", "A message that cannot be read can only be discarded.")

    reason: str


class ListDeadLetters(Query[DeadLetters]):
    topic = "journal.list_dead_letters"
    refusals = ()

    status: DeadLetterStatus | None = "DEAD"
    context: str | None = None
    message_topic: str | None = None
    error: str | None = None
    """A substring of the error text."""
    limit: int = 50
    cursor: str | None = None


class ShowDeadLetter(Query[DeadLetter]):
    topic = "journal.show_dead_letter"
    refusals = (DeadLetterNotFound,)

    dead_letter_id: UUID


class ResolveDeadLetter(Command[DeadLetter]):
    """Replay or discard a dead letter."""

    topic = "journal.resolve_dead_letter"
    refusals = (WrongRole, NotFound, WrongState, NotReplayable)

    dead_letter_id: UUID
    action: Literal["replay", "discard"]
    reason: Reason
    caller: Caller


class StoryEntry(Shape):
    """One entry of a story: an event, a handled message, a request, a dead letter or a decision."""

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
    """Everything that happened to one entity, oldest first."""

    story_ids: list[UUID]
    entries: list[StoryEntry]


class TellStory(Query[Story]):
    """The story of anything that has an id, e.g. a rental, a payment or a message."""

    topic = "journal.tell_story"
    refusals = (StoryNotFound,)

    id: UUID


class StoredEvent(Shape):
    """An event as it was published, with its position in the journal."""

    position: int
    message_id: UUID
    topic: str
    body: str
    at: AwareDatetime


class StoredEvents(Shape):
    """Events in the order of their positions."""

    events: list[StoredEvent]


class ReadEvents(Query[StoredEvents]):
    """Events of some topics after a position of the journal, in the order of their positions."""

    topic = "journal.read_events"
    refusals = ()

    topics: list[str]
    after: int = 0
    limit: int = 1000


class MarkPosition(Shape):
    """The position of a mark; None until the journal has stored it."""

    position: int | None


class FindMark(Query[MarkPosition]):
    """The position of a mark in the journal."""

    topic = "journal.find_mark"
    refusals = ()

    mark_id: UUID


class MarkSet(Event):
    """A mark in the stream of events: each event that was published before it has a smaller position."""

    topic = "journal.mark_set"

    mark_id: UUID


JOURNAL_ONLY = (MarkSet,)
"""Events that only the journal handles."""


class Minute(Shape):
    """Counts of one minute, which starts at `at`."""

    at: AwareDatetime
    bookings: int
    """Successful bookings, reservations, rides and orders."""
    refusals: int
    """Commands that were answered with a refusal."""
    asks: int
    """Requests between contexts."""
    ask_ms: float | None
    """The median of their durations; None when there were none."""
    ask_ms_p95: float | None
    """The 95th percentile of their durations; None when there were none."""


class SystemOverview(Shape):
    """The status of the system, from the reports that the journal has received."""

    standings: list[ProcessStatus]
    """Processes that have reported in the last 35 seconds, ordered by context."""
    minutes: list[Minute]
    """Oldest first; minutes without bookings, commands and requests are left out."""
    open_letters: int
    """Dead letters that wait for a decision."""
    read_to: int
    """The offset up to which the stream of events has been read; -1 before the first event."""
    audit: Audit | None = None
    """The last audit; None before the first."""
    as_of: AwareDatetime


class ShowTown(Query[SystemOverview]):
    """The status of the system, and the counts of the last `minutes` minutes."""

    topic = "journal.show_town"
    refusals = ()

    minutes: int = 60


class TakeUpDeadLetter(Command[None]):
    """Replay or discard a dead letter in the inbox of a context; each context has a topic of its own."""

    message_id: UUID
    action: Literal["replay", "discard"]
    reason: str


@cache
def take_up_dead_letter(context: str) -> type[TakeUpDeadLetter]:
    """The `TakeUpDeadLetter` class with the topic of `context`."""
    return type(
        "TakeUpDeadLetter", (TakeUpDeadLetter,), {"topic": f"{context}.take_up_dead_letter", "__module__": __name__}
    )
