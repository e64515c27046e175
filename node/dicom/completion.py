"""When is a series complete? DICOM has no signal for it, so it is decided from evidence, soonest first.

1. the archive holds as many instances of it as are here, when an archive is configured to be asked;
2. the association that brought it is released, its slices are evenly spaced with none missing and none twice, and it
   has been quiet for a time learnt from this sender's own gaps;
3. it has been quiet for the longest time there is.

The archive is asked once a series is calm: nothing came for half the shortest silence, and for longer than any gap so
far. An archive that passes on what it is still receiving always holds as many as it has passed on, so that its count
says nothing in the middle of a stream. It need not have released: archives keep associations open for the next object.
A count that is higher than what is here holds back rule 2, never rule 3. Asking happens in a thread of its own: an
archive that is slow or away holds up nothing.

Quiet counts only while the listener is up: the watch lives in its memory, and starts anew with it.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from node import log
from node.domain.identifiers import InstanceUID, SeriesUID, StudyUID
from node.domain.imaging import Instance, Series
from node.domain.reasons import Reason
from node.domain.stacking import stack
from node.errors import Retryable
from node.failpoints import Failpoint, hit

GAP_FACTOR: Final = 4.0
"""Quiet for this many times the largest gap between two instances of the series counts as over."""
CALM_FACTOR: Final = 0.5
"""The archive is asked after this much of the shortest silence."""
FIRST_ASK_AGAIN_S: Final = 2.0
LAST_ASK_AGAIN_S: Final = 16.0
"""How long after an answer the archive is asked again: doubling, from the first to the last."""
_TICK_S: Final = 0.1
_PAUSE_S: Final = 1.0
"""After the store could not be reached."""
# Objects that are whole in themselves: there is no neighbour to wait for.
_SINGLE_OBJECT_MODALITIES: Final = frozenset({"SEG", "RTSTRUCT", "SR", "KO", "PR", "DOC"})


CountInArchive = Callable[[StudyUID, SeriesUID], int | None]
"""How many instances of a series an archive holds; None when it does not say."""


class Completes(Protocol):
    """Takes a series as complete."""

    def complete(self, series_uid: SeriesUID, evidence: str, count: int) -> bool:
        """Move the job of a series on; False when it was not collecting, or has not ``count`` instances any more."""
        ...


@dataclass(slots=True)
class _Watched:
    """What is known of one series that is being collected."""

    last_arrival_s: float
    instances: dict[InstanceUID, Instance]
    is_loaded: bool
    """Whether ``instances`` has what was stored before this watch began."""
    associations: set[int] = field(default_factory=set)
    largest_gap_s: float | None = None
    judged_count: int = 0
    is_whole: bool = False
    not_before_s: float = 0.0
    asked: int = 0
    """How often the archive was asked since the last arrival."""
    ask_not_before_s: float = -math.inf
    archive_count: int | None = None
    """What the archive said last."""
    counted_at: int = -1
    """How many instances were here when it was asked: an answer is about those, and no longer true of more."""

    def is_calm(self, now: float, shortest_s: float) -> bool:
        """Whether nothing is streaming in."""
        return now - self.last_arrival_s >= max(CALM_FACTOR * shortest_s, self.largest_gap_s or 0.0)

    def archive_has_as_many(self) -> bool:
        """Whether the archive holds as many as are here, and was asked after the last of them came."""
        return self.archive_count == self.counted_at == len(self.instances)

    def archive_has_more(self) -> bool:
        """Whether the archive knows of instances that are not here yet."""
        return self.archive_count is not None and self.archive_count > len(self.instances)

    def is_single(self) -> bool:
        """Whether the objects of this series are whole in themselves."""
        return next(iter(self.instances.values())).modality in _SINGLE_OBJECT_MODALITIES

    def has_no_gap(self) -> bool:
        """Whether the slices here make a volume, judged once for each number of slices."""
        if self.judged_count != len(self.instances):
            self.judged_count = len(self.instances)
            self.is_whole = self.is_single() or self._makes_a_volume()
        return self.is_whole

    def _makes_a_volume(self) -> bool:
        try:
            return not isinstance(stack(tuple(self.instances.values())), Reason)
        except (ArithmeticError, ValueError):
            # What cannot be judged waits for the longest; triage will say what is wrong with it.
            return False

    def quiet_needed_s(self, shortest_s: float, longest_s: float) -> float:
        """The silence to wait for, learnt from the sender's gaps."""
        if self.is_single():
            return shortest_s
        if self.largest_gap_s is None:
            return longest_s
        return max(GAP_FACTOR * self.largest_gap_s, shortest_s)


