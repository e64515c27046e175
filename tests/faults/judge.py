"""The judge of a fault test: compares what was acknowledged, stored, decided and delivered."""

import hashlib
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pynetdicom import AE, evt
from pynetdicom.events import Event
from sqlalchemy import func, select

from node.dicom.contexts import VERIFICATION
from node.dicom.peer import Peer
from node.dicom.sending import send_files
from node.domain.identifiers import AeTitle, SeriesUID, StudyUID
from node.domain.lifecycle import JobState
from node.store.session import Database
from node.store.tables import instances, jobs, results
from tests.factories import ct_slices, write
from tests.faults.processes import HOST, Site, pause

SLICES: Final = 4
OBJECTS: Final = 2
"""Result objects of one analysis: the stand-in's writers."""
OPEN: Final = tuple(set(JobState) - {JobState.DONE, JobState.QUARANTINED, JobState.SUPERSEDED})
"""States in which something is left to do. Half of a series that was quiet for too long, as while its other half is
refused and sent again, is closed as a version of its own, and rests superseded once the whole of it has results: that
there are those is what the judge looks at."""
_META_BEGINS: Final = 144
"""Where the elements after (0002,0000) begin: preamble, DICM, and that element itself (PS3.10 section 7.1)."""
_CT: Final = "1.2.840.10008.5.1.4.1.1.2"


def data_set_digest(file: bytes) -> str:
    """SHA-256 of the data set of a DICOM file: what its sender sent, whatever meta information precedes it."""
    if len(file) < _META_BEGINS:
        return "no data set"
    (length,) = struct.unpack_from("<I", file, _META_BEGINS - 4)
    return hashlib.sha256(file[_META_BEGINS + length :]).hexdigest()


class Archive:
    """A storage SCP that remembers, for each UID, every content that it was ever given under it."""

    def __init__(self) -> None:
        """Not started."""
        self.received: dict[str, Counter[str]] = {}
        self.is_full = False
        """Whether everything is refused, for now."""
        self.refused = 0
        """How often that was said."""
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        ae = AE(ae_title="ARCHIVE")
        ae.add_supported_context(VERIFICATION)
        ae.add_supported_context(_CT, ["1.2.840.10008.1.2.1"])
        self._server = ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()

    @property
    def peer(self) -> Peer:
        """The archive as the node calls it."""
        return Peer(AeTitle("ARCHIVE"), HOST, self._server.server_address[1])

    def _store(self, event: Event) -> int:
        digest = hashlib.sha256(event.request.DataSet.getvalue()).hexdigest()
        with self._lock:
            if self.is_full:
                self.refused += 1
                return 0xA700
            self.received.setdefault(str(event.request.AffectedSOPInstanceUID), Counter())[digest] += 1
        return 0x0000


class Sender:
    """A modality that sends small series, and sends again what was not acknowledged; safe to use by several threads."""

    def __init__(self, site: Site, name: str, *, size: int = 16) -> None:
        """``name`` makes the UIDs; ``size``: rows and columns of an image."""
        self.acknowledged: dict[str, str] = {}
        """The UID of each instance that was answered 0x0000, and its data set's digest."""
        self.refusals: Counter[int] = Counter()
        """Other answers."""
        self.series: list[SeriesUID] = []
        self._site, self._name, self._size = site, name, size
        self._lock = threading.Lock()

    def next_series(self) -> list[Path]:
        """The files of a series that nobody has seen."""
        with self._lock:
            number = len(self.series)
            uid = SeriesUID.derived("fault", self._name, str(number))
            self.series.append(uid)
        folder = self._site.folder.with_name(f"{self._site.folder.name}.sent") / str(number)
        # A study of its own: of one study only the best series would be analysed.
        study = StudyUID.derived("fault", self._name, str(number))
        slices = ct_slices(SLICES, series=uid, rows=self._size, columns=self._size, StudyInstanceUID=study)
        return write(slices, folder)

    def send(self, paths: list[Path]) -> list[Path]:
        """Send once; the files that were not acknowledged."""
        left = []
        for one in send_files(paths, self._site.listener, "SENDER", timeout_s=60.0):
            if one.status == 0:
                self.acknowledged[one.instance_uid] = data_set_digest(one.path.read_bytes())
            else:
                left.append(one.path)
                with self._lock:
                    self.refusals.update([one.status] if one.status is not None else [])
        return left

    def send_until_acknowledged(self, paths: list[Path]) -> None:
        """Send again and again."""
        while paths := self.send(paths):
            pause()


