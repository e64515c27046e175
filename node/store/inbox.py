"""The inbox: received instances become durable here, and each opens, touches or reopens the job of its series."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, and_, bindparam, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import InstanceUID, JobId, SeriesUID, StudyUID
from node.domain.imaging import Instance, PatientIdentity, Series
from node.domain.intake import IntakeVerdict, ReceivedInstance
from node.domain.lifecycle import JobState, Queue
from node.domain.reasons import ReasonCode
from node.errors import Retryable
from node.failpoints import Failpoint, hit
from node.store import audit
from node.store.blobs import Blob, BlobStore
from node.store.group_commit import GroupCommit
from node.store.prepared import Prepared
from node.store.session import Database, ring
from node.store.tables import annotation_references, instances, jobs, results, series, set_aside

SameContent = Callable[[Path, Path], bool]

_ATTEMPTS: Final = 5
"""How often an insertion is tried that associations of the same series get into each other's way with."""
_LONGEST_MODALITY: Final = 16
_LONGEST_DATE: Final = 32
_LONGEST_WORD: Final = 16
_URGENT: Final = frozenset({"STAT", "HIGH"})
"""Of Requested Procedure Priority (0040,1003), PS3.3 table C.4-11, where the archive has copied it into the images."""
_KNOWN_SHA: Final = select(instances.c.sha256).where(instances.c.sop_instance_uid == bindparam("uid"))
_IS_PRUNED: Final = exists().where(instances.c.sop_instance_uid == bindparam("uid"), instances.c.pruned_at.is_not(None))
FIRST_VERSION: Final = 1
"""Of the jobs of a series."""
_KNOWN: Final = Prepared(
    select(_KNOWN_SHA.scalar_subquery(), _IS_PRUNED, exists().where(results.c.sop_instance_uid == bindparam("uid")))
)
# The mark is set and never taken back: two associations that write at once cannot lose it.
_TOUCH: Final = Prepared(
    update(series)
    .where(series.c.series_uid == bindparam("uid"))
    .values(
        last_received_at=bindparam("now"),
        in_conflict=or_(
            series.c.in_conflict,
            series.c.study_uid != bindparam("study"),
            series.c.patient_id != bindparam("patient"),
            series.c.issuer != bindparam("issuer"),
        ),
    )
)
_REFERENCED: Final = annotation_references.c.sop_instance_uid == instances.c.sop_instance_uid
# Every case asks these several times: built once, which takes longer than the database does.
_INSTANCES: Final = (
    select(instances).where(instances.c.series_uid == bindparam("uid")).order_by(instances.c.received_at)
)
_ANNOTATIONS: Final = (
    select(instances)
    .join(annotation_references, _REFERENCED)
    .where(annotation_references.c.series_uid == bindparam("uid"))
    .order_by(instances.c.received_at)
)
# Each half by its index: of the two in one condition a database reads all images that it knows.
_NEEDS_PRUNED: Final = or_(
    exists().where(instances.c.series_uid == bindparam("uid"), instances.c.pruned_at.is_not(None)),
    exists().where(
        annotation_references.c.series_uid == bindparam("uid"), _REFERENCED, instances.c.pruned_at.is_not(None)
    ),
)
_OBSTACLES: Final = Prepared(select(series.c.in_conflict, _NEEDS_PRUNED).where(series.c.series_uid == bindparam("uid")))
_NEWEST_JOB: Final = (
    select(jobs).where(jobs.c.series_uid == bindparam("uid")).order_by(jobs.c.version.desc()).limit(1).with_for_update()
)
_NEWEST_STATE: Final = Prepared(_NEWEST_JOB.with_only_columns(jobs.c.id, jobs.c.version, jobs.c.token, jobs.c.state))
_INSERT_INSTANCE: Final = Prepared(
    insert(instances).inline(), [column.name for column in instances.c if column is not instances.c.pruned_at]
)
_COLUMNS_OF_THEIR_OWN: Final = frozenset(
    {"uid", "series_uid", "study_uid", "sop_class_uid", "transfer_syntax_uid", "path"}
)
_HEADER_FIELDS: Final = tuple(one.name for one in fields(Instance) if one.name not in _COLUMNS_OF_THEIR_OWN)
_PATIENT_FIELDS: Final = tuple(one.name for one in fields(PatientIdentity))
_NOTHING: Final[tuple[object, ...]] = (None, "", (), {})


