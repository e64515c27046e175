"""Completion: when a series counts as complete, with a clock that the tests move."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from node.dicom.completion import GAP_FACTOR, CompletionWatch
from node.domain.identifiers import SeriesUID
from node.domain.imaging import Instance
from node.errors import Retryable
from tests.factories import SERIES, ct_slice, instance, series_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # these headers are odd on purpose

SHORTEST_S = 1.0
LONGEST_S = 30.0
ONE, OTHER = 1, 2
"""Two associations."""


@dataclass
class FakeStore:
    """Remembers what is stored and what was completed; can be out of reach."""

    instances: dict[SeriesUID, list[Instance]] = field(default_factory=dict)
    completed: list[tuple[SeriesUID, str, int]] = field(default_factory=list)
    error: Exception | None = None

    def complete(self, series_uid: SeriesUID, evidence: str, count: int) -> bool:
        """As the real one: false when there are not as many as the evidence is about."""
        if self.error is not None:
            raise self.error
        if len(self.instances[series_uid]) != count:
            return False
        self.completed.append((series_uid, evidence, count))
        return True

    def instances_of(self, series_uid: SeriesUID) -> Sequence[Instance]:
        """What is stored of a series."""
        if self.error is not None:
            raise self.error
        return tuple(self.instances[series_uid])


class Site:
    """A watch over a fake store, and a clock."""

    def __init__(self) -> None:
        """Everything is empty and it is 1000 s."""
        self.now_s = 1000.0
        self.store = FakeStore()
        self.watch = CompletionWatch(
            self.store,
            self.store.instances_of,
            quiet_min_s=SHORTEST_S,
            quiet_max_s=LONGEST_S,
            now=lambda: self.now_s,
        )

    def arrive(self, one: Instance, association: int = ONE) -> None:
        """An instance is stored, then announced: as the listener does it."""
        self.store.instances.setdefault(one.series_uid, []).append(one)
        self.watch.arrived(one, association)

    def send(self, count: int, gap_s: float = 0.1, association: int = ONE, series: str = SERIES) -> None:
        """Slices from the lowest up, one every ``gap_s``."""
        for index in range(count):
            self.now_s += gap_s if index else 0.0
            self.arrive(slice_(index, series=series), association)

    def after(self, seconds: float) -> list[tuple[SeriesUID, str, int]]:
        """What has been completed once so much time has gone by."""
        self.now_s += seconds
        self.watch.check()
        return self.store.completed


def slice_(index: int, **changes: object) -> Instance:
    """One CT slice."""
    return instance(ct_slice(index, **changes))


@pytest.fixture
def site() -> Site:
    """A site of its own for each test."""
    return Site()


def test_a_released_even_series_is_complete_after_the_shortest_silence(site: Site) -> None:
    """Rule 1: released, evenly spaced, and quiet for longer than this sender's gaps explain."""
    site.send(4, gap_s=0.1)
    site.watch.ended(ONE)
    assert site.after(SHORTEST_S - 0.01) == []
    ((uid, evidence, count),) = site.after(0.02)
    assert (uid, count) == (SERIES, 4)
    assert "released" in evidence


def test_the_silence_is_learnt_from_the_largest_gap(site: Site) -> None:
    """A sender that paused for two seconds once is given four times as long."""
    site.send(3, gap_s=0.1)
    site.now_s += 2.0
    site.arrive(slice_(3))
    site.watch.ended(ONE)
    assert site.after(GAP_FACTOR * 2.0 - 0.1) == []
    assert len(site.after(0.2)) == 1


def test_no_sender_is_waited_for_longer_than_the_longest_silence(site: Site) -> None:
    """A gap of a minute does not mean four minutes of waiting."""
    site.send(3, gap_s=60.0)
    site.watch.ended(ONE)
    assert site.after(LONGEST_S - 0.1) == []
    assert len(site.after(0.2)) == 1


def test_an_open_association_waits_for_the_longest_silence(site: Site) -> None:
    """Rule 2: while the sender is still connected, only the longest silence counts."""
    site.send(4)
    assert site.after(LONGEST_S - 0.1) == []
    ((_, evidence, _),) = site.after(0.2)
    assert evidence == "quiet for 30 s"


def test_every_association_that_brought_slices_must_have_ended(site: Site) -> None:
    """A series that comes over two associations is not complete when one of them ends."""
    site.send(2, association=ONE)
    for index in (2, 3):
        site.arrive(slice_(index), OTHER)
    site.watch.ended(ONE)
    assert site.after(10) == []
    site.watch.ended(OTHER)
    assert len(site.after(0)) == 1


