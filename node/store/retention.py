"""Retention: the bytes of what is done with are removed after a time, and what killed processes left is swept up.

Rows come first, bytes second: a row says that its bytes are gone before they are, so that a kill in between leaves
files that nothing refers to, and never a row that promises what is not there. The sweep collects such files. Rows stay:
the same object is known again when it comes back, and the trail of what was decided from it stays whole.
"""

import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, FromClause, Select, Table, and_, exists, func, or_, select, update

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import SeriesUID
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.reporting import CITED_KINDS, ObjectKind
from node.store import audit
from node.store.blobs import BlobStore, FoundFile
from node.store.inbox import latest_job
from node.store.session import Database
from node.store.tables import annotation_references, instances, jobs, outbox, results, series, set_aside, store_identity

T = TypeVar("T")

GRACE: Final = timedelta(hours=6)
"""How long a file must have been left alone before it is removed: longer than any transaction takes between the file
and its row, and longer than somebody sets a clock."""

_OVER: Final = (JobState.DONE, JobState.NOT_ANALYSED, JobState.SUPERSEDED, JobState.RETRACTED)
_SENT: Final = (DeliveryState.STORED, DeliveryState.COMMITTED, DeliveryState.WITHDRAWN)
_BATCH: Final = 400
_NS_PER_S: Final = 10**9
# Kept because they are small: structured reports, which a newer version cites, and messages, which may be taken back.
_KEPT: Final = tuple(kind.name for kind in (*CITED_KINDS, ObjectKind.MESSAGE))
_IS_LIVE_RESULT: Final = and_(results.c.kind.not_in(_KEPT), results.c.pruned_at.is_(None))


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was pruned, or would be."""

    series: int = 0
    objects: int = 0
    """Instances and results of those series."""
    set_aside: int = 0
    """Objects that were kept for a person to look at."""
    size_bytes: int = 0
    """What they take on the disk."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What was swept up."""

    parts: int = 0
    """Half-written files of processes that died."""
    orphans: int = 0
    """Blobs that nothing refers to."""
    size_bytes: int = 0
    """What those took on the disk."""
    is_ours: bool = True
    """Whether the blobs belong to this database; if not, nothing was touched."""