class CompletionWatch:
    """Watches the series that are being collected, and says when one is complete."""

    def __init__(
        self,
        store: Completes,
        instances_of: Callable[[SeriesUID], Sequence[Instance]],
        *,
        quiet_min_s: float,
        quiet_max_s: float,
        count_in_archive: CountInArchive | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``instances_of``: what is stored of a series; ``now``: seconds on a clock that nobody can set.

        ``count_in_archive``: asks the archive, and may take as long as it likes; None when there is none to ask.
        """
        self._store = store
        self._instances_of = instances_of
        self._shortest_s = quiet_min_s
        self._longest_s = quiet_max_s
        self._count_in_archive = count_in_archive
        self._now = now
        self._watched: dict[SeriesUID, _Watched] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self.check,), name="completion", daemon=True)
        self._asker = threading.Thread(target=self._run, args=(self.ask,), name="archive count", daemon=True)
        self._asking_not_before_s = -math.inf
        self._unanswered = 0

    def resume(self, collecting: Iterable[Series]) -> None:
        """Watch what was being collected when the listener last stopped, as if it had arrived now."""
        with self._lock:
            for series in collecting:
                instances = {one.uid: one for one in series.instances}
                self._watched[series.uid] = _Watched(self._now(), instances, is_loaded=True)

    def arrived(self, instance: Instance, association: int) -> None:
        """An instance was stored. Touches no store: what is durable is counted, whatever happens next."""
        with self._lock:
            now = self._now()
            watched = self._watched.get(instance.series_uid)
            if watched is None:
                watched = self._watched[instance.series_uid] = _Watched(now, {}, is_loaded=False)
            else:
                watched.largest_gap_s = max(watched.largest_gap_s or 0.0, now - watched.last_arrival_s)
            watched.last_arrival_s = now
            watched.asked = 0
            watched.instances[instance.uid] = instance
            watched.associations.add(association)

    def ended(self, association: int) -> None:
        """An association was released, aborted or lost."""
        with self._lock:
            for watched in self._watched.values():
                watched.associations.discard(association)

    def evidence(self, series_uid: SeriesUID) -> str | None:
        """Why a watched series is complete now, or None while it is not."""
        watched = self._watched[series_uid]
        now = self._now()
        if not watched.is_loaded or now < watched.not_before_s:
            return None
        if watched.archive_has_as_many():
            return f"the archive holds as many: {watched.archive_count}"
        quiet_s = now - watched.last_arrival_s
        if quiet_s >= self._longest_s:
            return f"quiet for {self._longest_s:g} s"
        if watched.associations or quiet_s < self._shortest_s or not watched.has_no_gap():
            return None
        if watched.archive_has_more() or quiet_s < watched.quiet_needed_s(self._shortest_s, self._longest_s):
            return None
        return f"released, no slice missing, quiet for {quiet_s:.1f} s"

    def check(self) -> None:
        """Complete every series that there is evidence for; what the store cannot do now is tried again."""
        self._load()
        with self._lock:
            ready = [(uid, why) for uid in self._watched if (why := self.evidence(uid)) is not None]
            # Forgotten before they are completed: an instance that arrives meanwhile starts a new watch.
            over = [(uid, why, self._watched.pop(uid)) for uid, why in ready]
        for uid, why, watched in over:
            self._complete(uid, why, watched)

    def ask(self) -> None:
        """Ask the archive about every calm series that it was not asked about lately; takes as long as it takes."""
        while not self._stop.is_set() and (due := self._due_for_asking()) is not None:
            uid, watched, study_uid, here = due
            self._answered(watched, here, self._count(study_uid, uid))

    def start(self) -> None:
        """Check, and ask, ten times a second until stopped."""
        self._thread.start()
        if self._count_in_archive is not None:
            self._asker.start()

    def stop(self) -> None:
        """Stop checking; an archive that has yet to answer is not waited for."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self, task: Callable[[], None]) -> None:
        while not self._stop.wait(_TICK_S):
            try:
                task()
            except Exception as exc:  # noqa: BLE001 — without this thread no series would ever be complete
                log.get().error(log.COMPLETION_FAILED, error=type(exc).__name__)

    def _due_for_asking(self) -> tuple[SeriesUID, _Watched, StudyUID, int] | None:
        """The series that the archive was not asked about for longest, of those that it should be; None of none."""
        with self._lock:
            now = self._now()
            if self._count_in_archive is None or now < self._asking_not_before_s:
                return None
            due = [
                (watched.ask_not_before_s, uid)
                for uid, watched in self._watched.items()
                if watched.is_loaded and now >= watched.ask_not_before_s and watched.is_calm(now, self._shortest_s)
            ]
            if not due:
                return None
            _, uid = min(due)
            watched = self._watched[uid]
            return uid, watched, next(iter(watched.instances.values())).study_uid, len(watched.instances)

    def _count(self, study_uid: StudyUID, series_uid: SeriesUID) -> int | None:
        """What the archive says. One that does not answer is left alone for a while, whatever the series."""
        try:
            count = self._count_in_archive(study_uid, series_uid) if self._count_in_archive else None
        except Exception as exc:  # noqa: BLE001 — what an archive answers must not end the asking
            words = str(exc) if isinstance(exc, Retryable) else type(exc).__name__
            log.get().warning(log.ARCHIVE_NOT_ANSWERING, series_uid=series_uid, error=words)
            with self._lock:
                self._asking_not_before_s = self._now() + _ask_again_after_s(self._unanswered)
                self._unanswered += 1
            return None
        with self._lock:
            self._unanswered = 0
        return count

    def _answered(self, watched: _Watched, here: int, count: int | None) -> None:
        with self._lock:
            watched.archive_count, watched.counted_at = count, here
            watched.ask_not_before_s = self._now() + _ask_again_after_s(watched.asked)
            watched.asked += 1

    def _load(self) -> None:
        """Read what is stored of series whose watch is new: a late slice is judged with what came before it."""
        with self._lock:
            now = self._now()
            new = [uid for uid, one in self._watched.items() if not one.is_loaded and now >= one.not_before_s]
        for uid in new:
            try:
                stored = self._instances_of(uid)
            except Exception as exc:  # noqa: BLE001 — as in ``_complete``
                self._postpone(uid, self._watched[uid], exc)
                continue
            with self._lock:
                watched = self._watched[uid]
                watched.instances = {one.uid: one for one in stored} | watched.instances
                watched.is_loaded = True

    def _complete(self, uid: SeriesUID, why: str, watched: _Watched) -> None:
        try:
            hit(Failpoint.COMPLETION_BEFORE)
            done = self._store.complete(uid, why, len(watched.instances))
            hit(Failpoint.COMPLETION_COMMITTED)
            if not done:
                self._recount(uid, watched)
        except Exception as exc:  # noqa: BLE001 — one series that cannot be completed must not hold up the others
            self._postpone(uid, watched, exc)
            return
        if done:
            log.get().info(log.SERIES_COMPLETE, series_uid=uid, detail=why)

    def _recount(self, uid: SeriesUID, watched: _Watched) -> None:
        """Watch on with what is stored, when that is not what was counted.

        An instance can be stored although nobody was told: the connection to the database was lost in the commit.
        """
        stored = {one.uid: one for one in self._instances_of(uid)}
        if stored.keys() == watched.instances.keys():
            return  # it was not collecting any more
        with self._lock:
            self._watched.setdefault(uid, _Watched(self._now(), stored, is_loaded=True))

    def _postpone(self, uid: SeriesUID, watched: _Watched, error: Exception) -> None:
        """Try again after a pause, unless an instance that arrived meanwhile has started a new watch."""
        # Only our own errors have messages that are known to hold no patient data.
        words = str(error) if isinstance(error, Retryable) else type(error).__name__
        log.get().error(log.COMPLETION_FAILED, series_uid=uid, error=words)
        with self._lock:
            watched.not_before_s = self._now() + _PAUSE_S
            self._watched.setdefault(uid, watched)


def _ask_again_after_s(asked: int) -> float:
    """How long to leave the archive alone after it was asked so many times before."""
    return min(FIRST_ASK_AGAIN_S * 2.0 ** min(asked, 10), LAST_ASK_AGAIN_S)
