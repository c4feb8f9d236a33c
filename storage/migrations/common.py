"""Parts of migrations that are the same in all writers, and in all views."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.views import ViewTables


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
          received_at timestamptz not null default now(),
          traceparent text
        ) with (fillfactor = 80)""")
    op.execute("create index inbox_due on inbox (due_at) where state in ('started', 'waiting')")
    op.execute("create index inbox_received on inbox (received_at)")
    op.execute("create index inbox_dead on inbox (id) where state = 'dead'")
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
          created_at timestamptz not null default clock_timestamp(),
          traceparent text
        )""")


def match_view(tables: ViewTables) -> None:
    """Create what the schema lacks of a view's tables as they are declared now; what exists stays as it is.

    The first revision of a view calls it, and so does each that follows a changed declaration. A new column is empty in
    the rows that exist: the view is rebuilt afterwards.
    """
    connection = op.get_bind()
    existing = set(sa.inspect(connection).get_table_names())
    for table in tables.metadata.sorted_tables:
        if table.name in existing:
            _extend(connection, table)
        else:
            table.create(connection)
    if tables.generations.name not in existing:
        op.bulk_insert(tables.generations, [{"one": 1, "current": 1, "building": None}])


def _extend(connection: sa.Connection, table: sa.Table) -> None:
    columns = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in columns:
            op.add_column(table.name, sa.Column(column.name, column.type))
    for index in table.indexes:
        index.create(connection, checkfirst=True)