class SqlInbox:
    """The inbox over a database and a blob store; implements ``node.domain.intake.Inbox``."""

    def __init__(self, database: Database, blobs: BlobStore, same_content: SameContent) -> None:
        """``same_content``: whether two files hold the same object, whatever their transfer syntax."""
        self._database = database
        self._blobs = blobs
        self._same_content = same_content
        self._commits = GroupCommit(database)

    def accept(self, received: ReceivedInstance) -> IntakeVerdict:
        """Blob first, then one transaction: instance, series, job and audit; see ``Inbox``."""
        blob = self._blobs.put(received.content, received.sha256)
        hit(Failpoint.INBOX_BEFORE_INSERT)
        for _ in range(_ATTEMPTS):
            # Refused when another process stored the same UID, or opened the same series or job, meanwhile.
            with suppress(IntegrityError):
                verdict = self._commits.run(partial(_insert, received=received, blob=blob))
                hit(Failpoint.INBOX_COMMITTED)
                if verdict is IntakeVerdict.CONFLICT:
                    self._set_aside(received, blob)
                return verdict if verdict is not None else self._judge(received, blob)
        raise Retryable("database: other associations keep getting in this instance's way")

    def _judge(self, received: ReceivedInstance, blob: Blob) -> IntakeVerdict:
        """What to say of an object whose UID is here already."""
        with self._database.read() as connection:
            known = str(connection.scalar(_KNOWN_SHA, {"uid": received.instance.uid}))
        if known == blob.sha256 or self._is_same(self._blobs.path_of(known), blob.path):
            return IntakeVerdict.DUPLICATE
        self._set_aside(received, blob)
        return IntakeVerdict.CONFLICT

    def _is_same(self, one: Path, other: Path) -> bool:
        self._blobs.bring((one, other))
        return self._same_content(one, other)

    def series(self, series_uid: SeriesUID) -> Series:
        """A received series with its instances, by UID; the identity is that of the first instance received."""
        with self._database.read() as connection:
            rows = connection.execute(_INSTANCES, {"uid": series_uid}).mappings().all()
        found = tuple(self._instance(row) for row in rows)
        first = found[0]
        return Series(series_uid, first.study_uid, first.patient, first.modality, found)

    def holds(self, series_uid: SeriesUID) -> bool:
        """Whether any instance of a series is here."""
        with self._database.read() as connection:
            return bool(connection.scalar(select(exists().where(series.c.series_uid == series_uid))))

    def count(self, series_uid: SeriesUID) -> int:
        """How many instances of a series are here."""
        query = select(func.count()).select_from(instances).where(instances.c.series_uid == series_uid)
        with self._database.read() as connection:
            return connection.scalar(query) or 0

    def obstacle(self, series_uid: SeriesUID) -> ReasonCode | None:
        """Why nothing can be done with a series, whatever its headers say; None: nothing is in the way.

        PATIENT_CONFLICT: instances of several patients or studies share this series UID. PRUNED: bytes of it, or of a
        contour that references it, were removed because they were old.
        """
        with self._database.read() as connection:
            found = _OBSTACLES.run(connection, {"uid": series_uid}).fetchone()
        is_in_conflict, is_pruned = found or (False, False)
        if is_in_conflict:
            return ReasonCode.PATIENT_CONFLICT
        return ReasonCode.PRUNED if is_pruned else None

    def annotations(self, series_uid: SeriesUID) -> tuple[Instance, ...]:
        """The SEG and RTSTRUCT instances that reference a series, in the order they came."""
        with self._database.read() as connection:
            return tuple(
                self._instance(row) for row in connection.execute(_ANNOTATIONS, {"uid": series_uid}).mappings()
            )

    def collecting(self) -> tuple[Series, ...]:
        """Every series that is still being collected: what a starting listener must watch."""
        query = select(jobs.c.series_uid).where(jobs.c.state == JobState.COLLECTING.value)
        with self._database.read() as connection:
            uids = connection.scalars(query).all()
        return tuple(self.series(SeriesUID(uid)) for uid in uids)

    def _set_aside(self, received: ReceivedInstance, blob: Blob) -> None:
        with self._database.write() as connection:
            now = datetime.now(UTC)
            connection.execute(
                insert(set_aside).values(
                    sop_instance_uid=received.instance.uid,
                    sha256=blob.sha256,
                    reason=ReasonCode.CONTENT_CONFLICT.name,
                    received_at=now,
                    calling_ae=received.calling_ae,
                )
            )
            event = _event(received, now, AuditAction.INSTANCE_CONFLICT, ReasonCode.CONTENT_CONFLICT)
            audit.append(connection, event)

    def _instance(self, row: RowMapping) -> Instance:
        header: dict[str, Any] = dict(row["header"])
        patient = PatientIdentity(**header.pop("patient"))
        for name in ("image_position_mm", "image_orientation", "pixel_spacing_mm"):
            if name in header:
                header[name] = tuple(header[name])
        header["references"] = tuple(SeriesUID(uid) for uid in header.get("references", ()))
        return Instance(
            uid=InstanceUID(row["sop_instance_uid"]),
            sop_class_uid=row["sop_class_uid"],
            transfer_syntax_uid=row["transfer_syntax_uid"],
            series_uid=SeriesUID(row["series_uid"]),
            study_uid=StudyUID(row["study_uid"]),
            patient=patient,
            path=self._blobs.path_of(row["sha256"]),
            **header,
        )


