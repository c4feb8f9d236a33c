"""The return of a transfer is shown."""

from storage.migrations.common import match_view
from storage.shop.order_status import tables

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    match_view(tables)
