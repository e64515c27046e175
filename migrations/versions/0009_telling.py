"""Telling: who is saying an alarm, and where it was heard, so that no process that stops takes one with it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alarms", sa.Column("heard", sa.Text(), nullable=False, server_default=""))
    op.add_column("alarms", sa.Column("token", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("alarms", sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in ("taken_at", "token", "heard"):
        op.drop_column("alarms", name)
