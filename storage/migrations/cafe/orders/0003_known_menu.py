"""What orders knows of the menu is listed."""

from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    op.execute("alter table menu_items add column known_since timestamptz not null default now()")
    op.execute("create index menu_items_newest on menu_items (known_since desc, menu_item_id desc)")
