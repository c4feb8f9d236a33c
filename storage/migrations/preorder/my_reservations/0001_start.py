"""My reservations."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.views import Instant

revision = "0001"
down_revision = None


def copy_table(name: str, key: str, *columns: sa.Column[Any]) -> None:
    op.create_table(
        name,
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(key, sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        *columns,
    )


def upgrade() -> None:
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
    copy_table(
        "reservations",
        "reservation_id",
        sa.Column("product_id", sa.Uuid, nullable=False),
        sa.Column("member_id", sa.String(128), nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("payment_id", sa.Uuid, nullable=False),
        sa.Column("paid_at", Instant),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("modified_at", Instant, nullable=False),
    )
    op.create_index("reservations_newest", "reservations", ["generation", "created_at", "reservation_id"])
    op.create_index(
        "reservations_of_member", "reservations", ["generation", "member_id", "created_at", "reservation_id"]
    )
    copy_table(
        "products",
        "product_id",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
    )
    copy_table(
        "payments",
        "payment_id",
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
    )
    copy_table(
        "refunds",
        "refund_id",
        sa.Column("payment_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
    )
    op.create_index("refunds_of_payment", "refunds", ["generation", "payment_id"])
    copy_table(
        "receipts",
        "receipt_id",
        sa.Column("reservation_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("issued_at", Instant),
        sa.Column("expected_delivery", sa.Date),
    )
    op.create_index("receipts_of_reservation", "receipts", ["generation", "reservation_id"])