class Retention:
    """Removes old bytes from a blob store, as the database allows."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        """The rows in ``database``, the bytes in ``blobs``."""
        self._database = database
        self._blobs = blobs

    def due(self, keep: timedelta) -> tuple[SeriesUID, ...]:
        """The series that ``prune`` would prune."""
        with self._database.read() as connection:
            return tuple(map(SeriesUID, connection.scalars(_due(datetime.now(UTC) - keep))))

    def prune(self, keep: timedelta, *, rehearse: bool = False) -> Pruned:
        """Prune every series that is done with since longer than ``keep``, one transaction each.

        ``rehearse``: only say what would be pruned.

        Raises:
            Retryable: the database cannot be used now; what was pruned before is pruned.
        """
        cutoff = datetime.now(UTC) - keep
        pruned = [self._prune_series(uid, cutoff, rehearse=rehearse) for uid in self.due(keep)]
        aside = self._prune_set_aside(cutoff, rehearse=rehearse)
        size = self._discard(aside, rehearse=rehearse)
        return Pruned(
            series=sum(1 for objects, _ in pruned if objects),
            objects=sum(objects for objects, _ in pruned),
            set_aside=len(aside),
            size_bytes=size + sum(freed for _, freed in pruned),
        )

    def sweep(self) -> Swept:
        """Remove what killed processes left, and put back what is wanted after all.

        Raises:
            Retryable: the database cannot be used now.
        """
        if not self._blobs.belongs_to(self._identity()):
            return Swept(is_ours=False)
        parts, orphans, size = self._blobs.sweep(), 0, 0
        for batch in _batches(self._blobs.files()):
            wanted = self._wanted({found.sha256 for found in batch})
            for found in batch:
                if found.is_doomed and found.sha256 in wanted:
                    self._blobs.restore(found)
                elif _is_unwanted(found, wanted) and self._blobs.remove(found):
                    orphans, size = orphans + 1, size + found.size_bytes
        return Swept(parts, orphans, size)

    def totals(self) -> tuple[int, int]:
        """How many received objects are known whose bytes were removed, and how many bytes those were."""
        query = select(func.count(), func.coalesce(func.sum(instances.c.size_bytes), 0))
        with self._database.read() as connection:
            count, size = connection.execute(query.where(instances.c.pruned_at.is_not(None))).one()
        return int(count), int(size)

    def _prune_series(self, series_uid: SeriesUID, cutoff: datetime, *, rehearse: bool) -> tuple[int, int]:
        """How many objects of a series were pruned, and how many bytes they took; none when it is not due any more."""
        with self._database.write() as connection:
            # Locked before it is judged: an instance that comes now finds the series as it was, or pruned.
            latest_job(connection, series_uid)
            if connection.scalar(_due(cutoff).where(series.c.series_uid == series_uid)) is None:
                return 0, 0
            now = datetime.now(UTC)
            received = _mark(connection, instances, _live_instances(series_uid), now, rehearse=rehearse)
            made = _mark(connection, results, _live_results(series_uid), now, rehearse=rehearse)
            if not rehearse:
                audit.append(connection, _series_event(series_uid, now, len(received), len(made)))
        return len(received) + len(made), self._discard([*received, *made], rehearse=rehearse)

    def _prune_set_aside(self, cutoff: datetime, *, rehearse: bool) -> list[str]:
        """The digests of what was kept for a person for long enough."""
        old = and_(set_aside.c.received_at < cutoff, set_aside.c.pruned_at.is_(None))
        with self._database.write() as connection:
            now = datetime.now(UTC)
            digests = _mark(connection, set_aside, old, now, rehearse=rehearse)
            if digests and not rehearse:
                details: dict[str, str | int | float] = {"objects": len(digests)}
                event = AuditEvent(now, "node", AuditAction.SET_ASIDE_PRUNED, AuditOutcome.SUCCESS, details=details)
                audit.append(connection, event)
        return digests

    def _discard(self, digests: Iterable[str], *, rehearse: bool) -> int:
        """Remove blobs that nothing refers to any more, and say how many bytes they took.

        One that was touched lately is left to the sweep: somebody may be about to refer to it.
        """
        size = 0
        for batch in _batches(dict.fromkeys(digests)):
            # Looked at before the database is asked: what is touched after that is not removed.
            found = [one for one in map(self._blobs.find, batch) if one is not None]
            size += sum(one.size_bytes for one in found)
            if not rehearse:
                wanted = self._wanted(batch)
                for one in found:
                    if one.sha256 not in wanted and _is_idle(one):
                        self._blobs.remove(one)
        return size

    def _wanted(self, digests: Collection[str]) -> frozenset[str]:
        """Those of ``digests`` that a row promises."""
        with self._database.read() as connection:
            return frozenset(
                sha256
                for table in (instances, results, set_aside)
                for sha256 in connection.scalars(
                    select(table.c.sha256).where(table.c.sha256.in_(digests), table.c.pruned_at.is_(None))
                )
            )

    def _identity(self) -> str:
        with self._database.read() as connection:
            return str(connection.scalar(select(store_identity.c.id)))


def _due(cutoff: datetime) -> Select[Any]:
    """The series that are done with since before ``cutoff`` and have bytes left, those longest ago first."""
    # A contour is needed for as long as a series that it marks may be analysed.
    marked, contour = series.alias(), instances.alias()
    needed = exists().where(
        annotation_references.c.series_uid == marked.c.series_uid,
        annotation_references.c.sop_instance_uid == contour.c.sop_instance_uid,
        contour.c.series_uid == series.c.series_uid,
        _is_busy(marked, cutoff),
    )
    made = exists().where(results.c.job_id == jobs.c.id, jobs.c.series_uid == series.c.series_uid, _IS_LIVE_RESULT)
    has_bytes = or_(exists().where(_live_instances(series.c.series_uid)), made)
    return (
        select(series.c.series_uid)
        .where(has_bytes, ~_is_busy(series, cutoff), ~needed)
        .order_by(series.c.last_received_at, series.c.series_uid)
    )


def _is_busy(one: FromClause, cutoff: datetime) -> ColumnElement[bool]:
    """Whether something of a series came, is being worked on, waits for a person or for an archive, or is recent."""
    job, sent = jobs.alias(), outbox.alias()
    mine = job.c.series_uid == one.c.series_uid
    recent = or_(job.c.created_at >= cutoff, job.c.finished_at >= cutoff, job.c.delivered_at >= cutoff)
    open_job = exists().where(mine, or_(job.c.state.not_in([state.value for state in _OVER]), recent))
    unsent = exists().where(mine, sent.c.job_id == job.c.id, sent.c.state.not_in([state.value for state in _SENT]))
    return or_(one.c.last_received_at >= cutoff, ~exists().where(mine), open_job, unsent)


def _live_instances(series_uid: Any) -> ColumnElement[bool]:
    return and_(instances.c.series_uid == series_uid, instances.c.pruned_at.is_(None))


def _live_results(series_uid: SeriesUID) -> ColumnElement[bool]:
    return and_(results.c.job_id.in_(select(jobs.c.id).where(jobs.c.series_uid == series_uid)), _IS_LIVE_RESULT)


def _mark(
    connection: Connection, table: Table, condition: ColumnElement[bool], now: datetime, *, rehearse: bool
) -> list[str]:
    """Say of rows that their bytes are gone, unless it is rehearsed, and give the digests of those."""
    if rehearse:
        return list(connection.scalars(select(table.c.sha256).where(condition)))
    return list(connection.scalars(update(table).where(condition).values(pruned_at=now).returning(table.c.sha256)))


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    ahead = iter(items)
    while batch := list(islice(ahead, _BATCH)):
        yield batch


def _is_unwanted(found: FoundFile, wanted: Collection[str]) -> bool:
    """Whether nothing refers to a file that nobody has touched lately. Part files are the blob store's own business."""
    return not found.is_part and found.sha256 not in wanted and _is_idle(found)


def _is_idle(found: FoundFile) -> bool:
    return found.touched_ns < time.time_ns() - int(GRACE.total_seconds()) * _NS_PER_S


def _series_event(series_uid: SeriesUID, now: datetime, received: int, made: int) -> AuditEvent:
    return AuditEvent(
        at=now,
        actor="node",
        action=AuditAction.SERIES_PRUNED,
        outcome=AuditOutcome.SUCCESS,
        series_uid=series_uid,
        details={"instances": received, "results": made},
    )
