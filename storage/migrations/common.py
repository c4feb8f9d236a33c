"""What each writing context has: its inbox and its outbox."""

from __future__ import annotations

from alembic import op


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
