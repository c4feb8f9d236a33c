"""Products, and the stock taken by orders."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table products (
          product_id uuid primary key,
          name text not null,
          price bigint not null check (price > 0),
          stock bigint not null check (stock >= 0),
          supplied bigint not null,
          status text not null,
          registered_by text not null,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 50)""")
    op.execute("create index products_newest on products (created_at desc, product_id desc)")
    op.execute("comment on column products.supplied is 'All that ever came in: stock + what is taken.'")
    op.execute("""
        create table takes (
          order_id uuid not null,
          round integer not null,
          product_id uuid not null,
          quantity integer not null check (quantity >= 0),
          state text not null check (state in ('TAKEN', 'OUT_OF_STOCK', 'RETURNED')),
          returned integer not null default 0,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          primary key (order_id, round)
        )""")
    op.execute("create index takes_of_product on takes (product_id)")
