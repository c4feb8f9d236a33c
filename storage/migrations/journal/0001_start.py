"""Events and handled messages, partitioned by month; the stream reader; dead letters."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table events (
          position bigint not null,
          message_id uuid not null,
          topic text not null,
          context text not null,
          story_id uuid not null,
          causation_id uuid,
          actor text not null,
          at timestamptz not null,
          things uuid[] not null,
          body text not null
        ) partition by range (at)""")
    op.execute("create table events_other partition of events default")
    op.execute("create index events_position on events (position)")
    op.execute("create index events_message on events (message_id)")
    op.execute("create index events_story on events (story_id)")
    op.execute("create index events_things on events using gin (things)")
    op.execute("""
        create table handled (
          kind text not null,
          context text not null,
          message_id uuid not null,
          topic text not null,
          outcome text not null,
          story_id uuid not null,
          causation_id uuid,
          actor text not null,
          at timestamptz not null,
          took_ms double precision not null,
          attempt integer not null
        ) partition by range (at)""")
    op.execute("create table handled_other partition of handled default")
    op.execute("create index handled_story on handled (story_id)")
    op.execute("create index handled_message on handled (message_id)")
    op.execute("""
        create table reader (
          stream text primary key,
          last_offset bigint,
          last_message uuid,
          position bigint not null default 0
        )""")
    op.execute("""
        create table dead_letters (
          dead_letter_id uuid primary key,
          status text not null check (status in ('DEAD', 'REPLAYED', 'DISCARDED')),
          source text not null check (source in ('retries', 'broker')),
          context text not null,
          queue text,
          message_id text,
          topic text,
          body text not null,
          whole boolean not null,
          headers text not null,
          error text not null,
          attempts integer not null,
          times integer not null default 1,
          death text not null,
          story_id uuid,
          causation_id uuid,
          actor text not null,
          died_at timestamptz not null default now(),
          closed_by text,
          closed_reason text,
          closed_at timestamptz
        )""")
    op.execute("create index dead_letters_newest on dead_letters (died_at desc, dead_letter_id desc)")
    op.execute("create index dead_letters_story on dead_letters (story_id)")
    op.execute("""
        create table resolutions (
          id uuid primary key,
          dead_letter_id uuid not null references dead_letters,
          action text not null,
          by text not null,
          reason text not null,
          at timestamptz not null default now()
        )""")
    op.execute("create index resolutions_letter on resolutions (dead_letter_id, at)")
