"""My Page."""

import sqlalchemy as sa
from alembic import op

from storage.migrations.common import create_generations_and_timeline, create_payment_projections, create_projection
from storage.views import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_generations_and_timeline()
    create_projection(
        "rentals",
        "rental_id",
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
    create_projection(
        "videos",
        "video_id",
        sa.Column("title", sa.Text, nullable=False),
    )
    create_payment_projections()
