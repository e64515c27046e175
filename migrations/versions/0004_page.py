"""The page: what the worklist lists and finds, what is shown of results, verdicts, people, the chain of the audit."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JOB = sa.String(length=32)
WORD16 = sa.String(length=16)
WORD64 = sa.String(length=64)

LABELS = {
    "patient_name": sa.Text(),
    "birth_date": sa.String(length=32),
    "sex": WORD16,
    "accession": sa.Text(),
    "study_date": WORD16,
    "description": sa.Text(),
    "search": sa.Text(),
}
APPEND_ONLY_SQLITE = (
    (
        "CREATE TRIGGER verdicts_no_update BEFORE UPDATE ON verdicts "
        "BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END"
    ),
    (
        "CREATE TRIGGER verdicts_no_delete BEFORE DELETE ON verdicts "
        "BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END"
    ),
    # INSERT OR REPLACE deletes without asking the trigger above.
    (
        "CREATE TRIGGER verdicts_no_replace BEFORE INSERT ON verdicts "
        "WHEN EXISTS (SELECT 1 FROM verdicts WHERE id = NEW.id) "
        "BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END"
    ),
)
APPEND_ONLY_POSTGRESQL = (
    (
        "CREATE FUNCTION verdicts_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'verdicts are append-only'; END $$"
    ),
    (
        "CREATE TRIGGER verdicts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON verdicts "
        "FOR EACH STATEMENT EXECUTE FUNCTION verdicts_append_only()"
    ),
)


def upgrade() -> None:
    for name, kind in LABELS.items():
        op.add_column("series", sa.Column(name, kind, nullable=False, server_default=""))
    op.add_column("series", sa.Column("urgency", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("audit", sa.Column("mac", WORD64, nullable=False, server_default=""))
    op.create_index("ix_jobs_created_at_id", "jobs", ["created_at", "id"], unique=False)
    op.create_index("ix_jobs_state_created_at_id", "jobs", ["state", "created_at", "id"], unique=False)
    op.create_table(
        "audit_head",
        sa.Column("only", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("mac", WORD64, nullable=False),
        sa.Column("chained_from", sa.BigInteger(), nullable=False),
        sa.Column("seal", WORD64, nullable=False),
        sa.PrimaryKeyConstraint("only", name=op.f("pk_audit_head")),
        comment="One row: where the chain ends; seal: HMAC over the others, so that a cut tail shows",
    )
    op.create_table(
        "findings",
        sa.Column("job_id", JOB, nullable=False),
        sa.Column("token", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("summary", sa.String(length=128), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_findings_job_id_jobs")),
        sa.PrimaryKeyConstraint("job_id", "token", name=op.f("pk_findings")),
        comment="What the page shows of a result; it counts while its token is that of the job",
    )
    op.create_table(
        "verdicts",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("job_id", JOB, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("reader", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("own_class", WORD64, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("predictor", WORD64, nullable=False),
        sa.Column("digest", WORD64, nullable=False),
        sa.Column("conclusion", WORD64, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_verdicts_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
        comment="Append-only: what readers said of results; the newest of a reader about a job counts",
    )
    op.create_index(op.f("ix_verdicts_job_id"), "verdicts", ["job_id"], unique=False)
    _people()
    _label_what_is_here()
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in APPEND_ONLY_POSTGRESQL if postgresql else APPEND_ONLY_SQLITE:
        op.execute(statement)


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("name", WORD64, nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("role", WORD16, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("disabled_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_users")),
        comment="Who may use the page; password: argon2id, empty for people of an identity provider",
    )
    op.create_table(
        "sessions",
        sa.Column("digest", WORD64, nullable=False),
        sa.Column("name", WORD64, nullable=False),
        sa.Column("role", WORD16, nullable=False),
        sa.Column("is_local", sa.Boolean(), nullable=False),
        sa.Column("began_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sessions")),
        comment="Who is signed in; digest: SHA-256 of the cookie",
    )
    op.create_index(op.f("ix_sessions_name"), "sessions", ["name"], unique=False)
    op.create_table(
        "api_tokens",
        sa.Column("digest", WORD64, nullable=False),
        sa.Column("name", WORD64, nullable=False),
        sa.Column("label", WORD64, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["name"], ["users.name"], name=op.f("fk_api_tokens_name_users")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_api_tokens")),
        comment="What programs sign in with; digest: SHA-256 of the token",
    )
    op.create_index(op.f("ix_api_tokens_name"), "api_tokens", ["name"], unique=False)


def _label_what_is_here() -> None:
    """Give every series that is here the labels that new ones get, from its first instance."""
    connection = op.get_bind()
    uids = connection.scalars(sa.text("SELECT series_uid FROM series")).all()
    first = sa.text("SELECT header FROM instances WHERE series_uid = :uid ORDER BY received_at LIMIT 1")
    change = sa.text(
        "UPDATE series SET patient_name = :name, birth_date = :birth_date, sex = :sex, accession = :accession, "
        "study_date = :study_date, description = :description, search = :search WHERE series_uid = :uid"
    )
    for uid in uids:
        found = connection.scalar(first, {"uid": uid})
        if found is None:
            continue
        header = json.loads(found) if isinstance(found, str) else found
        patient, more = header.get("patient", {}), header.get("attributes", {})
        name, accession = patient.get("name", ""), more.get("AccessionNumber", "")
        connection.execute(
            change,
            {
                "uid": uid,
                "name": name,
                "birth_date": patient.get("birth_date", "")[:32],
                "sex": patient.get("sex", "")[:16],
                "accession": accession,
                "study_date": more.get("StudyDate", "")[:16],
                "description": more.get("SeriesDescription", ""),
                "search": "\n".join((patient.get("patient_id", ""), accession, name)).lower(),
            },
        )


def downgrade() -> None:
    for table in ("api_tokens", "sessions", "users", "verdicts", "findings", "audit_head"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION verdicts_append_only()")
    op.drop_index("ix_jobs_state_created_at_id", table_name="jobs")
    op.drop_index("ix_jobs_created_at_id", table_name="jobs")
    op.drop_column("audit", "mac")
    for name in ("urgency", *LABELS):
        op.drop_column("series", name)
