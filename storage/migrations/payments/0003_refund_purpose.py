"""A refund names the context that requested its payment."""

from alembic import op

revision = "0003"
down_revision = "0002"
folded = ("0004",)


def upgrade() -> None:
    op.execute("alter table refunds add column purpose text not null default ''")
    op.execute("""
        update refunds set purpose = payments.purpose
        from payments where payments.payment_id = refunds.payment_id""")
