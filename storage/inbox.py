"""The inbox of a context: claim, lease, pending timer, retry, dead letter and stored answer in one row per message.

started  a two-function step is between its functions; `due_at` is the ask's limit and a margin. Due: the second
         function runs with an unknown outcome.
waiting  a told message that failed, a timer, or a step that starts again. Due: it runs from the start.
done     the answer is kept, the body forgotten.
dead     given up; a person looks.

The claim is the last statement of a step. It matches nothing when the row belongs to another handling (`owner`,
a random token per handling): then all rolls back and the row answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP

from storage.database import Row, Session, Statement


def tables(metadata: sa.MetaData, schema: str) -> tuple[sa.Table, sa.Table]:
    """The inbox and the outbox of a schema, for migrations."""
    instant = TIMESTAMP(timezone=True)
    inbox = sa.Table(
        "inbox",
        metadata,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("owner", sa.Uuid, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("body", sa.Text),
        sa.Column("answer", sa.Text),
        sa.Column("refused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("story_id", sa.Uuid, nullable=False),
        sa.Column("causation_id", sa.Uuid),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("traceparent", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("error", sa.Text),
        sa.Column("due_at", instant),
        sa.Column("received_at", instant, nullable=False, server_default=sa.func.now()),
        sa.Index("inbox_due", "due_at", postgresql_where=sa.text("state in ('started', 'waiting')")),
        sa.Index("inbox_received", "received_at"),
        schema=schema,
    )
    outbox = sa.Table(
        "outbox",
        metadata,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("story_id", sa.Uuid, nullable=False),
        sa.Column("causation_id", sa.Uuid),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("traceparent", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_at", instant),
        sa.Column("created_at", instant, nullable=False, server_default=sa.func.clock_timestamp()),
        schema=schema,
    )
    return inbox, outbox


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
    """A message to oneself: due `after` from now, or `at` an instant, by the database's clock."""

    id: UUID
    topic: str
    body: str
    after: timedelta
    at: datetime | None = None


@dataclass(slots=True)
class Claim:
    """What the last statement of a step writes for its own message."""

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
    """A step that has done its work: its claim, and what it says."""

    claim: Claim
    told: Sequence[OutboxMessage] = ()
    timers: Sequence[Timer] = ()


_CLAIM = """
    with mine as (
      insert into {s}.inbox as mine
        (id, topic, digest, owner, state, body, answer, refused, due_at, story_id, causation_id, actor)
      select id, topic, digest, owner, state, body, answer, refused, now() + after, story_id, causation_id, actor
      from unnest(cast(:ids as uuid[]), cast(:topics as text[]), cast(:digests as text[]),
        cast(:owners as uuid[]), cast(:states as text[]), cast(:bodies as text[]), cast(:answers as text[]),
        cast(:refusals as boolean[]), cast(:afters as interval[]), cast(:stories as uuid[]),
        cast(:causes as uuid[]), cast(:actors as text[]))
        claim(id, topic, digest, owner, state, body, answer, refused, after, story_id, causation_id, actor)
      on conflict (id) do update set state = excluded.state, body = excluded.body, answer = excluded.answer,
        refused = excluded.refused, due_at = excluded.due_at, error = null, failures = 0
        where mine.owner = excluded.owner and mine.state in ('started', 'waiting')
      returning id, owner, story_id, actor)"""
_TELL = """,
    told as (
      insert into {s}.outbox (id, topic, body, story_id, causation_id, actor)
      select said.id, topic, body, said.story_id, cause, mine.actor
      from unnest(cast(:told_ids as uuid[]), cast(:told_topics as text[]), cast(:told_bodies as text[]),
        cast(:told_stories as uuid[]), cast(:told_causes as uuid[]))
        with ordinality said(id, topic, body, story_id, cause, place)
      join mine on mine.id = cause order by place)"""
_SET_TIMERS = """,
    timers as (
      insert into {s}.inbox (id, topic, digest, owner, state, body, due_at, story_id, causation_id, actor)
      select timer.id, topic, '', owner, 'waiting', body, coalesce(at, now() + after), story_id, cause, actor
      from unnest(cast(:timer_ids as uuid[]), cast(:timer_topics as text[]), cast(:timer_bodies as text[]),
        cast(:timer_afters as interval[]), cast(:timer_ats as timestamptz[]), cast(:timer_causes as uuid[]))
        timer(id, topic, body, after, at, cause)
      join mine on mine.id = cause on conflict do nothing)"""


