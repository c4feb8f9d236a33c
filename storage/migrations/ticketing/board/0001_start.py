"""The board."""

import sqlalchemy as sa
from alembic import op

from storage.migrations.common import create_generations_and_timeline, create_projection
from storage.ticketing.board import PriceDocument
from storage.views import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_generations_and_timeline()
    create_projection(
        "tickets",
        "ticket_id",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("starts_at", Instant, nullable=False),
        sa.Column("ends_at", Instant, nullable=False),
        sa.Column("base_price", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("reservation_id", sa.Uuid),
        sa.Column("registered_by", sa.String(128), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("modified_at", Instant, nullable=False),
    )
    op.create_index("tickets_newest", "tickets", ["generation", "created_at", "ticket_id"])
    create_projection(
        "prices",
        "price_id",
        sa.Column("ticket_id", sa.Uuid, nullable=False),
        sa.Column("standard", PriceDocument, nullable=False),
        sa.Column("vip", PriceDocument, nullable=False),
    )
    op.create_index("prices_of_ticket", "prices", ["generation", "ticket_id"])
    create_projection(
        "reservations",
        "reservation_id",
        sa.Column("ticket_id", sa.Uuid, nullable=False),
        sa.Column("member_id", sa.String(128), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("price", PriceDocument, nullable=False),
    )
    op.create_index("reservations_of_ticket", "reservations", ["generation", "ticket_id"])
    create_projection(
        "frozen_prices",
        "frozen_price_id",
        sa.Column("reservation_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
    )
    op.create_index("frozen_prices_of_reservation", "frozen_prices", ["generation", "reservation_id"])
