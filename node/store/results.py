"""Results: objects, outbox and audit become true together, once, and only for the claim that still holds."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sqlalchemy import insert, select, update

from node.domain.audit import AuditEvent
from node.domain.identifiers import InstanceUID, JobId, SeriesUID
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.reporting import ObjectKind, ReportedNumber, ReportObject
from node.errors import NoRoom, RefusedAtDoor, of_disk
from node.failpoints import Failpoint, hit
from node.store import audit
from node.store.blobs import Blob, BlobStore
from node.store.jobs import Claim, StepRecord, give_back_if_changed, insert_step, is_ours, supersede
from node.store.session import Database
from node.store.tables import jobs, outbox, results


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
        step: StepRecord,
        event: AuditEvent,
        without: Mapping[str, Collection[ObjectKind]] = _EVERYTHING,
    ) -> bool:
        """Commit the results of a claim: bytes first, then objects, outbox, state and audit in one transaction.

        ``without`` names for a destination the kinds of object that it is not sent.

        False, and nothing written, when the claim has been lost or its input has changed.

        Raises:
            NoRoom, StorageFailed, Retryable: the disk or the database cannot take them now.
        """
        with _errors_of_the_disk():
            blobs = [self._blobs.put(made.content) for made in objects]
            hit(Failpoint.RESULTS_BLOBS_WRITTEN)
            made = tuple(zip(objects, blobs, strict=True))
            wanted = [
                (destination, one)
                for destination in destinations
                for one in objects
                if one.kind not in without.get(destination, ())
            ]
            return self._commit(claim, made, predictor, wanted, step, event)

    def _commit(
        self,
        claim: Claim,
        made: Sequence[tuple[ReportObject, Blob]],
        predictor: str,
        deliveries: Sequence[tuple[str, ReportObject]],
        step: StepRecord,
        event: AuditEvent,
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
            for one, blob in made:
                connection.execute(insert(results).values(_to_row(claim, one, blob.sha256)))
            for destination, one in deliveries:
                connection.execute(insert(outbox).values(_delivery_row(claim, one, destination, now)))
            insert_step(connection, claim, step)
            audit.append(connection, event)
            supersede(connection, claim, now)
            hit(Failpoint.RESULTS_BEFORE_COMMIT)
        hit(Failpoint.RESULTS_COMMITTED)
        return True

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


@contextmanager
def _errors_of_the_disk() -> Iterator[None]:
    """What the blob store and the system say of a disk, in words that a worker acts on."""
    try:
        yield
    except RefusedAtDoor as exc:
        raise NoRoom(f"the results cannot be written now: {exc.reason}") from exc
    except OSError as exc:
        raise of_disk(exc, "the results cannot be written now") or exc from exc


def _to_row(claim: Claim, made: ReportObject, sha256: str) -> dict[str, object]:
    return {
        "sop_instance_uid": made.uid,
        "job_id": claim.job_id,
        "kind": made.kind.name,
        "sop_class_uid": made.sop_class_uid,
        "series_uid": made.series_uid,
        "series_description": made.series_description,
        "sha256": sha256,
        "numbers": [asdict(number) for number in made.numbers],
    }


def _delivery_row(claim: Claim, made: ReportObject, destination: str, now: datetime) -> dict[str, object]:
    return {
        "job_id": claim.job_id,
        "sop_instance_uid": made.uid,
        "destination": destination,
        "state": DeliveryState.PENDING.value,
        "next_attempt_at": now,
    }