def _insert(connection: Connection, *, received: ReceivedInstance, blob: Blob) -> IntakeVerdict | None:
    """Write everything about a new instance in the transaction of ``connection``; None when its UID is here already.

    CONFLICT when the bytes of that UID are gone, and it cannot have been this object.
    """
    now = datetime.now(UTC)
    uid = received.instance.uid
    known, is_pruned, is_own = _KNOWN.run(connection, {"uid": uid}).fetchone() or (None, False, False)
    if known is not None:
        return _take_back(connection, received, blob, now) if is_pruned else None
    if is_own:
        audit.append(connection, _event(received, now, AuditAction.INSTANCE_RECEIVED, ReasonCode.OWN_RESULT))
        return IntakeVerdict.OWN_RESULT
    _touch_series(connection, received, now)
    _INSERT_INSTANCE.run(connection, _to_row(received, blob, now))
    _insert_references(connection, received.instance)
    audit.append(connection, _event(received, now, AuditAction.INSTANCE_RECEIVED))
    _open_job(connection, received.instance.series_uid, now)
    hit(Failpoint.INBOX_BEFORE_COMMIT)
    return IntakeVerdict.STORED


def _insert_references(connection: Connection, instance: Instance) -> None:
    for referenced in dict.fromkeys(instance.references):
        row = {"sop_instance_uid": instance.uid, "series_uid": referenced}
        connection.execute(insert(annotation_references).values(row))


def _take_back(connection: Connection, received: ReceivedInstance, blob: Blob, now: datetime) -> IntakeVerdict | None:
    """Store what retention had removed; None when somebody else has just done so.

    The same bytes change no verdict. Other bytes are a late instance: what was removed cannot be compared with them.
    """
    instance = received.instance
    mine = instances.c.sop_instance_uid == instance.uid
    gone = connection.execute(select(instances).where(mine)).mappings().one()
    patient = PatientIdentity(**gone["header"]["patient"])
    known = (gone["study_uid"], gone["series_uid"], patient.key())
    if known != (instance.study_uid, instance.series_uid, instance.patient.key()):
        return IntakeVerdict.CONFLICT
    _touch_series(connection, received, now)
    # Locked before the row is changed, as pruning does it.
    latest = latest_job(connection, instance.series_uid)
    values = _to_row(received, blob, now) | {"pruned_at": None}
    changed = connection.execute(update(instances).where(mine, instances.c.pruned_at.is_not(None)).values(values))
    if changed.rowcount != 1:
        return None
    connection.execute(delete(annotation_references).where(annotation_references.c.sop_instance_uid == instance.uid))
    _insert_references(connection, instance)
    audit.append(connection, _event(received, now, AuditAction.INSTANCE_RECEIVED, ReasonCode.PRUNED))
    if gone["sha256"] != blob.sha256 or latest is None or _waits_for_bytes(latest):
        _open_job(connection, instance.series_uid, now)
    for referenced in dict.fromkeys(instance.references):
        _wake_pruned(connection, referenced, now)
    return IntakeVerdict.STORED