def test_associations_of_others_do_not_matter(site: Site) -> None:
    """An association that brought none of its slices may stay open."""
    site.send(4, association=ONE)
    site.send(4, association=OTHER, series="2.25.99")
    site.watch.ended(ONE)
    assert [uid for uid, _, _ in site.after(SHORTEST_S + 1)] == [SERIES]


@pytest.mark.parametrize(
    ("indices", "what"),
    [((0, 1, 3, 4), "missing"), ((0, 1, 1, 2), "twice"), ((0, 1), "too few")],
    ids=["missing", "twice", "too few"],
)
def test_what_is_no_volume_waits_for_the_longest_silence(site: Site, indices: tuple[int, ...], what: str) -> None:
    """A missing slice, two at one place, or too few for a volume: the rest may still come."""
    for number, index in enumerate(indices):
        site.now_s += 0.1
        position = ct_slice(index).ImagePositionPatient
        site.arrive(slice_(10 + number, ImagePositionPatient=position))
    site.watch.ended(ONE)
    assert site.after(LONGEST_S - 0.1) == [], what
    assert len(site.after(0.2)) == 1


def test_what_cannot_be_judged_waits_for_the_longest_silence(site: Site) -> None:
    """Identifiers and positions that no stack can be made of stop nothing."""
    for index in range(4):
        site.arrive(slice_(index, FrameOfReferenceUID="no uid", ImagePositionPatient=["1e300", "-1e300", "1e308"]))
    site.send(4, series="2.25.98")
    site.watch.ended(ONE)
    assert [uid for uid, _, _ in site.after(SHORTEST_S)] == ["2.25.98"]
    assert len(site.after(LONGEST_S)) == 2


def test_a_missing_slice_that_comes_makes_the_series_complete_soon(site: Site) -> None:
    """The gap is judged again when something arrives."""
    for index in (0, 1, 3, 4):
        site.arrive(slice_(index))
        site.now_s += 0.1
    site.watch.ended(ONE)
    assert site.after(1) == []
    site.arrive(slice_(2), OTHER)
    site.watch.ended(OTHER)
    assert len(site.after(GAP_FACTOR * 1.2)) == 1


@pytest.mark.parametrize("modality", ["SEG", "RTSTRUCT", "SR"])
def test_objects_that_are_whole_in_themselves_need_only_the_shortest_silence(site: Site, modality: str) -> None:
    """A contour or report has no neighbour to wait for."""
    site.arrive(slice_(0, Modality=modality))
    assert site.after(SHORTEST_S + 1) == []
    site.watch.ended(ONE)
    assert len(site.after(0)) == 1


def test_a_single_ct_image_waits_for_the_longest_silence(site: Site) -> None:
    """One slice is the beginning of a series, not a series."""
    site.arrive(slice_(0))
    site.watch.ended(ONE)
    assert site.after(LONGEST_S - 0.1) == []
    assert len(site.after(0.2)) == 1


def test_a_series_is_completed_once(site: Site) -> None:
    """After it is complete it is forgotten."""
    site.send(4)
    site.watch.ended(ONE)
    assert len(site.after(2)) == 1
    assert len(site.after(100)) == 1


def test_a_late_slice_is_judged_with_what_is_stored(site: Site) -> None:
    """The slice that fills the gap makes a whole series with those that were completed before."""
    site.store.instances[SERIES] = [slice_(index) for index in (0, 1, 3, 4)]
    site.arrive(slice_(2))
    site.watch.ended(ONE)
    ((_, evidence, count),) = site.after(LONGEST_S)
    assert count == 5
    assert evidence.startswith("quiet")


def test_late_slices_that_leave_no_gap_are_complete_soon(site: Site) -> None:
    """With what is stored they are evenly spaced, and their own gaps are known."""
    site.store.instances[SERIES] = [slice_(index) for index in (0, 1, 2)]
    site.arrive(slice_(3))
    site.now_s += 0.1
    site.arrive(slice_(4))
    site.watch.ended(ONE)
    ((_, evidence, count),) = site.after(SHORTEST_S)
    assert count == 5
    assert evidence.startswith("released")


def test_what_was_being_collected_is_watched_again_after_a_restart(site: Site) -> None:
    """Silence before the listener came up was not heard: it starts anew, and no gap is known yet."""
    slices = [ct_slice(index) for index in range(4)]
    site.store.instances[SERIES] = [instance(one) for one in slices]
    site.watch.resume([series_of(slices)])
    assert site.after(LONGEST_S - 0.1) == []
    assert site.after(0.2) == [(SERIES, "quiet for 30 s", 4)]


