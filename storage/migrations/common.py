"""Parts of migrations that are the same in all writers, and in all views."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.views import Instant, MemberText


def create_inbox_and_outbox() -> None:
    """Create the inbox and the outbox in the schema that is being migrated."""
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
    """Create the generations and the timeline of a view; generation 1 is the current one."""
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


def hold_longest_member_ids(table: str, *columns: str) -> None:
    """Widen columns of a view's table; PostgreSQL changes its catalogue only, and SQLite limits no text."""
    if op.get_context().dialect.name != "sqlite":
        for column in columns:
            op.alter_column(table, column, type_=MemberText, existing_nullable=False)


def create_projection(name: str, key: str, *columns: sa.Column[Any]) -> None:
    """Create a view's table with the newest state of one kind of aggregate."""
    op.create_table(
        name,
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(key, sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        *columns,
    )


def create_payment_projections() -> None:
    """Create the projections of payments and refunds of a view that shows payments."""
    create_projection(
        "payments",
        "payment_id",
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
    )
    create_projection(
        "refunds",
        "refund_id",
        sa.Column("payment_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
    )
    op.create_index("refunds_of_payment", "refunds", ["generation", "payment_id"])


def add_traceparent() -> None:
    """Add the trace context to inbox and outbox, and an index of dead letters, which metrics count often."""
    op.execute("alter table inbox add column traceparent text")
    op.execute("alter table outbox add column traceparent text")
    op.execute("create index inbox_dead on inbox (id) where state = 'dead'")
