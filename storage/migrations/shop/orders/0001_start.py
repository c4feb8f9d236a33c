"""Orders, confirmations of payment, and a projection of the products."""

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
          price bigint not null,
          stock bigint not null,
          status text not null,
          registered_by text not null,
          created_at timestamptz not null,
          modified_at timestamptz not null,
          version integer not null
        ) with (fillfactor = 80)""")
    op.execute("""
        create table orders (
          order_id uuid primary key,
          member_id text not null,
          product_id uuid not null,
          quantity integer not null check (quantity > 0),
          unit_price bigint not null,
          total bigint not null,
          status text not null,
          reason text,
          cancelled_by text,
          round integer not null default 1,
          transfer_id uuid not null,
          bank_account text not null,
          reference text not null,
          transfer_deadline timestamptz not null,
          money_came boolean not null default false,
          refund_owed boolean not null generated always as
            (money_came and status in ('ORDER_CANCELLED', 'PAYMENT_CANCELLED')) stored,
          reminded_at timestamptz,
          receipt_deadline timestamptz,
          transfer_status text,
          transfer_version integer not null default 0,
          delivery_id uuid,
          delivery_status text,
          delivery_version integer not null default 0,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 80)""")
    op.execute("create index orders_newest on orders (created_at desc, order_id desc)")
    op.execute("create index orders_of_member on orders (member_id, created_at desc, order_id desc)")
    op.execute("""
        create table confirmations (
          confirmation_id uuid primary key,
          order_id uuid not null,
          round integer not null,
          seller text not null,
          amount bigint,
          depositor text,
          made_at timestamptz not null default now()
        )""")
    op.execute("create index confirmations_of_order on confirmations (order_id, made_at)")
    op.execute("comment on table confirmations is 'Which round of an order each message of a seller is about.'")