def _waits_for_bytes(job: RowMapping) -> bool:
    """Whether a job has no verdict yet, or could have none because of what retention had removed."""
    if JobState(job["state"]) is JobState.QUARANTINED:
        return bool(job["reason"] == ReasonCode.PRUNED.name)
    return JobState(job["state"]) in (JobState.COLLECTING, JobState.WAITING, JobState.RUNNING)


def _wake_pruned(connection: Connection, series_uid: SeriesUID, now: datetime) -> None:
    """Have a series analysed that could not be because a contour for it had been removed."""
    latest = latest_job(connection, series_uid)
    if latest is not None and JobState(latest["state"]) is JobState.QUARANTINED and _waits_for_bytes(latest):
        version = latest["version"] + 1
        opened = insert_job(connection, series_uid, version, JobState.WAITING, now, supersedes=latest["id"])
        audit.append(connection, reopened(series_uid, opened, now, "a contour for it is here again"))


def _touch_series(connection: Connection, received: ReceivedInstance, now: datetime) -> None:
    instance = received.instance
    patient_id, issuer = instance.patient.key()
    whose = {"study": instance.study_uid, "patient": patient_id, "issuer": issuer}
    if _TOUCH.run(connection, {"uid": instance.series_uid, "now": now, **whose}).rowcount:
        return
    values = {
        "series_uid": instance.series_uid,
        "study_uid": instance.study_uid,
        "patient_id": patient_id,
        "issuer": issuer,
        "modality": instance.modality[:_LONGEST_MODALITY],
        "calling_ae": received.calling_ae,
        "first_received_at": now,
        "last_received_at": now,
        "in_conflict": False,
        **_labels(instance),
    }
    connection.execute(insert(series).values(values))
    _wake_orphans(connection, instance.series_uid, now)


def _labels(instance: Instance) -> dict[str, object]:
    """What a worklist shows of a series and finds it by, from its first instance."""
    patient, more = instance.patient, instance.attributes
    accession = more.get("AccessionNumber", "")
    return {
        "patient_name": patient.name,
        "birth_date": patient.birth_date[:_LONGEST_DATE],
        "sex": patient.sex[:_LONGEST_WORD],
        "accession": accession,
        "study_date": more.get("StudyDate", "")[:_LONGEST_WORD],
        "description": more.get("SeriesDescription", ""),
        "search": f"{patient.patient_id}\n{accession}\n{patient.name}".lower(),
        "urgency": int(more.get("RequestedProcedurePriority", "").upper() in _URGENT),
    }


def _wake_orphans(connection: Connection, series_uid: SeriesUID, now: datetime) -> None:
    """Have contours that came before the series they reference looked at again, now that it is here.

    Also those that are being looked at: whether this series was here when they asked is not known.
    """
    waiting_for_it = (
        select(instances.c.series_uid)
        .join(annotation_references, annotation_references.c.sop_instance_uid == instances.c.sop_instance_uid)
        .where(annotation_references.c.series_uid == series_uid)
    )
    newer = jobs.alias("newer")
    is_latest = ~exists().where(newer.c.series_uid == jobs.c.series_uid, newer.c.version > jobs.c.version)
    orphaned = and_(
        jobs.c.state == JobState.NOT_ANALYSED.value, jobs.c.reason == ReasonCode.ANNOTATION_ORPHAN.name, is_latest
    )
    values = {
        "state": JobState.WAITING.value, "queue": Queue.CPU.value, "token": jobs.c.token + 1, "lease_owner": "",
        "step": "", "reason": "", "detail": "", "completed_at": now,
    }  # fmt: skip
    woken = connection.execute(
        update(jobs)
        .where(jobs.c.series_uid.in_(waiting_for_it), or_(orphaned, jobs.c.state == JobState.RUNNING.value))
        .values(values)
        .returning(jobs.c.id, jobs.c.series_uid)
    ).all()
    for row in woken:
        ring(connection, row.id, Queue.CPU)
        audit.append(connection, reopened(row.series_uid, row.id, now, "the series that it references is here"))


