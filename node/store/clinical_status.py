"""How the clinical sources do: what waits for a person, what was refused, and who answered in the last analyses."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, select

from node.domain.audit import AuditAction
from node.domain.clinical import ValueState
from node.domain.lifecycle import Step
from node.store.session import Database
from node.store.tables import audit, clinical_decisions, clinical_values, hl7_messages, job_steps

RECENT: Final = timedelta(hours=24)
ANALYSES: Final = 50
_NO_HL7: Final = ("SR", "CSV")


@dataclass(frozen=True, slots=True)
class Answers:
    """What one source did in the last analyses."""

    source: str
    last_at: datetime
    """When it gave a value, or did not answer, for the last time."""
    answered: int = 0
    """Analyses that it gave values to."""
    trouble: str = ""
    """Why it could not be asked in the newest analysis that it failed; empty when it has answered since."""


@dataclass(frozen=True, slots=True)
class ClinicalStatus:
    """The clinical sources at a glance."""

    held: int
    last_message_at: datetime | None
    messages: int
    """HL7 messages stored in the last day."""
    refused: tuple[tuple[str, int], ...]
    """Why HL7 messages were refused in the last day, and how many."""
    sources: tuple[Answers, ...]
    """In the last analyses, by name."""


def clinical_status(database: Database) -> ClinicalStatus:
    """What is known now."""
    since = datetime.now(UTC) - RECENT
    with database.read() as connection:
        is_hl7 = hl7_messages.c.kind.notin_(_NO_HL7)
        last = connection.scalar(select(func.max(hl7_messages.c.received_at)).where(is_hl7))
        recent = select(func.count()).select_from(hl7_messages).where(is_hl7, hl7_messages.c.received_at >= since)
        return ClinicalStatus(
            held=_held(connection),
            last_message_at=last,
            messages=connection.scalar(recent) or 0,
            refused=_refused(connection, since),
            sources=_sources(connection),
        )


def _held(connection: Connection) -> int:
    decided = (
        select(clinical_decisions.c.state)
        .where(clinical_decisions.c.value_id == clinical_values.c.id)
        .order_by(clinical_decisions.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    state = func.coalesce(decided, clinical_values.c.state)
    query = select(func.count()).select_from(clinical_values).where(state == ValueState.HELD.value)
    return connection.scalar(query) or 0


def _refused(connection: Connection, since: datetime) -> tuple[tuple[str, int], ...]:
    query = select(audit.c.details).where(audit.c.action == AuditAction.MESSAGE_REFUSED.value, audit.c.at >= since)
    counted = Counter(str(details.get("why", "")) for details in connection.scalars(query))
    return tuple(counted.most_common())


def _sources(connection: Connection) -> tuple[Answers, ...]:
    query = (
        select(job_steps.c.started_at, job_steps.c.details)
        .where(job_steps.c.step == Step.GATHER_CLINICAL.value)
        .order_by(job_steps.c.started_at.desc())
        .limit(ANALYSES)
    )
    last: dict[str, datetime] = {}
    trouble: dict[str, str] = {}
    answered: Counter[str] = Counter()
    for at, details in connection.execute(query):
        told = dict(part.split(": ", 1) for part in str(details.get("silent", "")).split("; ") if ": " in part)
        gave = [part.rsplit(" ", 1)[0] for part in str(details.get("sources", "")).split(", ") if part]
        for name in (*told, *gave):
            if name not in last:
                last[name], trouble[name] = at, told.get(name, "")
        answered.update(gave)
    return tuple(Answers(name, last[name], answered[name], trouble[name]) for name in sorted(last))