def test_slices_after_a_restart_teach_the_gap(site: Site) -> None:
    """A resumed series whose rest arrives is complete as soon as any other."""
    site.store.instances[SERIES] = [slice_(index) for index in (0, 1)]
    site.watch.resume([series_of([ct_slice(0), ct_slice(1)])])
    site.now_s += 0.2
    site.arrive(slice_(2))
    site.now_s += 0.2
    site.arrive(slice_(3))
    site.watch.ended(ONE)
    ((_, evidence, count),) = site.after(SHORTEST_S)
    assert count == 4
    assert evidence.startswith("released")


def test_an_arrival_while_it_is_completed_starts_a_new_watch(site: Site) -> None:
    """A slice stored between the evidence and the store's answer is never forgotten: the store says no, and waits."""
    late = slice_(4)

    class Racing(FakeStore):
        def complete(self, series_uid: SeriesUID, evidence: str, count: int) -> bool:
            if count == 4:
                site.arrive(late, OTHER)
            return super().complete(series_uid, evidence, count)

    site.store = Racing(site.store.instances)
    site.watch = CompletionWatch(
        site.store, site.store.instances_of, quiet_min_s=SHORTEST_S, quiet_max_s=LONGEST_S, now=lambda: site.now_s
    )
    site.send(4)
    site.watch.ended(ONE)
    assert site.after(2) == []
    site.watch.ended(OTHER)
    assert [count for _, _, count in site.after(LONGEST_S)] == [5]


@pytest.mark.parametrize("error", [Retryable("database: locked"), RuntimeError("a bug"), OSError("gone")], ids=repr)
def test_a_store_that_fails_is_asked_again(site: Site, error: Exception) -> None:
    """Whatever the store says, the series is not forgotten, and other series go on."""
    site.send(4)
    site.watch.ended(ONE)
    site.watch.check()
    site.store.error = error
    assert site.after(2) == []
    site.store.error = None
    assert site.after(0.1) == [], "it is given a pause"
    assert [count for _, _, count in site.after(2)] == [4]


@pytest.mark.parametrize("error", [Retryable("database: locked"), RuntimeError("a bug")], ids=repr)
def test_an_arrival_counts_although_the_store_cannot_be_read(site: Site, error: Exception) -> None:
    """What is durable is never answered with a failure for want of a watch, and what was there is read later."""
    site.store.instances[SERIES] = [slice_(index) for index in (0, 1)]
    site.store.error = error
    site.arrive(slice_(2))
    site.watch.ended(ONE)
    assert site.after(LONGEST_S) == []
    site.store.error = None
    assert [count for _, _, count in site.after(2)] == [3]


def test_a_store_that_fails_for_one_series_completes_the_others(site: Site) -> None:
    """One series that cannot be completed does not hold up the queue."""
    site.send(4)
    site.send(4, series="2.25.97")

    class Picky(FakeStore):
        def complete(self, series_uid: SeriesUID, evidence: str, count: int) -> bool:
            if series_uid == SERIES:
                raise RuntimeError("a bug")
            return super().complete(series_uid, evidence, count)

    picky = Picky(site.store.instances)
    watch = CompletionWatch(
        picky, picky.instances_of, quiet_min_s=SHORTEST_S, quiet_max_s=LONGEST_S, now=lambda: site.now_s
    )
    watch.resume([series_of([ct_slice(i, series=uid) for i in range(4)]) for uid in (SERIES, "2.25.97")])
    site.now_s += LONGEST_S
    watch.check()
    assert [uid for uid, _, _ in picky.completed] == ["2.25.97"]


def test_the_watch_runs_by_itself() -> None:
    """Started, it checks until it is stopped; no one has to ask."""
    store = FakeStore()
    watch = CompletionWatch(store, store.instances_of, quiet_min_s=0.01, quiet_max_s=0.1)
    watch.start()
    store.instances[SERIES] = [slice_(0)]
    watch.arrived(slice_(0), ONE)
    deadline = time.monotonic() + 5
    while not store.completed and time.monotonic() < deadline:
        time.sleep(0.01)
    watch.stop()
    assert [count for _, _, count in store.completed] == [1]


def test_an_instance_that_nobody_announced_is_found_and_counted(site: Site) -> None:
    """Stored when the database was lost in the commit: the watch counts anew, and the series is complete with it."""
    site.send(3)
    site.watch.ended(ONE)
    site.watch.check()
    site.store.instances[SERIES].append(slice_(3))
    assert site.after(SHORTEST_S + 0.1) == []
    assert [count for _, _, count in site.after(LONGEST_S)] == [4]


def test_a_series_that_is_over_is_not_watched_on(site: Site) -> None:
    """What arrives again when its job has moved on long ago is asked about once."""
    asked: list[int] = []
    site.store.complete = lambda _uid, _why, count: bool(asked.append(count))  # type: ignore[func-returns-value,method-assign]
    site.send(3)
    site.watch.ended(ONE)
    for _ in range(3):
        site.after(LONGEST_S)
    assert asked == [3]