@dataclass(frozen=True)
class Verdict:
    """What the judge found; everything but ``acknowledged`` and ``delivered`` should be nought."""

    acknowledged: int = 0
    delivered: int = 0
    lost: int = 0
    """Acknowledged instances that are not stored as they were sent."""
    corrupt: int = 0
    """Blobs that are missing or are not what their names say."""
    extra: int = 0
    """Results that are not the only one of their series, or that no row knows of."""
    differing: int = 0
    """UIDs that the archive was given with several contents, or with other bytes than were committed."""
    unfinished: int = 0
    """Series without a delivered result, and part files that nobody swept up."""
    remarks: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.corrupt or self.extra or self.differing or self.unfinished)


@dataclass
class Judge:
    """Looks at the database and the files from outside of the program."""

    site: Site
    archive: Archive
    database: Database
    _remarks: list[str] = field(default_factory=list)

    def judge(self, sender: Sender) -> Verdict:
        """The verdict, once the node has come to rest."""
        with self.database.read() as connection:
            stored = {row.sop_instance_uid: row.sha256 for row in connection.execute(select(instances))}
            made = {row.sop_instance_uid: row for row in connection.execute(select(results))}
            decided = connection.execute(select(jobs)).all()
        files = self.site.stored()
        return Verdict(
            acknowledged=len(sender.acknowledged),
            delivered=len(self.archive.received),
            lost=self._lost(sender, stored, files),
            corrupt=self._corrupt([*stored.values(), *(row.sha256 for row in made.values())], files),
            extra=self._extra(decided, made),
            differing=self._differing(made, files),
            unfinished=self._unfinished(sender, decided, made),
            remarks=tuple(self._remarks),
        )

    def _count(self, what: str, found: list[Any]) -> int:
        self._remarks += [f"{what}: {one}" for one in found]
        return len(found)

    def _lost(self, sender: Sender, stored: dict[str, str], files: dict[str, bytes]) -> int:
        def is_here(uid: str, digest: str) -> bool:
            return uid in stored and stored[uid] in files and data_set_digest(files[stored[uid]]) == digest

        return self._count("lost", [uid for uid, digest in sender.acknowledged.items() if not is_here(uid, digest)])

    def _corrupt(self, wanted: list[str], files: dict[str, bytes]) -> int:
        false = [name for name, content in files.items() if hashlib.sha256(content).hexdigest() != name]
        return self._count("corrupt", false + [name for name in wanted if name not in files])

    def _extra(self, decided: Any, made: dict[str, Any]) -> int:
        with_results = {row.job_id for row in made.values()}
        analysed = Counter(job.series_uid for job in decided if job.id in with_results)
        objects = Counter(row.job_id for row in made.values())
        return self._count(
            "extra",
            [uid for uid, count in analysed.items() if count > 1]
            + [job for job, count in objects.items() if count > OBJECTS]
            + [uid for uid in self.archive.received if uid not in made],
        )

    def _differing(self, made: dict[str, Any], files: dict[str, bytes]) -> int:
        def is_same(uid: str, contents: Counter[str]) -> bool:
            committed = files.get(made[uid].sha256) if uid in made else None
            return set(contents) == ({data_set_digest(committed)} if committed else set())

        received = self.archive.received.items()
        return self._count(
            "differing", [uid for uid, contents in received if uid in made and not is_same(uid, contents)]
        )

    def _unfinished(self, sender: Sender, decided: Any, made: dict[str, Any]) -> int:
        done = {job.series_uid for job in decided if job.state == JobState.DONE.value}
        return self._count(
            "unfinished",
            [uid for uid in sender.series if uid not in done]
            + [uid for uid in made if uid not in self.archive.received]
            + [path.name for path in (self.site.folder / "blobs").glob("*/*.part")],
        )


def count_jobs(database: Database, *states: JobState) -> int:
    """How many jobs are in these states."""
    with database.read() as connection:
        wanted = [state.value for state in states]
        return connection.scalar(select(func.count()).select_from(jobs).where(jobs.c.state.in_(wanted))) or 0
