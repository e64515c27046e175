"""Clinical values: added as they arrive, never changed; corrections and decisions are rows of their own.

A value that arrives after an analysis has it done again, as a late slice does: a new version takes over once it has
results.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, and_, func, insert, or_, select, tuple_, update

from node.domain.audit import CLINICAL_VALUE, AuditAction, AuditEvent, AuditOutcome
from node.domain.clinical import ClinicalVariable, ValueReason, ValueState
from node.domain.clinical_intake import (
    ENTERED,
    Accepted,
    Intake,
    KnownValue,
    Merge,
    MessageIdentity,
    RawValue,
    ReadValue,
    ReceivedValue,
)
from node.domain.clinical_matching import contradicts, corrects, dicom_day, untimely
from node.domain.clinical_variables import ROWS
from node.domain.identifiers import JobId, SeriesUID
from node.domain.imaging import PatientIdentity
from node.domain.lifecycle import JobState, Queue
from node.domain.reasons import ReasonCode
from node.errors import UsageError
from node.failpoints import Failpoint, hit
from node.store import audit
from node.store.clinical_status import ClinicalStatus, clinical_status
from node.store.inbox import insert_job, latest_job, reopened
from node.store.session import Database, ring
from node.store.tables import (
    clinical_decisions,
    clinical_values,
    hl7_messages,
    instances,
    jobs,
    patient_aliases,
    patient_updates,
    results,
    series,
)

SETTLE: Final = timedelta(seconds=20)
"""How long a series that is done waits before it is analysed again: results come in bursts."""
MOST_ALIASES: Final = 64
"""Identifiers of one patient, at most: a chain of merges that is longer is an error of the sender."""

_LONGEST_TEXT: Final = 256
_LONGEST_ACTOR: Final = 128
_AGAIN: Final = (JobState.DELIVERING, JobState.DONE)
_LACKING: Final = (ReasonCode.CLINICAL_MISSING.name, ReasonCode.CLINICAL_VALUE.name)
_ACTORS: Final = {"CSV": "operator", "SR": "worker"}
"""Who has brought a message of that kind; all others come by HL7."""
_NO_IMAGES: Final = ("SEG", "RTSTRUCT", "SR")
"""Series that no value changes anything about; one of them may be where the value has just come from."""
_WHY: Final = "a clinical value is here"

Key = tuple[str, str]


class ClinicalStore:
    """The clinical values of a database; implements ``node.domain.clinical_intake.KnownValues``."""

    def __init__(self, database: Database, default_issuer: str = "") -> None:
        """``default_issuer``: who issued the patient IDs that come without an issuer."""
        self._database = database
        self._default_issuer = default_issuer

    def accept(self, intake: Intake) -> Accepted:
        """Store all of ``intake``; a message that is known already changes nothing.

        Raises:
            Retryable: the database cannot be written now; nothing was.
        """
        with self._database.write() as connection:
            now = datetime.now(UTC)
            if intake.message is not None and not _remember(connection, intake.message, len(intake.values), now):
                return Accepted(is_duplicate=True)
            # Of all identifiers of a patient, before and after: a series that loses values is analysed again too.
            merged = [key for merge in intake.merges for key in self._merge(connection, merge, intake.message, now)]
            for patient in intake.updates:
                self._update(connection, patient, intake.message, now)
            ids = tuple(self._add(connection, value, now) for value in intake.values)
            renamed = [self._key(patient) for patient in intake.updates]
            touched = [*(self._key(value.patient) for value in intake.values), *merged, *renamed]
            again = self._reopen(connection, touched, intake, now)
            audit.append(connection, *_told(intake, ids, now))
            hit(Failpoint.CLINICAL_BEFORE_COMMIT)
        hit(Failpoint.CLINICAL_COMMITTED)
        return Accepted(value_ids=ids, reopened=again)

    def of(self, patient: PatientIdentity) -> tuple[KnownValue, ...]:
        """The values of a patient in the order in which they came, those of merged identifiers among them."""
        if not patient.key()[0]:
            # Two patients without a number are not one.
            return ()
        with self._database.read() as connection:
            keys = _aliases(connection, {self._key(patient)})
            return _known(connection, tuple_(clinical_values.c.patient_id, clinical_values.c.issuer).in_(sorted(keys)))

    def all(self) -> tuple[KnownValue, ...]:
        """Every value, for export."""
        with self._database.read() as connection:
            return _known(connection, clinical_values.c.id > 0)

    def canonical(self) -> dict[Key, Key]:
        """For every identifier that was merged, the one that stands for its patient."""
        with self._database.read() as connection:
            rows = connection.execute(select(patient_aliases)).mappings().all()
            keys = {key for row in rows for key in _ends(row)}
            return {key: min(_aliases(connection, {key})) for key in keys}

    def status(self) -> ClinicalStatus:
        """How the sources do."""
        return clinical_status(self._database)

    def imaged(self) -> tuple[tuple[Key, SeriesUID], ...]:
        """Every series of images of one patient alone, with whose it is; what was pruned is not among them."""
        gone = select(instances.c.series_uid).where(instances.c.pruned_at.is_not(None))
        query = (
            select(series.c.patient_id, series.c.issuer, series.c.series_uid)
            .where(series.c.modality == "CT", series.c.in_conflict.is_(False), series.c.series_uid.notin_(gone))
            .order_by(series.c.series_uid)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple((self._key(PatientIdentity(row[0], row[1])), SeriesUID(row[2])) for row in rows)

    def patients(self, patient_id: str) -> dict[PatientIdentity, SeriesUID]:
        """Who has this patient ID, as the images name them: one an issuer and person, each with a series of theirs."""
        with self._database.read() as connection:
            rows = connection.execute(select(series.c.series_uid).where(series.c.patient_id == patient_id)).scalars()
            return {identity: SeriesUID(uid) for uid in rows if (identity := _identity(connection, uid)[0])}

    def decide(self, value_id: int, *, usable: bool, by: str) -> None:
        """Write down that a person has looked at a value.

        Raises:
            UsageError: there is no such value, or nothing in it that could be used.
        """
        with self._database.write() as connection:
            now = datetime.now(UTC)
            found = _known(connection, clinical_values.c.id == value_id)
            if not found:
                raise UsageError(f"there is no clinical value {value_id}")
            received = found[0].received
            if usable and received.read.value is None:
                raise UsageError(f"value {value_id} could not be read; enter it with celadon clinical enter")
            state = ValueState.USABLE if usable else ValueState.REFUSED
            _add_decision(connection, value_id, state, found[0].reason, by, now)
            self._reopen(connection, [self._key(received.patient)], Intake((received,)), now, anyway=True)
            details: dict[str, str | int | float] = {CLINICAL_VALUE: value_id, "state": state.value, "by": by}
            audit.append(
                connection,
                AuditEvent(now, _person(by), AuditAction.CLINICAL_DECIDED, AuditOutcome.SUCCESS, details=details),
            )

    def _key(self, patient: PatientIdentity) -> Key:
        patient_id, issuer = patient.key()
        return patient_id, issuer or self._default_issuer

    def _add(self, connection: Connection, value: ReceivedValue, now: datetime) -> int:
        patient_id, issuer = self._key(value.patient)
        read = value.read
        row = {
            "patient_id": patient_id,
            "issuer": issuer,
            "name": _clean(value.patient.name),
            "birth_date": _clean(value.patient.birth_date)[:32],
            "sex": _clean(value.patient.sex)[:16],
            "variable": read.raw.variable.value,
            "raw_text": _clean(read.raw.text),
            "raw_unit": _clean(read.raw.unit),
            "number": read.value if isinstance(read.value, float) else None,
            "word": read.value if isinstance(read.value, str) else None,
            "unit": read.unit,
            "source": value.source,
            "source_id": _clean(value.source_id),
            "group_id": _clean(value.group),
            "entered_by": _clean(value.by),
            "observed_at": read.raw.observed_at,
            "received_at": now,
            "state": read.state.value,
            "reason": read.reason.name if read.reason else "",
        }
        earlier = _corrected(connection, row)
        added = connection.execute(insert(clinical_values).values(row)).inserted_primary_key
        for value_id in earlier:
            _add_decision(connection, value_id, ValueState.SUPERSEDED, ValueReason.WITHDRAWN, value.source, now)
        return int(added[0]) if added else 0

    def _merge(self, connection: Connection, merge: Merge, message: MessageIdentity | None, now: datetime) -> set[Key]:
        """Write a merge or its undoing, unless it is so already; gives everyone whom it concerns."""
        prior, survivor = self._key(merge.prior), self._key(merge.survivor)
        before = _aliases(connection, {prior, survivor})
        is_one = frozenset((prior, survivor)) in _pairs(connection, {prior, survivor})
        if prior != survivor and is_one == merge.is_undone:
            row = {
                "prior_id": prior[0],
                "prior_issuer": prior[1],
                "survivor_id": survivor[0],
                "survivor_issuer": survivor[1],
                "is_undone": merge.is_undone,
                "at": now,
                "source_id": message.control_id if message else "",
            }
            connection.execute(insert(patient_aliases).values(row))
        return before

    def _update(
        self, connection: Connection, patient: PatientIdentity, message: MessageIdentity | None, now: datetime
    ) -> None:
        patient_id, issuer = self._key(patient)
        row = {
            "patient_id": patient_id,
            "issuer": issuer,
            "name": _clean(patient.name),
            "birth_date": _clean(patient.birth_date)[:32],
            "sex": _clean(patient.sex)[:16],
            "at": now,
            "source_id": message.control_id if message else "",
        }
        connection.execute(insert(patient_updates).values(row))

    def _reopen(
        self, connection: Connection, touched: Sequence[Key], intake: Intake, now: datetime, *, anyway: bool = False
    ) -> tuple[str, ...]:
        """Have each series analysed again that something usable has arrived for, and wake those that wait.

        ``anyway``: also when no value is usable as it arrived, because a person has decided.
        """
        news = [value for value in intake.values if anyway or _may_change_something(value)]
        if not news and not intake.merges and not intake.updates:
            return ()
        keys = _aliases(connection, set(touched))
        rows = connection.execute(
            select(series.c.series_uid, series.c.patient_id, series.c.issuer)
            .where(series.c.patient_id.in_(sorted({key[0] for key in keys})), series.c.modality.notin_(_NO_IMAGES))
            .order_by(series.c.series_uid)
        ).all()
        anyway = anyway or bool(intake.merges or intake.updates)
        again = []
        for row in rows:
            key = self._key(PatientIdentity(row.patient_id, row.issuer))
            if key in keys:
                own = _aliases(connection, {key})
                mine = [value for value in news if self._key(value.patient) in own]
                again.append(_analyse_again(connection, row.series_uid, mine, now, anyway=anyway))
        return tuple(job for job in again if job is not None)


def _may_change_something(value: ReceivedValue) -> bool:
    return value.read.state in (ValueState.USABLE, ValueState.SUPERSEDED)


def _analyse_again(
    connection: Connection, uid: str, news: Sequence[ReceivedValue], now: datetime, *, anyway: bool
) -> JobId | None:
    identity, day = _identity(connection, uid)
    if not anyway and not any(_is_for(value, identity, day) for value in news):
        return None
    row = latest_job(connection, SeriesUID(uid))
    state = JobState(row["state"]) if row is not None else None
    if row is None or state is JobState.COLLECTING:
        return None
    if state is JobState.WAITING:
        # What waits for a disk, or for a burst of results to settle, gains nothing by going on now.
        if row["reason"] == ReasonCode.AWAITING_CLINICAL.name:
            connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(not_before=None))
            ring(connection, JobId(row["id"]), Queue(row["queue"]))
        return None
    if state is JobState.RUNNING:
        values = {"state": JobState.WAITING.value, "token": row["token"] + 1, "lease_owner": "", "step": ""}
        connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(values))
        job_id = JobId(row["id"])
        ring(connection, job_id, Queue(row["queue"]))
    elif _gains(connection, row) and not _is_pruned(connection, uid):
        version = row["version"] + 1
        job_id = insert_job(connection, SeriesUID(uid), version, JobState.WAITING, now, supersedes=row["id"])
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(not_before=now + SETTLE))
    else:
        return None
    audit.append(connection, reopened(uid, job_id, now, _WHY))
    return job_id


def _is_for(value: ReceivedValue, identity: PatientIdentity | None, day: date | None) -> bool:
    """Whether a value may be one for a series of that patient and day."""
    if identity is None or contradicts(value.patient, identity):
        return False
    raw = value.read.raw
    if value.source == ENTERED and raw.observed_at is None:
        return True
    return untimely(raw.observed_at, day, ROWS[raw.variable].stale_days) is None


def _gains(connection: Connection, job: RowMapping) -> bool:
    """Whether a job that has ended would say something else now: it has results, or had too few values for any."""
    if JobState(job["state"]) is JobState.NOT_ANALYSED:
        return bool(job["reason"] in _LACKING)
    return JobState(job["state"]) in _AGAIN and _has_results(connection, job["id"])


def _has_results(connection: Connection, job_id: str) -> bool:
    return bool(connection.scalar(select(func.count()).select_from(results).where(results.c.job_id == job_id)))


def _is_pruned(connection: Connection, uid: str) -> bool:
    """Whether there is nothing left to analyse again: the result stands."""
    gone = and_(instances.c.series_uid == uid, instances.c.pruned_at.is_not(None))
    return bool(connection.scalar(select(func.count()).select_from(instances).where(gone)))


def _identity(connection: Connection, uid: str) -> tuple[PatientIdentity | None, date | None]:
    """Who a series is of and the day of its study, from the first instance received."""
    query = select(instances.c.header).where(instances.c.series_uid == uid).order_by(instances.c.received_at).limit(1)
    header: Any = connection.scalar(query)
    if not header:
        return None, None
    header = json.loads(header) if isinstance(header, str) else header
    return PatientIdentity(**header["patient"]), dicom_day(header.get("attributes", {}).get("StudyDate", ""))


def _remember(connection: Connection, message: MessageIdentity, count: int, now: datetime) -> bool:
    """Whether ``message`` is new; it is known from now on."""
    known = and_(
        hl7_messages.c.sender == message.sender,
        hl7_messages.c.control_id == message.control_id,
        hl7_messages.c.sha256 == message.sha256,
    )
    if connection.scalar(select(func.count()).select_from(hl7_messages).where(known)):
        return False
    row = {
        "sender": message.sender,
        "control_id": message.control_id,
        "sha256": message.sha256,
        "received_at": now,
        "kind": message.kind[:16],
        "count": count,
    }
    connection.execute(insert(hl7_messages).values(row))
    return True


def _corrected(connection: Connection, row: dict[str, Any]) -> Sequence[int]:
    """Earlier values that this one replaces: same patient, source, order and variable, and not another observation."""
    if not row["group_id"]:
        return ()
    same = [clinical_values.c[name] == row[name] for name in ("patient_id", "issuer", "source", "group_id", "variable")]
    if row["observed_at"] is not None:
        same.append(or_(clinical_values.c.observed_at == row["observed_at"], clinical_values.c.observed_at.is_(None)))
    return connection.scalars(select(clinical_values.c.id).where(*same)).all()


def _aliases(connection: Connection, keys: set[Key]) -> set[Key]:
    """``keys`` and every identifier that is merged with one of them, in either direction."""
    known, frontier = set(keys), set(keys)
    while frontier and len(known) < len(keys) + MOST_ALIASES:
        frontier = {key for pair in _pairs(connection, frontier) for key in pair} - known
        known |= frontier
    return known


def _pairs(connection: Connection, keys: set[Key]) -> set[frozenset[Key]]:
    """Who is merged with one of ``keys``: of each pair the newest row counts, whichever of the two survived."""
    wanted, table = sorted(keys), patient_aliases.c
    prior, survivor = tuple_(table.prior_id, table.prior_issuer), tuple_(table.survivor_id, table.survivor_issuer)
    query = select(patient_aliases).where(or_(prior.in_(wanted), survivor.in_(wanted))).order_by(table.id)
    newest = {frozenset(_ends(row)): row["is_undone"] for row in connection.execute(query).mappings()}
    return {pair for pair, is_undone in newest.items() if not is_undone}


def _ends(row: RowMapping) -> tuple[Key, Key]:
    return (row["prior_id"], row["prior_issuer"]), (row["survivor_id"], row["survivor_issuer"])


def _add_decision(
    connection: Connection, value_id: int, state: ValueState, reason: ValueReason | None, by: str, now: datetime
) -> None:
    connection.execute(
        insert(clinical_decisions).values(
            value_id=value_id, at=now, state=state.value, reason=reason.name if reason else "", decided_by=by
        )
    )


def _known(connection: Connection, condition: Any) -> tuple[KnownValue, ...]:
    rows = connection.execute(select(clinical_values).where(condition).order_by(clinical_values.c.id)).mappings().all()
    decisions = connection.execute(
        select(clinical_decisions)
        .join(clinical_values, clinical_values.c.id == clinical_decisions.c.value_id)
        .where(condition)
        .order_by(clinical_decisions.c.id)
    ).mappings()
    newest = {decision["value_id"]: decision for decision in decisions}
    own = tuple_(patient_updates.c.patient_id, patient_updates.c.issuer)
    keys = sorted({(row["patient_id"], row["issuer"]) for row in rows})
    query = select(patient_updates).order_by(patient_updates.c.id)
    # An export asks for everybody: more keys than a statement may have.
    updates = connection.execute(query.where(own.in_(keys)) if len(keys) <= MOST_ALIASES else query).mappings()
    renamed: dict[Key, list[RowMapping]] = {}
    for update_row in updates:
        renamed.setdefault((update_row["patient_id"], update_row["issuer"]), []).append(update_row)
    return tuple(
        _to_known(row, newest.get(row["id"]), renamed.get((row["patient_id"], row["issuer"]), ())) for row in rows
    )


def _to_known(row: RowMapping, decision: RowMapping | None, updates: Sequence[RowMapping]) -> KnownValue:
    raw = RawValue(ClinicalVariable(row["variable"]), row["raw_text"], row["raw_unit"], row["observed_at"])
    value: float | str | None = row["number"] if row["number"] is not None else row["word"]
    read = ReadValue(raw, value, row["unit"], _reason(row["reason"]))
    patient = PatientIdentity(row["patient_id"], row["issuer"], row["name"], row["birth_date"], row["sex"])
    for later in updates:
        if later["at"] >= row["received_at"]:
            new = replace(patient, name=later["name"], birth_date=later["birth_date"], sex=later["sex"])
            patient = new if corrects(patient, new) else patient
    received = ReceivedValue(patient, read, row["source"], row["source_id"], row["group_id"], row["entered_by"])
    newest = decision or row
    decided_by = decision["decided_by"] if decision else ""
    return KnownValue(
        row["id"], received, row["received_at"], ValueState(newest["state"]), _reason(newest["reason"]), decided_by
    )


def _reason(name: str) -> ValueReason | None:
    return ValueReason[name] if name else None


def _clean(text: str) -> str:
    """``text`` as a database can hold it: no NUL, no endless field."""
    return "".join(char for char in text[:_LONGEST_TEXT] if char.isprintable())


def _told(intake: Intake, ids: Sequence[int], now: datetime) -> Iterable[AuditEvent]:
    """A row for each patient and source: an audit message is about one patient (PS3.15 section A.5.3.14)."""
    actor = _ACTORS.get(intake.message.kind, "hl7 listener") if intake.message else "operator"
    together: dict[tuple[str, Key], list[tuple[int, ReceivedValue]]] = {}
    for value_id, value in zip(ids, intake.values, strict=True):
        together.setdefault((value.source, value.patient.key()), []).append((value_id, value))
    for (source, _), values in together.items():
        yield _brought(source, values, actor, now)
    for merge in intake.merges:
        action = AuditAction.PATIENTS_PARTED if merge.is_undone else AuditAction.PATIENTS_MERGED
        yield AuditEvent(now, actor, action, AuditOutcome.SUCCESS)


def _brought(source: str, values: Sequence[tuple[int, ReceivedValue]], actor: str, now: datetime) -> AuditEvent:
    """The row about values of one patient from one source."""
    states = [value.read.state for _, value in values]
    details: dict[str, str | int | float] = {CLINICAL_VALUE: values[0][0], "source": source, "count": len(values)}
    details |= {state.value: states.count(state) for state in ValueState if state in states}
    if names := ", ".join(sorted({value.by for _, value in values if value.by})):
        details["by"] = names
    if source == ENTERED:
        return AuditEvent(now, _person(names), AuditAction.CLINICAL_ENTERED, AuditOutcome.SUCCESS, details=details)
    return AuditEvent(now, actor, AuditAction.CLINICAL_RECEIVED, AuditOutcome.SUCCESS, details=details)


def _person(name: str) -> str:
    """Who did it, as the trail names people."""
    return f"person {name}"[:_LONGEST_ACTOR]
