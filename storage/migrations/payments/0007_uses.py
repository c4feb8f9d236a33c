"""What a payment pays for, as long as its business counts on it."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("alter table payments add column object_id uuid")
    op.execute("alter table payments add column href text")
    op.execute("alter table payments add column let_go boolean not null default false")