class Inbox:
    """Inbox and outbox of one schema, one method per statement."""

    def __init__(self, schema: str) -> None:
        self.schema = schema

    def _statement(self, source: str) -> Statement:
        return Statement(source.replace("{s}", self.schema))

    @cached_property
    def _finish(self) -> dict[tuple[bool, bool], Statement]:
        """By whether anything is told, and any timer set: what is not written costs nothing."""
        statements = {}
        for told in (False, True):
            for timers in (False, True):
                parts = (_CLAIM, _TELL * told, _SET_TIMERS * timers, " select count(*) from mine")
                statements[told, timers] = self._statement("".join(parts))
        return statements

    async def finish(self, session: Session, steps: Sequence[CompletedStep]) -> bool:
        """Claim the messages and post what their steps say; False when a row belongs to another handling.

        What such a step says is not posted; whoever ran it rolls back.
        """
        claims = [step.claim for step in steps]
        told = [row for step in steps for row in step.told]
        timers = [(timer, step.claim.id) for step in steps for timer in step.timers]
        claimed: int = await session.value(
            self._finish[bool(told), bool(timers)],
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
            told_ids=[row.id for row in told],
            told_topics=[row.topic for row in told],
            told_bodies=[row.body for row in told],
            told_stories=[row.story_id for row in told],
            told_causes=[row.causation_id for row in told],
            timer_ids=[timer.id for timer, _ in timers],
            timer_topics=[timer.topic for timer, _ in timers],
            timer_bodies=[timer.body for timer, _ in timers],
            timer_afters=[timer.after for timer, _ in timers],
            timer_ats=[timer.at for timer, _ in timers],
            timer_causes=[cause for _, cause in timers],
        )
        if claimed == len(claims) and any(claim.traceparent for claim in claims):
            await self._trace(session, steps)
        return claimed == len(claims)

    @cached_property
    def _keep_traces(self) -> Statement:
        return self._statement("""
            with kept as (select * from unnest(cast(:ids as uuid[]), cast(:traces as text[])) kept(id, traceparent)),
            said as (update {s}.outbox set traceparent = kept.traceparent from kept where outbox.id = kept.id)
            update {s}.inbox set traceparent = kept.traceparent from kept
            where inbox.id = kept.id and state in ('started', 'waiting')""")

    async def _trace(self, session: Session, steps: Sequence[CompletedStep]) -> None:
        """Keep with each row that is still to do something the trace that it belongs to; only while one is traced."""
        traces = {
            id: step.claim.traceparent
            for step in steps
            for id in (step.claim.id, *(row.id for row in step.told), *(timer.id for timer in step.timers))
        }
        await session.value(self._keep_traces, ids=list(traces), traces=list(traces.values()))

    @cached_property
    def _post(self) -> Statement:
        return self._statement("""
            insert into {s}.outbox (id, topic, body, story_id, causation_id, actor)
            values (:id, :topic, :body, :story_id, :causation_id, :actor)""")

    async def post(self, session: Session, told: OutboxMessage) -> None:
        """Put one message into the outbox, within a transaction."""
        await session.value(
            self._post,
            id=told.id,
            topic=told.topic,
            body=told.body,
            story_id=told.story_id,
            causation_id=told.causation_id,
            actor=told.actor,
        )

    @cached_property
    def _look(self) -> Statement:
        return self._statement("select * from {s}.inbox where id = :id")

    async def look(self, session: Session, message_id: UUID) -> Row | None:
        return await session.one(self._look, id=message_id)

    @cached_property
    def _take_due(self) -> Statement:
        return self._statement("""
            update {s}.inbox set owner = :owner, attempts = attempts + 1, due_at = now() + cast(:lease as interval)
            where id in (select id from {s}.inbox where state in ('started', 'waiting') and due_at <= now()
              order by due_at limit :most for update skip locked)
            returning *""")

    async def take_due(self, session: Session, owner: UUID, lease: timedelta, most: int) -> list[Row]:
        """Lease what is due to a new handling; if that dies too, it is due again after the lease."""
        return await session.all(self._take_due, owner=owner, lease=lease, most=most)

    @cached_property
    def _next_due(self) -> Statement:
        return self._statement("""
            select extract(epoch from min(due_at) - now())::float from {s}.inbox
            where state in ('started', 'waiting')""")

    async def next_due(self, session: Session) -> float | None:
        """Seconds until something is due; None when nothing waits."""
        seconds: float | None = await session.value(self._next_due)
        return seconds

    @cached_property
    def _later(self) -> Statement:
        return self._statement("""
            insert into {s}.inbox as mine
              (id, topic, digest, owner, state, body, error, attempts, failures, due_at, story_id, causation_id, actor)
            values (:id, :topic, :digest, :owner, :state, :body, :error, 1, 1, now() + cast(:after as interval),
              :story_id, :causation_id, :actor)
            on conflict (id) do update set error = excluded.error, due_at = excluded.due_at, state = excluded.state,
              failures = mine.failures + 1
              where mine.owner = excluded.owner and mine.state in ('started', 'waiting')
            returning 1""")

    async def later(self, session: Session, claim: Claim, error: str) -> bool:
        """Keep a told message that failed, to be tried `claim.after`, or as dead; False when another has it."""
        kept = bool(
            await session.value(
                self._later,
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
        )
        if kept and claim.traceparent:
            await self._trace(session, [CompletedStep(claim)])
        return kept

    @cached_property
    def _replay(self) -> Statement:
        return self._statement("""
            update {s}.inbox set due_at = now(), attempts = 0, failures = 0,
              state = case when topic = any(cast(:begun as text[])) then 'started' else 'waiting' end
            where id = :id and state = 'dead' returning id""")

    async def replay(self, session: Session, message_id: UUID, begun: Sequence[str] = ()) -> bool:
        """A dead letter is due again, one of the topics in `begun` to be settled; False when there is none."""
        return await session.value(self._replay, id=message_id, begun=list(begun)) is not None

    @cached_property
    def _discard(self) -> Statement:
        return self._statement("""
            update {s}.inbox set state = 'done', due_at = null, body = null, error = 'discarded: ' || :reason
            where id = :id and state = 'dead' returning id""")

    async def discard(self, session: Session, message_id: UUID, reason: str) -> bool:
        """A dead letter is given up for good; False when there is none under this id."""
        return await session.value(self._discard, id=message_id, reason=reason) is not None

    @cached_property
    def _sent(self) -> Statement:
        return self._statement("delete from {s}.outbox where id = any(cast(:ids as uuid[]))")

    async def sent(self, session: Session, ids: list[UUID]) -> None:
        """Forget messages that the broker has confirmed."""
        await session.value(self._sent, ids=ids)

    @cached_property
    def _lease_unsent(self) -> Statement:
        return self._statement("""
            update {s}.outbox set attempts = attempts + 1,
              next_at = now() + least(interval '5 minutes', cast(:lease as interval) * power(2, least(attempts, 10)))
            where id in (select id from {s}.outbox
              where created_at < now() - cast(:older as interval) and (next_at is null or next_at <= now())
              order by created_at limit :most for update skip locked)
            returning id, topic, body, story_id, causation_id, actor, traceparent""")

    async def lease_unsent(
        self, session: Session, older: timedelta, lease: timedelta, most: int
    ) -> list[OutboxMessage]:
        """Lease messages that nobody has sent; one that fails waits with growing delay and holds up no other."""
        return [
            OutboxMessage(**row) for row in await session.all(self._lease_unsent, older=older, lease=lease, most=most)
        ]

    @cached_property
    def _forget(self) -> Statement:
        return self._statement("""
            with gone as (delete from {s}.inbox where id in (select id from {s}.inbox
              where received_at < now() - cast(:older as interval) and state = 'done' limit 5000) returning 1)
            select count(*) from gone""")

    async def forget(self, session: Session, older: timedelta) -> int:
        """Forget answers that nobody will ask for again, some thousand at a time; returns how many."""
        return int(await session.value(self._forget, older=older))

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
        """Counts for an operator: outbox and its age in seconds, rows by state, how many are due, and since when."""
        row = await session.one(self._status)
        assert row is not None
        return row
