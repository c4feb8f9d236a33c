"""The board."""

import sqlalchemy as sa
from alembic import op

from storage.ticketing.board import Priced
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
        "tickets",
        generation._copy(),
        sa.Column("ticket_id", sa.Uuid, primary_key=True),
        version._copy(),
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
    op.create_table(
        "prices",
        generation._copy(),
        sa.Column("price_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("ticket_id", sa.Uuid, nullable=False),
        sa.Column("standard", Priced, nullable=False),
        sa.Column("vip", Priced, nullable=False),
    )
    op.create_index("prices_of_ticket", "prices", ["generation", "ticket_id"])
    op.create_table(
        "reservations",
        generation._copy(),
        sa.Column("reservation_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("ticket_id", sa.Uuid, nullable=False),
        sa.Column("member_id", sa.String(128), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("price", Priced, nullable=False),
    )
    op.create_index("reservations_of_ticket", "reservations", ["generation", "ticket_id"])
    op.create_table(
        "frozen_prices",
        generation._copy(),
        sa.Column("frozen_price_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("reservation_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
    )
    op.create_index("frozen_prices_of_reservation", "frozen_prices", ["generation", "reservation_id"])
