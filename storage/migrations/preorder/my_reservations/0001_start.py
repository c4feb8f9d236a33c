"""My reservations."""

import sqlalchemy as sa
from alembic import op

from storage.migrations.common import create_generations_and_timeline, create_payment_projections, create_projection
from storage.views import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_generations_and_timeline()
    create_projection(
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
    create_projection(
        "products",
        "product_id",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
    )
    create_payment_projections()
    create_projection(
        "receipts",
        "receipt_id",
        sa.Column("reservation_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("issued_at", Instant),
        sa.Column("expected_delivery", sa.Date),
    )
    op.create_index("receipts_of_reservation", "receipts", ["generation", "reservation_id"])
