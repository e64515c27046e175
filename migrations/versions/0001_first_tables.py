"""The first tables: intake, jobs, results, outbox, and an audit trail that cannot be changed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD64 = sa.String(length=64)

# Append-only is held by the database itself, whatever program writes to it.
APPEND_ONLY_SQLITE = (
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END",
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END",
    # INSERT OR REPLACE deletes without asking the trigger above.
    (
        "CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) "
        "BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END"
    ),
)
APPEND_ONLY_POSTGRESQL = (
    (
        "CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'audit is append-only'; END $$"
    ),
    (
        "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()"
    ),
)


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("action", WORD64, nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("study_uid", WORD64, nullable=False),
        sa.Column("series_uid", WORD64, nullable=False),
        sa.Column("instance_uid", WORD64, nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("reason", WORD64, nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        comment="Append-only: triggers refuse UPDATE and DELETE",
    )
    op.create_index(op.f("ix_audit_job_id"), "audit", ["job_id"], unique=False)
    op.create_index(op.f("ix_audit_series_uid"), "audit", ["series_uid"], unique=False)
    op.create_table(
        "series",
        sa.Column("series_uid", WORD64, nullable=False),
        sa.Column("study_uid", WORD64, nullable=False),
        sa.Column("patient_id", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("modality", sa.String(length=16), nullable=False),
        sa.Column("calling_ae", sa.String(length=16), nullable=False),
        sa.Column("first_received_at", MOMENT, nullable=False),
        sa.Column("last_received_at", MOMENT, nullable=False),
        sa.Column("in_conflict", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("series_uid", name=op.f("pk_series")),
        comment="One row a received series; in_conflict: instances of another patient or study share its UID",
    )
    op.create_index(op.f("ix_series_study_uid"), "series", ["study_uid"], unique=False)
    op.create_table(
        "set_aside",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("sop_instance_uid", WORD64, nullable=False),
        sa.Column("sha256", WORD64, nullable=False),
        sa.Column("reason", WORD64, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("calling_ae", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_set_aside")),
        comment="Objects that were refused but kept for a person to look at",
    )
    op.create_index(op.f("ix_set_aside_sop_instance_uid"), "set_aside", ["sop_instance_uid"], unique=False)
    op.create_table(
        "instances",
        sa.Column("sop_instance_uid", WORD64, nullable=False),
        sa.Column("series_uid", WORD64, nullable=False),
        sa.Column("study_uid", WORD64, nullable=False),
        sa.Column("sop_class_uid", WORD64, nullable=False),
        sa.Column("transfer_syntax_uid", WORD64, nullable=False),
        sa.Column("sha256", WORD64, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("header", sa.JSON(), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("calling_ae", sa.String(length=16), nullable=False),
        sa.Column("address", WORD64, nullable=False),
        sa.ForeignKeyConstraint(["series_uid"], ["series.series_uid"], name=op.f("fk_instances_series_uid_series")),
        sa.PrimaryKeyConstraint("sop_instance_uid", name=op.f("pk_instances")),
        comment="One row an accepted instance; header: the values that decisions rest on",
    )
    op.create_index(op.f("ix_instances_series_uid"), "instances", ["series_uid"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("series_uid", WORD64, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("step", sa.String(length=32), nullable=False),
        sa.Column("reason", WORD64, nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("predictor", WORD64, nullable=False),
        sa.Column("manifest", WORD64, nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("strikes", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(length=128), nullable=False),
        sa.Column("lease_expires_at", MOMENT, nullable=True),
        sa.Column("not_before", MOMENT, nullable=True),
        sa.Column("supersedes", sa.String(length=32), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("completed_at", MOMENT, nullable=True),
        sa.Column("fixed_at", MOMENT, nullable=True),
        sa.Column("claimed_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("delivered_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["series_uid"], ["series.series_uid"], name=op.f("fk_jobs_series_uid_series")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("series_uid", "version", name=op.f("uq_jobs_series_uid")),
        comment="One row an analysis; token: the fencing token; fixed_at: the date and time inside the results",
    )
    op.create_index(op.f("ix_jobs_series_uid"), "jobs", ["series_uid"], unique=False)
    op.create_index("ix_jobs_state_completed_at", "jobs", ["state", "completed_at"], unique=False)
    op.create_table(
        "annotation_references",
        sa.Column("sop_instance_uid", WORD64, nullable=False),
        sa.Column("series_uid", WORD64, nullable=False),
        sa.ForeignKeyConstraint(
            ["sop_instance_uid"],
            ["instances.sop_instance_uid"],
            name=op.f("fk_annotation_references_sop_instance_uid_instances"),
        ),
        sa.PrimaryKeyConstraint("sop_instance_uid", "series_uid", name=op.f("pk_annotation_references")),
        comment="Which series a SEG or RTSTRUCT references; the series need not be here yet",
    )
    op.create_index(op.f("ix_annotation_references_series_uid"), "annotation_references", ["series_uid"], unique=False)
    op.create_table(
        "job_steps",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(length=32), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_steps_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_steps")),
        comment="One row a step that ran, whatever came of it",
    )
    op.create_index(op.f("ix_job_steps_job_id"), "job_steps", ["job_id"], unique=False)
    op.create_table(
        "results",
        sa.Column("sop_instance_uid", WORD64, nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("sop_class_uid", WORD64, nullable=False),
        sa.Column("series_uid", WORD64, nullable=False),
        sa.Column("series_description", sa.Text(), nullable=False),
        sa.Column("sha256", WORD64, nullable=False),
        sa.Column("numbers", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_results_job_id_jobs")),
        sa.PrimaryKeyConstraint("sop_instance_uid", name=op.f("pk_results")),
        comment="One row a result object; its bytes are the blob",
    )
    op.create_index(op.f("ix_results_job_id"), "results", ["job_id"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("sop_instance_uid", WORD64, nullable=False),
        sa.Column("destination", WORD64, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("lease_owner", sa.String(length=128), nullable=False),
        sa.Column("lease_expires_at", MOMENT, nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("stored_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_outbox_job_id_jobs")),
        sa.ForeignKeyConstraint(
            ["sop_instance_uid"], ["results.sop_instance_uid"], name=op.f("fk_outbox_sop_instance_uid_results")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("sop_instance_uid", "destination", name=op.f("uq_outbox_sop_instance_uid")),
        comment="One row an object and destination",
    )
    op.create_index(op.f("ix_outbox_job_id"), "outbox", ["job_id"], unique=False)
    op.create_index("ix_outbox_state_next_attempt_at", "outbox", ["state", "next_attempt_at"], unique=False)
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in APPEND_ONLY_POSTGRESQL if postgresql else APPEND_ONLY_SQLITE:
        op.execute(statement)


def downgrade() -> None:
    op.drop_index("ix_outbox_state_next_attempt_at", table_name="outbox")
    op.drop_index(op.f("ix_outbox_job_id"), table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(op.f("ix_results_job_id"), table_name="results")
    op.drop_table("results")
    op.drop_index(op.f("ix_job_steps_job_id"), table_name="job_steps")
    op.drop_table("job_steps")
    op.drop_index(op.f("ix_annotation_references_series_uid"), table_name="annotation_references")
    op.drop_table("annotation_references")
    op.drop_index("ix_jobs_state_completed_at", table_name="jobs")
    op.drop_index(op.f("ix_jobs_series_uid"), table_name="jobs")
    op.drop_table("jobs")
    op.drop_index(op.f("ix_instances_series_uid"), table_name="instances")
    op.drop_table("instances")
    op.drop_index(op.f("ix_set_aside_sop_instance_uid"), table_name="set_aside")
    op.drop_table("set_aside")
    op.drop_index(op.f("ix_series_study_uid"), table_name="series")
    op.drop_table("series")
    op.drop_index(op.f("ix_audit_series_uid"), table_name="audit")
    op.drop_index(op.f("ix_audit_job_id"), table_name="audit")
    op.drop_table("audit")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_append_only()")
