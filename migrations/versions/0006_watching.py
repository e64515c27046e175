"""Watching: what is observed of results, outcomes, blinded results, and how far the audit trail was sent on."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JOB = sa.String(length=32)
WORD64 = sa.String(length=64)
WORD128 = sa.String(length=128)
APPEND_ONLY = ("outcomes", "unblindings")


def upgrade() -> None:
    op.add_column("findings", sa.Column("is_blinded", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("verdicts", sa.Column("source_uid", WORD64, nullable=False, server_default=""))
    op.create_index(op.f("ix_verdicts_source_uid"), "verdicts", ["source_uid"], unique=False)
    op.create_table(
        "observations",
        sa.Column("job_id", JOB, nullable=False),
        sa.Column("token", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("digest", WORD64, nullable=False),
        sa.Column("conclusion", WORD64, nullable=False),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("scanner", WORD128, nullable=False),
        sa.Column("kernel", WORD128, nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("imputed", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_observations_job_id_jobs")),
        sa.PrimaryKeyConstraint("job_id", "token", name=op.f("pk_observations")),
        comment="What is watched of a result over time; it counts while its token is that of the job",
    )
    op.create_index(op.f("ix_observations_at"), "observations", ["at"], unique=False)
    op.create_table(
        "outcomes",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("study_uid", WORD64, nullable=False),
        sa.Column("question", sa.String(length=32), nullable=False),
        sa.Column("answer", WORD64, nullable=False),
        sa.Column("determined_at", sa.String(length=10), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("entered_by", WORD128, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outcomes")),
        comment="Append-only: what turned out to be true; the newest of a study and question counts",
    )
    op.create_index(op.f("ix_outcomes_study_uid"), "outcomes", ["study_uid"], unique=False)
    op.create_index(op.f("ix_outcomes_at"), "outcomes", ["at"], unique=False)
    op.create_table(
        "unblindings",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("job_id", JOB, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("by", WORD128, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_unblindings_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unblindings")),
        comment="Append-only: who looked at a result of silent mode, and why; from then on it is shown",
    )
    op.create_index(op.f("ix_unblindings_job_id"), "unblindings", ["job_id"], unique=False)
    op.create_table(
        "audit_forwarding",
        sa.Column("destination", WORD64, nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("lease_owner", WORD128, nullable=False),
        sa.Column("lease_expires_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("destination", name=op.f("pk_audit_forwarding")),
        comment="One row an audit repository: up to which row of the trail it has every message",
    )
    for table in APPEND_ONLY:
        _guard(table)


def _guard(table: str) -> None:
    """Have the database refuse to change or remove rows of ``table``."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{table} are append-only'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
        )
    # INSERT OR REPLACE deletes without asking the trigger above.
    op.execute(
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "  # noqa: S608 — of the two names above
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id) "
        f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
    )


def downgrade() -> None:
    for table in ("audit_forwarding", "unblindings", "outcomes", "observations"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        for table in APPEND_ONLY:
            op.execute(f"DROP FUNCTION {table}_append_only()")
    op.drop_index(op.f("ix_verdicts_source_uid"), table_name="verdicts")
    op.drop_column("verdicts", "source_uid")
    op.drop_column("findings", "is_blinded")
