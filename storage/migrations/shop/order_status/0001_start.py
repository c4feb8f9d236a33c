"""Order status."""

import sqlalchemy as sa
from alembic import op

from storage.migrations.common import create_generations_and_timeline, create_projection
from storage.views import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_generations_and_timeline()
    create_projection(
        "orders",
        "order_id",
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
    create_projection(
        "products",
        "product_id",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
    )
    create_projection(
        "transfers",
        "transfer_id",
        sa.Column("status", sa.String(40), nullable=False),
    )
    create_projection(
        "deliveries",
        "delivery_id",
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
    )
    op.create_index("deliveries_of_order", "deliveries", ["generation", "order_id"])
