"""The report."""

import sqlalchemy as sa
from alembic import op

from storage.migrations.common import create_generations_and_timeline, create_projection
from storage.views import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_generations_and_timeline()
    create_projection(
        "menu_items",
        "menu_item_id",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("registered_by", sa.String(128), nullable=False),
        sa.Column("changed_by", sa.String(128), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("modified_at", Instant, nullable=False),
    )
    op.create_index("menu_items_newest", "menu_items", ["generation", "created_at", "menu_item_id"])
    create_projection(
        "orders",
        "order_id",
        sa.Column("menu_item_id", sa.Uuid, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
    )
    op.create_index("orders_of_item", "orders", ["generation", "menu_item_id", "created_at"])
