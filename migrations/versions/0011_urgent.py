"""Urgent: those who claim find urgent series without looking at all that wait."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_NAME = "ix_series_urgent"


def upgrade() -> None:
    urgent = sa.text("urgency > 0")
    op.create_index(_NAME, "series", ["series_uid"], postgresql_where=urgent, sqlite_where=urgent)


def downgrade() -> None:
    op.drop_index(_NAME, "series")
