"""The audit trail: who did what to what, when, and how it ended. Rows are only ever added."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from node.domain.reasons import ReasonCode


class AuditAction(StrEnum):
    """``subject:object:action``."""

    NODE_STARTED = "node:service:start"
    NODE_STOPPED = "node:service:stop"
    ASSOCIATION_REFUSED = "peer:association:refuse"
    INSTANCE_RECEIVED = "peer:instance:receive"
    INSTANCE_REFUSED = "peer:instance:refuse"
    INSTANCE_CONFLICT = "peer:instance:conflict"
    SERIES_COMPLETED = "node:series:complete"
    SERIES_REOPENED = "node:series:reopen"
    JOB_CLAIMED = "worker:job:claim"
    SERIES_ASSEMBLED = "worker:series:assemble"
    SERIES_REFUSED = "worker:series:refuse"
    SERIES_QUARANTINED = "worker:series:quarantine"
    SERIES_TRIAGED = "worker:series:triage"
    ANNOTATION_LINKED = "worker:annotation:link"
    ROI_LOCATED = "worker:roi:locate"
    CLINICAL_GATHERED = "worker:clinical:gather"
    PREDICTED = "worker:prediction:make"
    COMPOSED = "worker:report:compose"
    JOB_RELEASED = "worker:job:release"
    DELIVERED = "deliverer:object:store"
    DELIVERY_FAILED = "deliverer:object:fail"
    DELIVERY_HELD = "deliverer:object:hold"
    DELIVERY_SPARED = "deliverer:object:spare"
    COMMITMENT_REQUESTED = "deliverer:commitment:request"
    COMMITTED = "peer:object:commit"
    NOT_COMMITTED = "peer:object:disown"
    REPORT_REFUSED = "peer:report:refuse"
    IDENTITY_CORRECTED = "node:identity:correct"
    JOB_SUPERSEDED = "node:job:supersede"
    SERIES_PRUNED = "node:series:prune"
    SET_ASIDE_PRUNED = "node:leftover:prune"
    JOB_RETRIED = "person:job:retry"
    CLINICAL_RECEIVED = "node:clinical:receive"
    DOCUMENT_READ = "node:document:read"
    CLINICAL_ENTERED = "person:clinical:enter"
    CLINICAL_DECIDED = "person:clinical:decide"
    CLINICAL_EXPORTED = "person:clinical:export"
    PATIENTS_MERGED = "node:patient:merge"
    PATIENTS_PARTED = "node:patient:part"
    MESSAGE_REFUSED = "peer:message:refuse"
    JOB_RETRACTED = "person:job:retract"
    NOTICE_COMPOSED = "worker:notice:compose"
    NOTICE_WITHHELD = "worker:notice:withhold"
    MODEL_ADDED = "person:model:add"
    MODEL_REMOVED = "person:model:remove"
    MODEL_RESTORED = "person:model:restore"
    MODEL_REFUSED = "worker:model:refuse"
    JOB_PRIORITISED = "person:job:prioritise"
    WORKLIST_VIEWED = "person:worklist:view"
    CASE_VIEWED = "person:case:view"
    OBJECT_FETCHED = "person:object:fetch"
    CLINICAL_VIEWED = "person:clinical:view"
    PATIENT_VIEWED = "person:patient:view"
    VERDICT_GIVEN = "person:verdict:give"
    VERDICTS_EXPORTED = "person:verdict:export"
    RESULT_UNBLINDED = "person:result:unblind"
    OUTCOMES_ENTERED = "person:outcome:enter"
    MONITORING_VIEWED = "person:monitoring:view"
    TRAIL_BROKEN = "node:audit:break"
    SETTINGS_CHANGED = "node:settings:change"
    AUDIT_VIEWED = "person:audit:view"
    AUDIT_EXPORTED = "person:audit:export"
    SIGNED_IN = "person:session:begin"
    SIGN_IN_REFUSED = "person:session:refuse"
    SIGNED_OUT = "person:session:end"
    ACCESS_REFUSED = "person:access:refuse"
    USER_ADDED = "person:user:add"
    USER_DISABLED = "person:user:disable"
    TOKEN_ADDED = "person:token:add"  # noqa: S105 — the name of an action
    TOKENS_REVOKED = "person:token:revoke"


CLINICAL_VALUE: Final = "clinical_value"
"""The detail that says which clinical value a row is about: the way to its patient, whom no row names."""


class AuditOutcome(StrEnum):
    """How an action ended (PS3.15 section A.5, EventOutcomeIndicator in words)."""

    SUCCESS = "success"
    REFUSED = "refused"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One row of the audit trail. Holds UIDs and counts, never names."""

    at: datetime
    actor: str
    action: AuditAction
    outcome: AuditOutcome
    study_uid: str = ""
    series_uid: str = ""
    instance_uid: str = ""
    job_id: str = ""
    reason: ReasonCode | None = None
    details: dict[str, str | int | float] = field(default_factory=dict)

    def as_row(self) -> dict[str, object]:
        """All of it under the names that the trail and its exports use; the moment as it is."""
        return {
            "at": self.at,
            "actor": self.actor,
            "action": self.action.value,
            "outcome": self.outcome.value,
            "study_uid": self.study_uid,
            "series_uid": self.series_uid,
            "instance_uid": self.instance_uid,
            "job_id": self.job_id,
            "reason": self.reason.name if self.reason else "",
            "details": self.details,
        }