def _open_job(connection: Connection, series_uid: SeriesUID, now: datetime) -> None:
    """Open the job of a series, take it back while nothing has been committed, or open the next version."""
    latest = _NEWEST_STATE.run(connection, {"uid": series_uid}).fetchone()
    if latest is None:
        insert_job(connection, series_uid, FIRST_VERSION, JobState.COLLECTING, now)
        return
    job_id, version, token, state = latest
    if state in (JobState.WAITING, JobState.RUNNING):
        values = {"state": JobState.COLLECTING.value, "token": token + 1, "lease_owner": "", "step": ""}
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))
        audit.append(connection, reopened(series_uid, job_id, now, "a late instance"))
    elif state != JobState.COLLECTING:
        opened = insert_job(connection, series_uid, version + 1, JobState.COLLECTING, now, supersedes=job_id)
        audit.append(connection, reopened(series_uid, opened, now, "a late instance"))


def latest_job(connection: Connection, series_uid: SeriesUID) -> RowMapping | None:
    """The job of the newest version of a series, locked until the transaction ends: nobody moves it on meanwhile."""
    return connection.execute(_NEWEST_JOB, {"uid": series_uid}).mappings().first()


def reopened(series_uid: str, job_id: str, now: datetime, why: str) -> AuditEvent:
    """What the audit trail says when a series is to be analysed anew."""
    return AuditEvent(
        at=now,
        actor="node",
        action=AuditAction.SERIES_REOPENED,
        outcome=AuditOutcome.SUCCESS,
        series_uid=series_uid,
        job_id=job_id,
        details={"why": why},
    )


def insert_job(
    connection: Connection,
    series_uid: SeriesUID,
    version: int,
    state: JobState,
    now: datetime,
    *,
    supersedes: str | None = None,
) -> JobId:
    """Add the job for ``version`` of a series in the transaction of ``connection``."""
    job_id = JobId.of(series_uid, version)
    values = {
        "id": job_id,
        "series_uid": series_uid,
        "version": version,
        "state": state.value,
        "queue": Queue.CPU.value,
        "supersedes": supersedes,
        "created_at": now,
        "completed_at": now if state is JobState.WAITING else None,
    }
    connection.execute(insert(jobs).values(values))
    if state is JobState.WAITING:
        ring(connection, job_id, Queue.CPU)
    return job_id


def count_instances(connection: Connection, series_uid: SeriesUID) -> int:
    """How many instances of a series are here."""
    query = select(func.count()).select_from(instances).where(instances.c.series_uid == series_uid)
    return connection.scalar(query) or 0


def _to_row(received: ReceivedInstance, blob: Blob, now: datetime) -> dict[str, Any]:
    instance = received.instance
    header = {name: value for name in _HEADER_FIELDS if (value := getattr(instance, name)) not in _NOTHING}
    header["patient"] = {name: getattr(instance.patient, name) for name in _PATIENT_FIELDS}
    return {
        "sop_instance_uid": instance.uid,
        "series_uid": instance.series_uid,
        "study_uid": instance.study_uid,
        "sop_class_uid": instance.sop_class_uid,
        "transfer_syntax_uid": instance.transfer_syntax_uid,
        "sha256": blob.sha256,
        "size_bytes": blob.size_bytes,
        "header": header,
        "received_at": now,
        "calling_ae": received.calling_ae,
        "address": received.address,
    }


def _event(
    received: ReceivedInstance, now: datetime, action: AuditAction, reason: ReasonCode | None = None
) -> AuditEvent:
    instance = received.instance
    return AuditEvent(
        at=now,
        actor=f"peer {received.calling_ae}",
        action=action,
        outcome=AuditOutcome.REFUSED if action is AuditAction.INSTANCE_CONFLICT else AuditOutcome.SUCCESS,
        study_uid=instance.study_uid,
        series_uid=instance.series_uid,
        instance_uid=instance.uid,
        reason=reason,
        details={"bytes": len(received.content), "address": received.address},
    )
