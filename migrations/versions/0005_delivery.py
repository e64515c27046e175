"""Delivery: storage commitment, and what archives have corrected of a study's identity."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD64 = sa.String(length=64)


def upgrade() -> None:
    with op.batch_alter_table("outbox") as table:
        table.alter_column(
            "state", existing_type=sa.String(length=16), type_=sa.String(length=32), existing_nullable=False
        )
        table.add_column(sa.Column("awaits_commitment", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("transaction_uid", WORD64, nullable=False, server_default=""))
        table.add_column(sa.Column("requested_at", MOMENT, nullable=True))
        table.add_column(sa.Column("committed_at", MOMENT, nullable=True))
    op.create_table(
        "commitments",
        sa.Column("transaction_uid", WORD64, nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("destination", WORD64, nullable=False),
        sa.Column("requested_at", MOMENT, nullable=False),
        sa.Column("reported_at", MOMENT, nullable=True),
        sa.Column("instances", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_commitments_job_id_jobs")),
        sa.PrimaryKeyConstraint("transaction_uid", name=op.f("pk_commitments")),
        comment="One row a request for storage commitment, written before it is sent",
    )
    op.create_index(op.f("ix_commitments_job_id"), "commitments", ["job_id"], unique=False)
    op.create_table(
        "identity_corrections",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("study_uid", WORD64, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("destination", WORD64, nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_corrections")),
        comment="Whom the archive has a study filed under, where that is not as it came; the newest row counts",
    )
    op.create_index(op.f("ix_identity_corrections_study_uid"), "identity_corrections", ["study_uid"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_identity_corrections_study_uid"), table_name="identity_corrections")
    op.drop_table("identity_corrections")
    op.drop_index(op.f("ix_commitments_job_id"), table_name="commitments")
    op.drop_table("commitments")
    # What an older program does not know is to it as it was before: stored, or to be mended by a person.
    op.execute("UPDATE outbox SET state = 'stored' WHERE state IN ('commitment-requested', 'committed')")
    op.execute("UPDATE outbox SET state = 'failed' WHERE state = 'held'")
    with op.batch_alter_table("outbox") as table:
        for column in ("committed_at", "requested_at", "transaction_uid", "awaits_commitment"):
            table.drop_column(column)
        table.alter_column(
            "state", existing_type=sa.String(length=32), type_=sa.String(length=16), existing_nullable=False
        )
