"""Queues: which kind of worker a waiting job waits for."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs") as table:
        table.add_column(sa.Column("queue", sa.String(length=8), nullable=False, server_default="cpu"))


def downgrade() -> None:
    with op.batch_alter_table("jobs") as table:
        table.drop_column("queue")
