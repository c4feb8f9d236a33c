"""Ride history."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.views import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    generation = sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False)
    version = sa.Column("version", sa.Integer, nullable=False)
    document = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
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
        "rides",
        generation._copy(),
        sa.Column("ride_id", sa.Uuid, primary_key=True),
        version._copy(),
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
    op.create_table(
        "bikes",
        generation._copy(),
        sa.Column("bike_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("code", sa.String(60), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("location", sa.String(60), nullable=False),
    )
    op.create_table(
        "bills",
        generation._copy(),
        sa.Column("bill_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("ride_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("amount", sa.BigInteger),
        sa.Column("paid", sa.BigInteger, nullable=False),
        sa.Column("owed", sa.BigInteger, nullable=False),
        sa.Column("balance_after", sa.BigInteger),
    )
    op.create_index("bills_of_ride", "bills", ["generation", "ride_id"])
