"""When is a series complete? DICOM has no signal for it, so it is decided from evidence, soonest first.

1. the association that brought it is released, its slices are evenly spaced with none missing and none twice, and it
   has been quiet for a time learnt from this sender's own gaps;
2. it has been quiet for the longest time there is.

Quiet counts only while the listener is up: the watch lives in its memory, and starts anew with it.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from node import log
from node.domain.identifiers import InstanceUID, SeriesUID
from node.domain.imaging import Instance, Series
from node.domain.reasons import Reason
from node.domain.stacking import stack
from node.errors import Retryable
from node.failpoints import Failpoint, hit

GAP_FACTOR: Final = 4.0
"""Quiet for this many times the largest gap between two instances of the series counts as over."""
_TICK_S: Final = 0.1
_PAUSE_S: Final = 1.0
"""After the store could not be reached."""
# Objects that are whole in themselves: there is no neighbour to wait for.
_SINGLE_OBJECT_MODALITIES: Final = frozenset({"SEG", "RTSTRUCT", "SR", "KO", "PR", "DOC"})


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
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``instances_of``: what is stored of a series; ``now``: seconds on a clock that nobody can set."""
        self._store = store
        self._instances_of = instances_of
        self._shortest_s = quiet_min_s
        self._longest_s = quiet_max_s
        self._now = now
        self._watched: dict[SeriesUID, _Watched] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="completion", daemon=True)

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
        quiet_s = now - watched.last_arrival_s
        if quiet_s >= self._longest_s:
            return f"quiet for {self._longest_s:g} s"
        if watched.associations or quiet_s < self._shortest_s or not watched.has_no_gap():
            return None
        if quiet_s < watched.quiet_needed_s(self._shortest_s, self._longest_s):
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

    def start(self) -> None:
        """Check ten times a second until stopped."""
        self._thread.start()

    def stop(self) -> None:
        """Stop checking."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_TICK_S):
            try:
                self.check()
            except Exception as exc:  # noqa: BLE001 — without this thread no series would ever be complete
                log.get().error(log.COMPLETION_FAILED, error=type(exc).__name__)

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
