"""The one screen."""

import sqlalchemy as sa
from alembic import op

from storage.views import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    generation = sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False)
    version = sa.Column("version", sa.Integer, nullable=False)
    generations = op.create_table(
        "generations",
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("current", sa.Integer, nullable=False),
        sa.Column("building", sa.Integer),
    )
    op.bulk_insert(generations, [{"one": 1, "current": 1, "building": None}])
    op.create_table(
        "timeline",
        generation._copy(),
        sa.Column("subject", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("what", sa.String(200), primary_key=True),
        sa.Column("at", Instant, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("reason", sa.Text),
    )
    op.create_table(
        "orders",
        generation._copy(),
        sa.Column("order_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("member_id", sa.String(128), nullable=False),
        sa.Column("product_id", sa.Uuid, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("unit_price", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("cancelled_by", sa.String(40)),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("transfer_id", sa.Uuid, nullable=False),
        sa.Column("bank_account", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("transfer_deadline", Instant, nullable=False),
        sa.Column("refund_owed", sa.Boolean, nullable=False),
        sa.Column("reminded_at", Instant),
        sa.Column("receipt_deadline", Instant),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("modified_at", Instant, nullable=False),
    )
    op.create_index("orders_newest", "orders", ["generation", "created_at", "order_id"])
    op.create_index("orders_of_member", "orders", ["generation", "member_id", "created_at", "order_id"])
    op.create_table(
        "products",
        generation._copy(),
        sa.Column("product_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
    )
    op.create_table(
        "transfers",
        generation._copy(),
        sa.Column("transfer_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("status", sa.String(40), nullable=False),
    )
    op.create_table(
        "deliveries",
        generation._copy(),
        sa.Column("delivery_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
    )
    op.create_index("deliveries_of_order", "deliveries", ["generation", "order_id"])
