"""My Page."""

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
        "rentals",
        generation._copy(),
        sa.Column("rental_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("video_id", sa.Uuid, nullable=False),
        sa.Column("member_id", sa.String(128), nullable=False),
        sa.Column("days", sa.Integer, nullable=False),
        sa.Column("daily_price", sa.BigInteger, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("payment_id", sa.Uuid, nullable=False),
        sa.Column("pickup_until", Instant),
        sa.Column("picked_up_at", Instant),
        sa.Column("due_at", Instant),
        sa.Column("returned_at", Instant),
        sa.Column("late_fee", sa.BigInteger, nullable=False),
        sa.Column("late_fee_status", sa.String(40), nullable=False),
        sa.Column("late_fee_payment_id", sa.Uuid),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("modified_at", Instant, nullable=False),
    )
    op.create_index("rentals_newest", "rentals", ["generation", "created_at", "rental_id"])
    op.create_index("rentals_of_member", "rentals", ["generation", "member_id", "created_at", "rental_id"])
    op.create_table(
        "videos",
        generation._copy(),
        sa.Column("video_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("title", sa.Text, nullable=False),
    )
    op.create_table(
        "payments",
        generation._copy(),
        sa.Column("payment_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "refunds",
        generation._copy(),
        sa.Column("refund_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("payment_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
    )
    op.create_index("refunds_of_payment", "refunds", ["generation", "payment_id"])
