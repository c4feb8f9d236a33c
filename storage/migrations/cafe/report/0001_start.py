"""The report."""

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
        "menu_items",
        generation._copy(),
        sa.Column("menu_item_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("registered_by", sa.String(128), nullable=False),
        sa.Column("changed_by", sa.String(128), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("modified_at", Instant, nullable=False),
    )
    op.create_index("menu_items_newest", "menu_items", ["generation", "created_at", "menu_item_id"])
    op.create_table(
        "orders",
        generation._copy(),
        sa.Column("order_id", sa.Uuid, primary_key=True),
        version._copy(),
        sa.Column("menu_item_id", sa.Uuid, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
    )
    op.create_index("orders_of_item", "orders", ["generation", "menu_item_id", "created_at"])
