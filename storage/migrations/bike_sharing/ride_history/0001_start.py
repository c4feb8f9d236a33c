"""Ride history."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.common import create_generations_and_timeline, create_projection
from storage.views import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    document = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    create_generations_and_timeline()
    create_projection(
        "rides",
        "ride_id",
        sa.Column("bike_id", sa.Uuid, nullable=False),
        sa.Column("member_id", sa.String(128), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("fee_plan", document, nullable=False),
        sa.Column("start_location", sa.String(60)),
        sa.Column("location", sa.String(60)),
        sa.Column("started_at", Instant),
        sa.Column("ended_at", Instant),
        sa.Column("minutes", sa.Integer),
        sa.Column("fee", sa.BigInteger),
        sa.Column("flagged", sa.Boolean, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("modified_at", Instant, nullable=False),
    )
    op.create_index("rides_newest", "rides", ["generation", "created_at", "ride_id"])
    op.create_index("rides_of_member", "rides", ["generation", "member_id", "created_at", "ride_id"])
    create_projection(
        "bikes",
        "bike_id",
        sa.Column("code", sa.String(60), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("location", sa.String(60), nullable=False),
    )
    create_projection(
        "bills",
        "bill_id",
        sa.Column("ride_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("amount", sa.BigInteger),
        sa.Column("paid", sa.BigInteger, nullable=False),
        sa.Column("owed", sa.BigInteger, nullable=False),
        sa.Column("balance_after", sa.BigInteger),
    )
    op.create_index("bills_of_ride", "bills", ["generation", "ride_id"])
