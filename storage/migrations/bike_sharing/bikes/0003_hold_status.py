"""A hold has one status instead of `confirmed` and `released_at`.

While workers of an earlier version still write those, a hold may stay HELD for too long: its ride is asked once more.
"""

from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    op.execute("alter table holds add column status text not null default 'HELD'")
    op.execute("alter table holds add column version integer not null default 1")
    op.execute("""
        update holds set status = case when released_at is not null then 'RELEASED' else 'CONFIRMED' end
        where released_at is not null or confirmed""")
