"""Rentals of a video are listed, and those that are out are counted."""

from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    op.execute("create index rentals_of_video on rentals (video_id, created_at desc, rental_id desc)")
    op.execute("create index rentals_out on rentals (video_id) where status = 'RENTED'")
