"""What is alike in each writing context, and in each view."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.views import Instant


def create_inbox_and_outbox() -> None:
    """In the schema that is being migrated."""
    op.execute("""
        create table inbox (
          id uuid primary key,
          topic text not null,
          digest text not null,
          owner uuid not null,
          state text not null check (state in ('started', 'waiting', 'done', 'dead')),
          body text,
          answer text,
          refused boolean not null default false,
          story_id uuid not null,
          causation_id uuid,
          actor text not null,
          attempts integer not null default 0,
          failures integer not null default 0,
          error text,
          due_at timestamptz,
          received_at timestamptz not null default now()
        ) with (fillfactor = 80)""")
    op.execute("create index inbox_due on inbox (due_at) where state in ('started', 'waiting')")
    op.execute("create index inbox_received on inbox (received_at)")
    op.execute("""
        create table outbox (
          id uuid primary key,
          topic text not null,
          body text not null,
          story_id uuid not null,
          causation_id uuid,
          actor text not null,
          attempts integer not null default 0,
          next_at timestamptz,
          created_at timestamptz not null default clock_timestamp()
        )""")


def create_generations_and_timeline() -> None:
    """Of a view; its first generation is read."""
    generations = op.create_table(
        "generations",
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("current", sa.Integer, nullable=False),
        sa.Column("building", sa.Integer),
    )
    op.bulk_insert(generations, [{"one": 1, "current": 1, "building": None}])
    op.create_table(
        "timeline",
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("subject", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("what", sa.String(200), primary_key=True),
        sa.Column("at", Instant, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("reason", sa.Text),
    )


def create_copy(name: str, key: str, *columns: sa.Column[Any]) -> None:
    """A view's copy of what one kind of source last told."""
    op.create_table(
        name,
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(key, sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        *columns,
    )


def create_payment_copies() -> None:
    """Of a view that shows payments."""
    create_copy(
        "payments",
        "payment_id",
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
    )
    create_copy(
        "refunds",
        "refund_id",
        sa.Column("payment_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
    )
    op.create_index("refunds_of_payment", "refunds", ["generation", "payment_id"])


def keep_traces() -> None:
    """A place for the trace that a row belongs to; and an index for the dead letters, which are counted often."""
    op.execute("alter table inbox add column traceparent text")
    op.execute("alter table outbox add column traceparent text")
    op.execute("create index inbox_dead on inbox (id) where state = 'dead'")
