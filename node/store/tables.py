"""The tables. What may be in them is said here; how they came to be is in ``migrations``."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    literal_column,
)

UID = String(64)
DIGEST = String(64)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC: aware on both sides, stored without zone where the database knows none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone is not a moment")
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 — SQLAlchemy's signature
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite counts rows up by itself only in a column that is exactly INTEGER.
Counter = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _number() -> Column[int]:
    """The number of a row that has no other name."""
    return Column("id", Counter, primary_key=True, autoincrement=True)


def _job() -> Column[str]:
    """The job that a row is about."""
    return Column("job_id", String(32), ForeignKey("jobs.id"), nullable=False, index=True)


def _claim() -> tuple[Column[str], Column[int]]:
    """The job and the token of the claim that a row was made under."""
    job = Column("job_id", String(32), ForeignKey("jobs.id"), primary_key=True)
    return job, Column("token", Integer, primary_key=True, autoincrement=False)


def _lease() -> tuple[Column[str], Column[datetime]]:
    """Who works on a row, and until when nobody else does."""
    return Column("lease_owner", String(128), nullable=False, default=""), Column("lease_expires_at", UtcDateTime)


series = Table(
    "series",
    metadata,
    Column("series_uid", UID, primary_key=True),
    Column("study_uid", UID, nullable=False, index=True),
    Column("patient_id", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("modality", String(16), nullable=False),
    Column("calling_ae", String(16), nullable=False),
    Column("first_received_at", UtcDateTime, nullable=False),
    Column("last_received_at", UtcDateTime, nullable=False),
    Column("in_conflict", Boolean, nullable=False, default=False),
    Column("patient_name", Text, nullable=False, server_default=""),
    Column("birth_date", String(32), nullable=False, server_default=""),
    Column("sex", String(16), nullable=False, server_default=""),
    Column("accession", Text, nullable=False, server_default=""),
    Column("study_date", String(16), nullable=False, server_default=""),
    Column("description", Text, nullable=False, server_default=""),
    # Patient ID, accession number and name in lower case.
    Column("search", Text, nullable=False, server_default=""),
    # 1: STAT.
    Column("urgency", Integer, nullable=False, server_default="0"),
    comment="One row a received series; in_conflict: instances of another patient or study share its UID",
)

IS_URGENT: Final = series.c.urgency > literal_column("0")
"""In these words alone: a database uses the index below for nothing else."""
Index("ix_series_urgent", series.c.series_uid, postgresql_where=IS_URGENT, sqlite_where=IS_URGENT)

instances = Table(
    "instances",
    metadata,
    Column("sop_instance_uid", UID, primary_key=True),
    Column("series_uid", UID, ForeignKey("series.series_uid"), nullable=False, index=True),
    Column("study_uid", UID, nullable=False),
    Column("sop_class_uid", UID, nullable=False),
    Column("transfer_syntax_uid", UID, nullable=False),
    Column("sha256", DIGEST, nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("header", JSON, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("calling_ae", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("pruned_at", UtcDateTime),
    comment="One row an accepted instance; header: the values that decisions rest on",
)

annotation_references = Table(
    "annotation_references",
    metadata,
    Column("sop_instance_uid", UID, ForeignKey("instances.sop_instance_uid"), primary_key=True),
    Column("series_uid", UID, primary_key=True, index=True),
    comment="Which series a SEG or RTSTRUCT references; the series need not be here yet",
)

set_aside = Table(
    "set_aside",
    metadata,
    _number(),
    Column("sop_instance_uid", UID, nullable=False, index=True),
    Column("sha256", DIGEST, nullable=False, index=True),
    Column("reason", String(64), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("calling_ae", String(16), nullable=False),
    Column("pruned_at", UtcDateTime),
    comment="Objects that were refused but kept for a person to look at",
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("series_uid", UID, ForeignKey("series.series_uid"), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("queue", String(8), nullable=False, default="cpu", server_default="cpu"),
    Column("step", String(32), nullable=False, default=""),
    Column("reason", String(64), nullable=False, default=""),
    Column("detail", Text, nullable=False, default=""),
    Column("predictor", String(64), nullable=False, default=""),
    Column("manifest", DIGEST, nullable=False, default=""),
    Column("token", Integer, nullable=False, default=0),
    Column("strikes", Integer, nullable=False, default=0),
    *_lease(),
    Column("not_before", UtcDateTime),
    Column("supersedes", String(32)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime),
    Column("fixed_at", UtcDateTime),
    Column("claimed_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("delivered_at", UtcDateTime),
    UniqueConstraint("series_uid", "version"),
    Index("ix_jobs_state_completed_at", "state", "completed_at"),
    Index("ix_jobs_created_at_id", "created_at", "id"),
    Index("ix_jobs_state_created_at_id", "state", "created_at", "id"),
    comment="One row an analysis; token: the fencing token; fixed_at: the date and time inside the results",
)

job_steps = Table(
    "job_steps",
    metadata,
    _number(),
    _job(),
    Column("token", Integer, nullable=False),
    Column("step", String(32), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("details", JSON, nullable=False),
    comment="One row a step that ran, whatever came of it",
)

results = Table(
    "results",
    metadata,
    Column("sop_instance_uid", UID, primary_key=True),
    _job(),
    Column("kind", String(32), nullable=False),
    Column("sop_class_uid", UID, nullable=False),
    Column("series_uid", UID, nullable=False),
    Column("series_description", Text, nullable=False),
    Column("sha256", DIGEST, nullable=False, index=True),
    Column("numbers", JSON, nullable=False),
    Column("pruned_at", UtcDateTime),
    comment="One row a result object; its bytes are the blob",
)

outbox = Table(
    "outbox",
    metadata,
    _number(),
    _job(),
    Column("sop_instance_uid", UID, ForeignKey("results.sop_instance_uid"), nullable=False),
    Column("destination", String(64), nullable=False),
    Column("state", String(32), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    *_lease(),
    Column("detail", Text, nullable=False, default=""),
    Column("stored_at", UtcDateTime),
    Column("awaits_commitment", Boolean, nullable=False, default=False, server_default=false()),
    Column("transaction_uid", UID, nullable=False, default="", server_default=""),
    Column("requested_at", UtcDateTime),
    Column("committed_at", UtcDateTime),
    UniqueConstraint("sop_instance_uid", "destination"),
    Index("ix_outbox_state_next_attempt_at", "state", "next_attempt_at"),
    comment="One row an object and destination",
)

commitments = Table(
    "commitments",
    metadata,
    Column("transaction_uid", UID, primary_key=True),
    _job(),
    Column("destination", String(64), nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("reported_at", UtcDateTime),
    Column("instances", JSON, nullable=False),
    comment="One row a request for storage commitment, written before it is sent",
)

identity_corrections = Table(
    "identity_corrections",
    metadata,
    _number(),
    Column("study_uid", UID, nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("destination", String(64), nullable=False),
    Column("attributes", JSON, nullable=False),
    comment="Whom the archive has a study filed under, where that is not as it came; the newest row counts",
)

store_identity = Table(
    "store_identity",
    metadata,
    Column("id", String(32), primary_key=True),
    comment="One row: which database the blobs belong to",
)

audit = Table(
    "audit",
    metadata,
    _number(),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("study_uid", UID, nullable=False, default=""),
    Column("series_uid", UID, nullable=False, default="", index=True),
    Column("instance_uid", UID, nullable=False, default=""),
    Column("job_id", String(32), nullable=False, default="", index=True),
    Column("reason", String(64), nullable=False, default=""),
    Column("details", JSON, nullable=False),
    # HMAC over the row and the mac of the row before; empty where nothing is chained.
    Column("mac", DIGEST, nullable=False, server_default=""),
    comment="Append-only: triggers refuse UPDATE and DELETE",
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("last_id", BigInteger, nullable=False),
    Column("mac", DIGEST, nullable=False),
    Column("chained_from", BigInteger, nullable=False),
    Column("seal", DIGEST, nullable=False),
    comment="One row: where the chain ends; seal: HMAC over the others, so that a cut tail shows",
)

clinical_values = Table(
    "clinical_values",
    metadata,
    _number(),
    Column("patient_id", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("name", Text, nullable=False, default=""),
    Column("birth_date", String(32), nullable=False, default=""),
    Column("sex", String(16), nullable=False, default=""),
    Column("variable", String(32), nullable=False),
    Column("raw_text", Text, nullable=False),
    Column("raw_unit", Text, nullable=False),
    Column("number", Float),
    Column("word", String(64)),
    Column("unit", String(32), nullable=False),
    Column("source", String(32), nullable=False),
    Column("source_id", Text, nullable=False),
    Column("group_id", Text, nullable=False, default=""),
    Column("entered_by", Text, nullable=False, default=""),
    Column("observed_at", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32), nullable=False, default=""),
    Index("ix_clinical_values_patient_id_issuer", "patient_id", "issuer"),
    comment="One row a value as it arrived; rows are only added: what was decided later is in clinical_decisions",
)

clinical_decisions = Table(
    "clinical_decisions",
    metadata,
    _number(),
    Column("value_id", BigInteger, ForeignKey("clinical_values.id"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32), nullable=False, default=""),
    Column("decided_by", Text, nullable=False),
    comment="What people and corrections have made of values; the newest row of a value counts",
)

patient_aliases = Table(
    "patient_aliases",
    metadata,
    _number(),
    Column("prior_id", Text, nullable=False),
    Column("prior_issuer", Text, nullable=False),
    Column("survivor_id", Text, nullable=False),
    Column("survivor_issuer", Text, nullable=False),
    Column("is_undone", Boolean, nullable=False, default=False),
    Column("at", UtcDateTime, nullable=False),
    Column("source_id", Text, nullable=False),
    Index("ix_patient_aliases_prior_id_prior_issuer", "prior_id", "prior_issuer"),
    Index("ix_patient_aliases_survivor_id_survivor_issuer", "survivor_id", "survivor_issuer"),
    comment="Identifiers that were merged (ADT^A40), or parted again (A37): the newest row of a pair counts",
)

patient_updates = Table(
    "patient_updates",
    metadata,
    _number(),
    Column("patient_id", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("birth_date", String(32), nullable=False),
    Column("sex", String(16), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("source_id", Text, nullable=False),
    Index("ix_patient_updates_patient_id_issuer", "patient_id", "issuer"),
    comment="How patients are called since then (ADT^A08): earlier values go by it where it corrects one thing",
)

hl7_messages = Table(
    "hl7_messages",
    metadata,
    _number(),
    Column("sender", Text, nullable=False),
    Column("control_id", Text, nullable=False),
    Column("sha256", DIGEST, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("count", Integer, nullable=False),
    UniqueConstraint("sender", "control_id", "sha256"),
    comment="One row an HL7 message that was acknowledged: one that comes again is known; sha256: of all but its MSH",
)

findings = Table(
    "findings",
    metadata,
    *_claim(),
    Column("summary", String(128), nullable=False),
    Column("document", JSON, nullable=False),
    Column("is_blinded", Boolean, nullable=False, server_default=false()),
    comment="What the page shows of a result; it counts while its token is that of the job",
)

verdicts = Table(
    "verdicts",
    metadata,
    _number(),
    _job(),
    Column("at", UtcDateTime, nullable=False),
    Column("reader", String(128), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("own_class", String(64), nullable=False, default=""),
    Column("reason", Text, nullable=False, default=""),
    Column("predictor", String(64), nullable=False, default=""),
    Column("digest", DIGEST, nullable=False, default=""),
    Column("conclusion", String(64), nullable=False, default=""),
    Column("source_uid", UID, nullable=False, server_default="", index=True),
    comment="Append-only: what readers said of results; the newest of a reader about a job counts",
)

observations = Table(
    "observations",
    metadata,
    *_claim(),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("digest", DIGEST, nullable=False),
    Column("conclusion", String(64), nullable=False),
    Column("scores", JSON, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("scanner", String(128), nullable=False),
    Column("kernel", String(128), nullable=False),
    Column("centre", String(128), nullable=False, server_default=""),
    Column("used", Integer, nullable=False),
    Column("imputed", Integer, nullable=False),
    comment="What is watched of a result over time; it counts while its token is that of the job",
)

outcomes = Table(
    "outcomes",
    metadata,
    _number(),
    Column("study_uid", UID, nullable=False, index=True),
    Column("question", String(32), nullable=False),
    Column("answer", String(64), nullable=False),
    Column("determined_at", String(10), nullable=False, default=""),
    Column("source", Text, nullable=False, default=""),
    Column("entered_by", String(128), nullable=False),
    Column("at", UtcDateTime, nullable=False, index=True),
    comment="Append-only: what turned out to be true; the newest of a study and question counts",
)

unblindings = Table(
    "unblindings",
    metadata,
    _number(),
    _job(),
    Column("at", UtcDateTime, nullable=False),
    Column("by", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    comment="Append-only: who looked at a result of silent mode, and why; from then on it is shown",
)

audit_forwarding = Table(
    "audit_forwarding",
    metadata,
    Column("destination", String(64), primary_key=True),
    Column("last_id", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("detail", Text, nullable=False, default=""),
    Column("sent_at", UtcDateTime),
    Column("token", Integer, nullable=False, default=0),
    *_lease(),
    comment="One row an audit repository: up to which row of the trail it has every message",
)

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("password", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
    comment="Who may use the page; password: argon2id, empty for people of an identity provider",
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", DIGEST, primary_key=True),
    Column("name", String(64), nullable=False, index=True),
    Column("role", String(16), nullable=False),
    Column("is_local", Boolean, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    comment="Who is signed in; digest: SHA-256 of the cookie",
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("digest", DIGEST, primary_key=True),
    Column("name", String(64), ForeignKey("users.name"), nullable=False, index=True),
    Column("label", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    comment="What programs sign in with; digest: SHA-256 of the token",
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("label", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
    comment="How often something has happened that leaves no row of its own",
)

alarms = Table(
    "alarms",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("since", UtcDateTime, nullable=False),
    Column("detail", Text, nullable=False),
    Column("is_over", Boolean, nullable=False),
    Column("is_told", Boolean, nullable=False),
    Column("heard", Text, nullable=False, server_default=""),
    Column("token", Integer, nullable=False, server_default="0"),
    Column("taken_at", UtcDateTime),
    comment="What is raised, or over and not said yet",
)
