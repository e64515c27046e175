"""Retention: rows say when their bytes were removed, digests can be looked up, and a database has a name of its own."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("instances", "results", "set_aside")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("pruned_at", sa.DateTime(timezone=True), nullable=True))
        op.create_index(op.f(f"ix_{table}_sha256"), table, ["sha256"], unique=False)
    identity = op.create_table(
        "store_identity",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_store_identity")),
        comment="One row: which database the blobs belong to",
    )
    op.bulk_insert(identity, [{"id": uuid.uuid4().hex}])


def downgrade() -> None:
    op.drop_table("store_identity")
    for table in TABLES:
        op.drop_index(op.f(f"ix_{table}_sha256"), table_name=table)
        op.drop_column(table, "pruned_at")
