"""Centre: where the images of a watched result come from, so that centres can be compared."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("observations", sa.Column("centre", sa.String(128), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("observations", "centre")
