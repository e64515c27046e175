"""Results: objects, outbox and audit become true together, once, and only for the claim that still holds."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Select, and_, exists, insert, or_, select, update

from node.domain.audit import AuditEvent
from node.domain.identifiers import InstanceUID, JobId, SeriesUID
from node.domain.lifecycle import DeliveryState, JobState, may_follow
from node.domain.reasons import Reason
from node.domain.reporting import MESSAGE_KINDS, ObjectKind, ObjectReference, ReportedNumber, ReportObject
from node.errors import NoRoom, RefusedAtDoor, Retryable, UsageError, of_disk
from node.failpoints import Failpoint, hit
from node.store import audit
from node.store.blobs import Blob, BlobStore
from node.store.findings import Found, keep
from node.store.jobs import (
    Claim,
    EndedStep,
    conclude,
    give_back_if_changed,
    is_ours,
    record_steps,
    supersede,
    withdraw_unsent,
)
from node.store.session import Database
from node.store.tables import jobs, outbox, results, series


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """A committed result object and where its bytes are."""

    uid: InstanceUID
    kind: ObjectKind
    sop_class_uid: str
    series_uid: SeriesUID
    series_description: str
    numbers: tuple[ReportedNumber, ...]
    path: Path
    pruned_at: datetime | None
    """When its bytes were removed because they were old; None while they are there."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What is withdrawn together."""

    job_ids: tuple[JobId, ...]
    """The job that a person named, then the versions that it replaced."""
    series_uid: SeriesUID
    version: int
    manifest: str
    objects: tuple[ObjectReference, ...]
    """Everything that may have arrived anywhere and is a DICOM object."""
    messages: tuple[InstanceUID, ...]
    """And what is not."""
    destinations: tuple[str, ...]
    """Where."""


_EVERYTHING: Final[Mapping[str, Collection[ObjectKind]]] = MappingProxyType({})


