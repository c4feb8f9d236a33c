"""Inbox and outbox of a context. An inbox row is a message's claim, lease, timer, retry, dead letter and stored answer.

State of an inbox row:

started  The first function of a two-function step has committed. `due_at` is the request's time limit plus a margin; at
         `due_at` the second function runs with the outcome UNKNOWN.
waiting  A durable message that failed, a timer, or a step that starts again. At `due_at` it runs from the start.
done     The answer is stored; the body is deleted.
dead     All attempts failed; an operator replays or discards it.

The claim is the last statement of a step. It matches no row when the row belongs to another handling (`owner` is a
random token per handling); the transaction is then rolled back, and the stored row decides the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

from storage.database import Database, Row, Session, Statement


@dataclass(slots=True)
class OutboxMessage:
    """A message in the outbox."""

    id: UUID
    topic: str
    body: str
    story_id: UUID
    causation_id: UUID | None
    actor: str
    traceparent: str | None = None


@dataclass(slots=True)
class Timer:
    """A message that a context schedules for itself, due after `after` or at `at` (database clock)."""

    id: UUID
    topic: str
    body: str
    after: timedelta
    at: datetime | None = None


@dataclass(slots=True)
class Claim:
    """The inbox row that the last statement of a step writes for the message it handles."""

    id: UUID
    topic: str
    digest: str
    owner: UUID
    state: str
    body: str | None
    answer: str | None
    refused: bool
    after: timedelta | None
    story_id: UUID
    causation_id: UUID | None
    actor: str
    traceparent: str = ""


@dataclass(slots=True)
class CompletedStep:
    """A step that is ready to commit: its claim, the messages it publishes and the timers it sets."""

    claim: Claim
    messages: Sequence[OutboxMessage] = ()
    timers: Sequence[Timer] = ()


_CLAIM = """
    with claimed as (
      insert into {s}.inbox as existing
        (id, topic, digest, owner, state, body, answer, refused, due_at, story_id, causation_id, actor)
      select id, topic, digest, owner, state, body, answer, refused, now() + after, story_id, causation_id, actor
      from unnest(cast(:ids as uuid[]), cast(:topics as text[]), cast(:digests as text[]),
        cast(:owners as uuid[]), cast(:states as text[]), cast(:bodies as text[]), cast(:answers as text[]),
        cast(:refusals as boolean[]), cast(:afters as interval[]), cast(:stories as uuid[]),
        cast(:causes as uuid[]), cast(:actors as text[]))
        claim(id, topic, digest, owner, state, body, answer, refused, after, story_id, causation_id, actor)
      on conflict (id) do update set state = excluded.state, body = excluded.body, answer = excluded.answer,
        refused = excluded.refused, due_at = excluded.due_at, error = null, failures = 0
        where existing.owner = excluded.owner and existing.state in ('started', 'waiting')
      returning id, owner, story_id, actor)"""
_ADD_MESSAGES = """,
    added as (
      insert into {s}.outbox (id, topic, body, story_id, causation_id, actor)
      select message.id, topic, body, message.story_id, cause, claimed.actor
      from unnest(cast(:message_ids as uuid[]), cast(:message_topics as text[]), cast(:message_bodies as text[]),
        cast(:message_stories as uuid[]), cast(:message_causes as uuid[]))
        with ordinality message(id, topic, body, story_id, cause, n)
      join claimed on claimed.id = cause order by n)"""
_SET_TIMERS = """,
    timers as (
      insert into {s}.inbox (id, topic, digest, owner, state, body, due_at, story_id, causation_id, actor)
      select timer.id, topic, '', owner, 'waiting', body, coalesce(at, now() + after), story_id, cause, actor
      from unnest(cast(:timer_ids as uuid[]), cast(:timer_topics as text[]), cast(:timer_bodies as text[]),
        cast(:timer_afters as interval[]), cast(:timer_ats as timestamptz[]), cast(:timer_causes as uuid[]))
        timer(id, topic, body, after, at, cause)
      join claimed on claimed.id = cause on conflict do nothing)"""


class Inbox:
    """Inbox and outbox of one schema, one method per statement."""

    def __init__(self, schema: str) -> None:
        self.schema = schema

    def _statement(self, source: str) -> Statement:
        return Statement(source.replace("{s}", self.schema))

    @cached_property
    def _ping(self) -> Statement:
        return self._statement("update {s}.inbox set state = state where false")

    async def ping(self, database: Database) -> None:
        """Raises an error of asyncpg, OSError or TimeoutError when rows cannot be written within three seconds."""
        async with asyncio.timeout(3), database.session() as session:
            await session.value(self._ping)

    @cached_property
    def _finish(self) -> dict[tuple[bool, bool], Statement]:
        """The statement by (has messages, has timers), so that a step does not pay for what it does not write."""
        statements = {}
        for messages in (False, True):
            for timers in (False, True):
                parts = (_CLAIM, _ADD_MESSAGES * messages, _SET_TIMERS * timers, " select count(*) from claimed")
                statements[messages, timers] = self._statement("".join(parts))
        return statements

    async def finish(self, session: Session, steps: Sequence[CompletedStep]) -> bool:
        """Write the claims, outbox messages and timers of some steps; the last statement of their transaction.

        Returns False when a row belongs to another handling: the messages and timers of that step are not written, and
        the caller must roll back.
        """
        claims = [step.claim for step in steps]
        messages = [message for step in steps for message in step.messages]
        timers = [(timer, step.claim.id) for step in steps for timer in step.timers]
        claimed: int = await session.value(
            self._finish[bool(messages), bool(timers)],
            ids=[claim.id for claim in claims],
            topics=[claim.topic for claim in claims],
            digests=[claim.digest for claim in claims],
            owners=[claim.owner for claim in claims],
            states=[claim.state for claim in claims],
            bodies=[claim.body for claim in claims],
            answers=[claim.answer for claim in claims],
            refusals=[claim.refused for claim in claims],
            afters=[claim.after for claim in claims],
            stories=[claim.story_id for claim in claims],
            causes=[claim.causation_id for claim in claims],
            actors=[claim.actor for claim in claims],
            message_ids=[message.id for message in messages],
            message_topics=[message.topic for message in messages],
            message_bodies=[message.body for message in messages],
            message_stories=[message.story_id for message in messages],
            message_causes=[message.causation_id for message in messages],
            timer_ids=[timer.id for timer, _ in timers],
            timer_topics=[timer.topic for timer, _ in timers],
            timer_bodies=[timer.body for timer, _ in timers],
            timer_afters=[timer.after for timer, _ in timers],
            timer_ats=[timer.at for timer, _ in timers],
            timer_causes=[cause for _, cause in timers],
        )
        if claimed == len(claims) and any(claim.traceparent for claim in claims):
            await self._write_traces(session, steps)
        return claimed == len(claims)

    @cached_property
    def _set_traces(self) -> Statement:
        return self._statement("""
            with traced as (
              select * from unnest(cast(:ids as uuid[]), cast(:traces as text[])) traced(id, traceparent)),
            sent as (update {s}.outbox set traceparent = traced.traceparent from traced where outbox.id = traced.id)
            update {s}.inbox set traceparent = traced.traceparent from traced
            where inbox.id = traced.id and state in ('started', 'waiting')""")

    async def _write_traces(self, session: Session, steps: Sequence[CompletedStep]) -> None:
        """Store the trace context of some steps in their outbox rows and unfinished inbox rows."""
        traces = {
            id: step.claim.traceparent
            for step in steps
            for id in (
                step.claim.id,
                *(message.id for message in step.messages),
                *(timer.id for timer in step.timers),
            )
        }
        await session.value(self._set_traces, ids=list(traces), traces=list(traces.values()))

    @cached_property
    def _add_messages(self) -> Statement:
        return self._statement("""
            insert into {s}.outbox (id, topic, body, story_id, causation_id, actor)
            select * from unnest(cast(:ids as uuid[]), cast(:topics as text[]), cast(:bodies as text[]),
              cast(:story_ids as uuid[]), cast(:causation_ids as uuid[]), cast(:actors as text[]))""")

    async def add_messages(self, session: Session, messages: Sequence[OutboxMessage]) -> None:
        """Insert messages into the outbox; call it within a transaction."""
        await session.value(
            self._add_messages,
            ids=[message.id for message in messages],
            topics=[message.topic for message in messages],
            bodies=[message.body for message in messages],
            story_ids=[message.story_id for message in messages],
            causation_ids=[message.causation_id for message in messages],
            actors=[message.actor for message in messages],
        )

    @cached_property
    def _find(self) -> Statement:
        return self._statement("select * from {s}.inbox where id = :id")

    async def find(self, session: Session, message_id: UUID) -> Row | None:
        """The inbox row of a message; None when there is none."""
        return await session.one(self._find, id=message_id)

    @cached_property
    def _lease_due(self) -> Statement:
        return self._statement("""
            update {s}.inbox set owner = :owner, attempts = attempts + 1, due_at = now() + cast(:lease as interval)
            where id in (select id from {s}.inbox where state in ('started', 'waiting') and due_at <= now()
              order by due_at limit :limit for update skip locked)
            returning *""")

    async def lease_due(self, session: Session, owner: UUID, lease: timedelta, limit: int) -> list[Row]:
        """Lease up to `limit` due rows to `owner` and return them; each is due again when its lease has expired."""
        return await session.all(self._lease_due, owner=owner, lease=lease, limit=limit)

    @cached_property
    def _next_due(self) -> Statement:
        return self._statement("""
            select extract(epoch from min(due_at) - now())::float from {s}.inbox
            where state in ('started', 'waiting')""")

    async def next_due(self, session: Session) -> float | None:
        """Seconds until the next row is due, negative when one is overdue; None when no row is unfinished."""
        seconds: float | None = await session.value(self._next_due)
        return seconds

    @cached_property
    def _save_failure(self) -> Statement:
        return self._statement("""
            insert into {s}.inbox as existing
              (id, topic, digest, owner, state, body, error, attempts, failures, due_at, story_id, causation_id, actor)
            values (:id, :topic, :digest, :owner, :state, :body, :error, 1, 1, now() + cast(:after as interval),
              :story_id, :causation_id, :actor)
            on conflict (id) do update set error = excluded.error, due_at = excluded.due_at, state = excluded.state,
              failures = existing.failures + 1
              where existing.owner = excluded.owner and existing.state in ('started', 'waiting')
            returning 1""")

    async def save_failure(self, session: Session, claim: Claim, error: str) -> bool:
        """Store a durable message that failed, in the state `claim.state` (`waiting` or `dead`), due in `claim.after`.

        Returns False when the row belongs to another handling.
        """
        returned = await session.value(
            self._save_failure,
            id=claim.id,
            topic=claim.topic,
            digest=claim.digest,
            owner=claim.owner,
            state=claim.state,
            body=claim.body,
            error=error[:2000],
            after=claim.after,
            story_id=claim.story_id,
            causation_id=claim.causation_id,
            actor=claim.actor,
        )
        if returned is None:
            return False
        if claim.traceparent:
            await self._write_traces(session, [CompletedStep(claim)])
        return True

    @cached_property
    def _replay(self) -> Statement:
        return self._statement("""
            update {s}.inbox set due_at = now(), attempts = 0, failures = 0,
              state = case when topic = any(cast(:started_topics as text[])) then 'started' else 'waiting' end
            where id = :id and state = 'dead' returning id""")

    async def replay(self, session: Session, message_id: UUID, started_topics: Sequence[str] = ()) -> bool:
        """Make a dead letter due now; False when there is none under this id.

        A message of one of `started_topics` is resumed at its second function; any other starts again.
        """
        return await session.value(self._replay, id=message_id, started_topics=list(started_topics)) is not None

    @cached_property
    def _discard(self) -> Statement:
        return self._statement("""
            update {s}.inbox set state = 'done', due_at = null, body = null, error = 'discarded: ' || :reason
            where id = :id and state = 'dead' returning id""")

    async def discard(self, session: Session, message_id: UUID, reason: str) -> bool:
        """Close a dead letter without handling it; False when there is none under this id."""
        return await session.value(self._discard, id=message_id, reason=reason) is not None

    @cached_property
    def _delete_sent(self) -> Statement:
        return self._statement("delete from {s}.outbox where id = any(cast(:ids as uuid[]))")

    async def delete_sent(self, session: Session, ids: list[UUID]) -> None:
        """Delete outbox messages that the broker has confirmed."""
        await session.value(self._delete_sent, ids=ids)

    @cached_property
    def _lease_unsent(self) -> Statement:
        return self._statement("""
            update {s}.outbox set attempts = attempts + 1,
              next_at = now() + least(interval '5 minutes', cast(:lease as interval) * power(2, least(attempts, 10)))
            where id in (select id from {s}.outbox
              where created_at < now() - cast(:older as interval) and (next_at is null or next_at <= now())
              order by created_at limit :limit for update skip locked)
            returning id, topic, body, story_id, causation_id, actor, traceparent""")

    async def lease_unsent(
        self, session: Session, older: timedelta, lease: timedelta, limit: int
    ) -> list[OutboxMessage]:
        """Lease up to `limit` unsent outbox messages that are older than `older`.

        The lease doubles with each attempt, up to five minutes, so that a message that fails does not delay the others.
        """
        rows = await session.all(self._lease_unsent, older=older, lease=lease, limit=limit)
        return [OutboxMessage(**row) for row in rows]

    @cached_property
    def _delete_done(self) -> Statement:
        return self._statement("""
            with deleted as (delete from {s}.inbox where id in (select id from {s}.inbox
              where received_at < now() - cast(:older as interval) and state = 'done' limit 5000) returning 1)
            select count(*) from deleted""")

    async def delete_done(self, session: Session, older: timedelta) -> int:
        """Delete up to 5,000 finished rows that were received more than `older` ago; returns how many."""
        return int(await session.value(self._delete_done, older=older))

    @cached_property
    def _status(self) -> Statement:
        return self._statement("""
            select (select count(*) from {s}.outbox) as outbox,
              (select coalesce(extract(epoch from now() - min(created_at)), 0)::float from {s}.outbox) as outbox_age,
              (select count(*) from {s}.inbox where state = 'started') as started,
              (select count(*) from {s}.inbox where state = 'waiting') as waiting,
              due.count as due, due.late as due_age,
              (select count(*) from {s}.inbox where state = 'dead') as dead
            from (select count(*) as count, coalesce(extract(epoch from now() - min(due_at)), 0)::float as late
              from {s}.inbox where state in ('started', 'waiting') and due_at <= now()) due""")

    async def status(self, session: Session) -> Row:
        """Count the outbox and the unfinished inbox rows.

        Fields: `outbox`, `outbox_age` (seconds since its oldest message), `started`, `waiting`, `dead`, `due`,
        `due_age` (seconds by which the oldest due row is late).
        """
        row = await session.one(self._status)
        assert row is not None
        return row
