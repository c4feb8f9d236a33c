"""Orders, the pickup numbers of each day, and a projection of the menu items' status."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table menu_items (
          menu_item_id uuid primary key,
          status text not null,
          version integer not null
        )""")
    op.execute("""
        create function seoul_day(instant timestamptz) returns date language sql immutable strict
        return (instant at time zone 'Asia/Seoul')::date""")
    op.execute("""
        create table pickup_numbers (
          day date primary key,
          last integer not null check (last > 0)
        ) with (fillfactor = 50)""")
    op.execute("""
        create table orders (
          order_id uuid primary key,
          menu_item_id uuid not null,
          member_id text not null,
          name text not null,
          quantity integer not null check (quantity > 0),
          expected_price bigint,
          price bigint not null check (price > 0),
          total bigint not null check (total = price * quantity),
          pickup_day date not null generated always as (seoul_day(created_at)) stored,
          pickup_number integer not null check (pickup_number > 0),
          status text not null,
          reason text,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1,
          unique (pickup_day, pickup_number)
        ) with (fillfactor = 80)""")
    op.execute("create index orders_newest on orders (created_at desc, order_id desc)")
    op.execute("create index orders_of_member on orders (member_id, created_at desc, order_id desc)")