class ResultStore:
    """The result objects of a database and a blob store."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        """The results in ``database``, their bytes in ``blobs``."""
        self._database = database
        self._blobs = blobs

    def commit(
        self,
        claim: Claim,
        objects: Sequence[ReportObject],
        *,
        predictor: str,
        destinations: Sequence[str],
        steps: Sequence[EndedStep],
        without: Mapping[str, Collection[ObjectKind]] = _EVERYTHING,
        replaces: Collection[JobId] = (),
        found: Found | None = None,
    ) -> bool:
        """Commit the results of a claim: bytes first, then objects, outbox, state and audit in one transaction.

        ``steps``: those that are not written down yet, the last of them that which made the objects. ``without`` names
        for a destination the kinds of object that it is not sent; ``replaces``: jobs of other series of the study that
        are superseded by this one; ``found``: for the page.

        False, and nothing written, when the claim has been lost or its input has changed.

        Raises:
            NoRoom, StorageFailed, Retryable: the disk or the database cannot take them now.
        """
        with _errors_of_the_disk():
            blobs = self._put(objects)
            hit(Failpoint.RESULTS_BLOBS_WRITTEN)
            made = tuple(zip(objects, blobs, strict=True))
            wanted = _addressed(objects, destinations, without)
            return self._commit(claim, made, predictor, wanted, steps, found, replaces)

    def _put(self, objects: Sequence[ReportObject]) -> list[Blob]:
        """The bytes of all, at once: most of the time a disk takes to say that they are safe, it waits for itself."""
        if not objects:
            return []
        with ThreadPoolExecutor(len(objects), "blobs") as threads:
            return list(threads.map(self._blobs.put, [made.content for made in objects]))

    def _commit(
        self,
        claim: Claim,
        made: Sequence[tuple[ReportObject, Blob]],
        predictor: str,
        deliveries: Sequence[tuple[str, ReportObject]],
        steps: Sequence[EndedStep],
        found: Found | None,
        replaces: Collection[JobId],
    ) -> bool:
        state = JobState.DELIVERING if deliveries else JobState.DONE
        with self._database.write() as connection:
            now = datetime.now(UTC)
            if give_back_if_changed(connection, claim, now):
                return False
            values = {
                "state": state.value, "predictor": predictor, "finished_at": now, "lease_owner": "", "step": "",
                "reason": "", "detail": "",
            }  # fmt: skip
            if connection.execute(update(jobs).where(is_ours(claim)).values(values)).rowcount != 1:
                return False
            if made:
                connection.execute(insert(results), [_to_row(claim.job_id, one, blob.sha256) for one, blob in made])
            if deliveries:
                rows = [_delivery_row(claim.job_id, one, destination, now) for destination, one in deliveries]
                connection.execute(insert(outbox), rows)
            record_steps(connection, claim, steps)
            if found is not None:
                keep(connection, claim, found)
            supersede(connection, claim, now, replaces)
            hit(Failpoint.RESULTS_BEFORE_COMMIT)
        hit(Failpoint.RESULTS_COMMITTED)
        return True

    def conclude(
        self,
        claim: Claim,
        state: JobState,
        reason: Reason,
        notice: Sequence[ReportObject],
        *,
        destinations: Sequence[str],
        events: Sequence[AuditEvent],
        without: Mapping[str, Collection[ObjectKind]] = _EVERYTHING,
        makes_way: bool = False,
    ) -> bool:
        """End the job of a claim without results, and with it have the notice that says so delivered.

        ``makes_way``: the series that stood back for this one are judged anew.

        False, and nothing written, when the claim has been lost. Raises as ``commit``.
        """
        with _errors_of_the_disk():
            blobs = self._put(notice)
        with self._database.write() as connection:
            if not conclude(connection, claim, state, reason, events[0], makes_way=makes_way):
                return False
            audit.append(connection, *events[1:])
            _add(connection, claim.job_id, zip(notice, blobs, strict=True), _addressed(notice, destinations, without))
        return True

    def withdrawal(self, job_id: JobId) -> "Withdrawal":
        """What a retraction of ``job_id`` is about: its objects, and those of the versions that it replaced.

        Those too: with the newest result gone, an older one would be taken for it.

        Raises:
            UsageError: there is no such job, or its state does not allow it.
        """
        with self._database.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().first()
            if row is None:
                raise UsageError(f"there is no job {job_id}")
            if not may_follow(JobState(row["state"]), JobState.RETRACTED):
                raise UsageError(f"job {job_id} is {row['state']}: there is no result of it to withdraw")
            withdrawn = (job_id, *map(JobId, connection.scalars(_replaced_by(row))))
            rows = connection.execute(_sent(withdrawn)).mappings().all()
        found = {
            one["sop_instance_uid"]: ObjectReference(
                one["sop_class_uid"], InstanceUID(one["sop_instance_uid"]), SeriesUID(one["series_uid"])
            )
            for one in rows
            if ObjectKind[one["kind"]] not in MESSAGE_KINDS
        }
        return Withdrawal(
            job_ids=withdrawn,
            series_uid=SeriesUID(row["series_uid"]),
            version=row["version"],
            manifest=row["manifest"],
            objects=tuple(found.values()),
            messages=tuple(
                dict.fromkeys(
                    InstanceUID(one["sop_instance_uid"]) for one in rows if one["sop_instance_uid"] not in found
                )
            ),
            destinations=tuple(sorted({one["destination"] for one in rows})),
        )

    def retract(
        self,
        withdrawal: "Withdrawal",
        objects: Sequence[ReportObject],
        reason: Reason,
        event: AuditEvent,
        *,
        without: Mapping[str, Collection[ObjectKind]] = _EVERYTHING,
    ) -> None:
        """Withdraw: nothing more is sent of the results, ``objects`` go wherever any of them went, states and audit.

        Raises:
            UsageError: a job has moved on since ``withdrawal`` was read.
            Retryable: something more of it was sent since.
            NoRoom, StorageFailed, Retryable: the disk or the database cannot take them now.
        """
        with _errors_of_the_disk():
            blobs = [self._blobs.put(made.content) for made in objects]
        job_id = withdrawal.job_ids[0]
        allowed = [state.value for state in JobState if may_follow(state, JobState.RETRACTED)]
        values = {"state": JobState.RETRACTED.value, "reason": reason.code.name, "detail": reason.detail}
        with self._database.write() as connection:
            change = update(jobs).where(jobs.c.id.in_(withdrawal.job_ids), jobs.c.state.in_(allowed)).values(values)
            if connection.execute(change).rowcount != len(withdrawal.job_ids):
                raise UsageError(f"job {job_id} has just moved on: look at it again")
            sent = {row["sop_instance_uid"] for row in connection.execute(_sent(withdrawal.job_ids)).mappings()}
            if sent != {one.uid for one in withdrawal.objects} | set(withdrawal.messages):
                raise Retryable(f"job {job_id} is being delivered this moment: try again")
            withdraw_unsent(connection, withdrawal.job_ids)
            audit.append(connection, event)
            addressed = _addressed(objects, withdrawal.destinations, without)
            _add(connection, job_id, zip(objects, blobs, strict=True), addressed)

    def jobs_of(self, uids: Sequence[str]) -> tuple[JobId, ...]:
        """The jobs whose results are among the SOP Instance UIDs ``uids``."""
        query = (
            select(results.c.job_id).where(results.c.sop_instance_uid.in_(uids)).distinct().order_by(results.c.job_id)
        )
        with self._database.read() as connection:
            return tuple(JobId(one) for one in connection.scalars(query))

    def of(self, job_id: JobId | str) -> tuple[ResultRecord, ...]:
        """The result objects of a job, in the order a viewer should list them."""
        query = select(results).where(results.c.job_id == job_id)
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        found = [
            ResultRecord(
                uid=InstanceUID(row["sop_instance_uid"]),
                kind=ObjectKind[row["kind"]],
                sop_class_uid=row["sop_class_uid"],
                series_uid=SeriesUID(row["series_uid"]),
                series_description=row["series_description"],
                numbers=tuple(ReportedNumber(**number) for number in row["numbers"]),
                path=self._blobs.path_of(row["sha256"]),
                pruned_at=row["pruned_at"],
            )
            for row in rows
        ]
        return tuple(sorted(found, key=lambda record: (record.kind.value, record.uid)))


def _sent(job_ids: Sequence[JobId]) -> Select[Any]:
    """The objects of ``job_ids`` with their destinations that may have arrived: whatever was tried."""
    return (
        select(results, outbox.c.destination)
        .join(outbox, outbox.c.sop_instance_uid == results.c.sop_instance_uid)
        .where(results.c.job_id.in_(job_ids), outbox.c.attempts > 0)
        .where(results.c.kind.not_in([ObjectKind.REJECTION_NOTE.name, ObjectKind.MESSAGE_WITHDRAWN.name]))
        .order_by(results.c.series_uid, results.c.sop_instance_uid)
    )


def _replaced_by(row: RowMapping) -> Select[Any]:
    """The superseded jobs that the job of ``row`` stands for.

    Earlier versions of its series; and all of another series of the study whose newest version is superseded, which
    only a better series does.
    """
    study = select(series.c.study_uid).where(series.c.series_uid == row["series_uid"]).scalar_subquery()
    newer, other = jobs.alias("newer"), series.alias("other")
    followed = exists().where(
        newer.c.series_uid == jobs.c.series_uid,
        newer.c.version > jobs.c.version,
        newer.c.state != JobState.SUPERSEDED.value,
    )
    of_the_study = select(other.c.series_uid).where(other.c.study_uid == study)
    earlier = and_(jobs.c.series_uid == row["series_uid"], jobs.c.version < row["version"])
    outdone = and_(jobs.c.series_uid != row["series_uid"], jobs.c.series_uid.in_(of_the_study), ~followed)
    return select(jobs.c.id).where(jobs.c.state == JobState.SUPERSEDED.value, or_(earlier, outdone))


def _addressed(
    objects: Sequence[ReportObject], destinations: Sequence[str], without: Mapping[str, Collection[ObjectKind]]
) -> list[tuple[str, ReportObject]]:
    """Which object goes where."""
    return [
        (destination, one)
        for destination in destinations
        for one in objects
        if one.kind not in without.get(destination, ())
    ]


def _add(
    connection: Connection,
    job_id: JobId,
    made: Iterable[tuple[ReportObject, Blob]],
    deliveries: Sequence[tuple[str, ReportObject]],
) -> None:
    """Add a notice; one that was there before, of a job that was retried in vain, is only queued again."""
    now = datetime.now(UTC)
    for one, blob in made:
        known = select(results.c.sop_instance_uid).where(results.c.sop_instance_uid == one.uid)
        if connection.scalar(known) is None:
            connection.execute(insert(results).values(_to_row(job_id, one, blob.sha256)))
    for destination, one in deliveries:
        same = and_(outbox.c.sop_instance_uid == one.uid, outbox.c.destination == destination)
        state = connection.scalar(select(outbox.c.state).where(same))
        if state is None:
            connection.execute(insert(outbox).values(_delivery_row(job_id, one, destination, now)))
        elif state == DeliveryState.WITHDRAWN.value:
            again = {"state": DeliveryState.PENDING.value, "next_attempt_at": now}
            connection.execute(update(outbox).where(same).values(again))


@contextmanager
def _errors_of_the_disk() -> Iterator[None]:
    """What the blob store and the system say of a disk, in words that a worker acts on."""
    try:
        yield
    except RefusedAtDoor as exc:
        raise NoRoom(f"the results cannot be written now: {exc.reason}") from exc
    except OSError as exc:
        raise of_disk(exc, "the results cannot be written now") or exc from exc


def _to_row(job_id: JobId, made: ReportObject, sha256: str) -> dict[str, object]:
    return {
        "sop_instance_uid": made.uid,
        "job_id": job_id,
        "kind": made.kind.name,
        "sop_class_uid": made.sop_class_uid,
        "series_uid": made.series_uid,
        "series_description": made.series_description,
        "sha256": sha256,
        "numbers": [asdict(number) for number in made.numbers],
    }


def _delivery_row(job_id: JobId, made: ReportObject, destination: str, now: datetime) -> dict[str, object]:
    return {
        "job_id": job_id,
        "sop_instance_uid": made.uid,
        "destination": destination,
        "state": DeliveryState.PENDING.value,
        "next_attempt_at": now,
    }
