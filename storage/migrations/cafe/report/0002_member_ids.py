"""Columns of member ids hold the longest that OpenID Connect allows."""

from storage.migrations.common import hold_longest_member_ids

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    hold_longest_member_ids("menu_items", "registered_by", "changed_by")
