"""Clinical values: as they arrived, what was decided about them, merged identifiers, and acknowledged messages."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD16 = sa.String(length=16)
WORD32 = sa.String(length=32)
WORD64 = sa.String(length=64)


def upgrade() -> None:
    op.create_table(
        "clinical_values",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("patient_id", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("birth_date", WORD32, nullable=False),
        sa.Column("sex", WORD16, nullable=False),
        sa.Column("variable", WORD32, nullable=False),
        sa.Column("raw_text", sa.Text(), nullable=False),
        sa.Column("raw_unit", sa.Text(), nullable=False),
        sa.Column("number", sa.Float(), nullable=True),
        sa.Column("word", WORD64, nullable=True),
        sa.Column("unit", WORD32, nullable=False),
        sa.Column("source", WORD32, nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("entered_by", sa.Text(), nullable=False),
        sa.Column("observed_at", MOMENT, nullable=True),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("state", WORD16, nullable=False),
        sa.Column("reason", WORD32, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clinical_values")),
        comment="One row a value as it arrived; rows are only added: what was decided later is in clinical_decisions",
    )
    op.create_index("ix_clinical_values_patient_id_issuer", "clinical_values", ["patient_id", "issuer"], unique=False)
    op.create_table(
        "clinical_decisions",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("value_id", sa.BigInteger(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("state", WORD16, nullable=False),
        sa.Column("reason", WORD32, nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["value_id"], ["clinical_values.id"], name=op.f("fk_clinical_decisions_value_id_clinical_values")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clinical_decisions")),
        comment="What people and corrections have made of values; the newest row of a value counts",
    )
    op.create_index(op.f("ix_clinical_decisions_value_id"), "clinical_decisions", ["value_id"], unique=False)
    op.create_table(
        "patient_aliases",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("prior_id", sa.Text(), nullable=False),
        sa.Column("prior_issuer", sa.Text(), nullable=False),
        sa.Column("survivor_id", sa.Text(), nullable=False),
        sa.Column("survivor_issuer", sa.Text(), nullable=False),
        sa.Column("is_undone", sa.Boolean(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient_aliases")),
        comment="Identifiers that were merged (ADT^A40), or parted again (A37): the newest row of a pair counts",
    )
    op.create_index("ix_patient_aliases_prior_id_prior_issuer", "patient_aliases", ["prior_id", "prior_issuer"])
    op.create_index(
        "ix_patient_aliases_survivor_id_survivor_issuer", "patient_aliases", ["survivor_id", "survivor_issuer"]
    )
    op.create_table(
        "patient_updates",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("patient_id", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("birth_date", WORD32, nullable=False),
        sa.Column("sex", WORD16, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient_updates")),
        comment="How patients are called since then (ADT^A08): earlier values go by it where it corrects one thing",
    )
    op.create_index("ix_patient_updates_patient_id_issuer", "patient_updates", ["patient_id", "issuer"], unique=False)
    op.create_table(
        "hl7_messages",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("control_id", sa.Text(), nullable=False),
        sa.Column("sha256", WORD64, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("kind", WORD16, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hl7_messages")),
        sa.UniqueConstraint("sender", "control_id", "sha256", name=op.f("uq_hl7_messages_sender")),
        comment=(
            "One row an HL7 message that was acknowledged: one that comes again is known; sha256: of all but its MSH"
        ),
    )


def downgrade() -> None:
    for table in ("hl7_messages", "patient_updates", "patient_aliases", "clinical_decisions", "clinical_values"):
        op.drop_table(table)
