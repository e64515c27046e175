"""Completion: when a series counts as complete, with a clock that the tests move."""

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from node.dicom.completion import CALM_FACTOR, FIRST_ASK_AGAIN_S, GAP_FACTOR, LAST_ASK_AGAIN_S, CompletionWatch
from node.domain.identifiers import SeriesUID, StudyUID
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


@dataclass
class FakeArchive:
    """Holds as many instances as it is told; remembers when it was asked about what; can be away."""

    counts: dict[SeriesUID, int] = field(default_factory=dict)
    asked: list[SeriesUID] = field(default_factory=list)
    error: Exception | None = None

    def count(self, _: StudyUID, series_uid: SeriesUID) -> int | None:
        """As many as it was told."""
        self.asked.append(series_uid)
        if self.error is not None:
            raise self.error
        return self.counts.get(series_uid)


class Site:
    """A watch over a fake store, and a clock."""

    def __init__(self) -> None:
        """Everything is empty and it is 1000 s; the archive does not say how many instances it holds."""
        self.now_s = 1000.0
        self.store = FakeStore()
        self.archive = FakeArchive()
        self.watch = CompletionWatch(
            self.store,
            self.store.instances_of,
            quiet_min_s=SHORTEST_S,
            quiet_max_s=LONGEST_S,
            count_in_archive=self.archive.count,
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
        """What has been completed once so much time has gone by, and the archive has answered what it was asked."""
        self.now_s += seconds
        self.watch.check()
        self.watch.ask()
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
    """Rule 2: released, evenly spaced, and quiet for longer than this sender's gaps explain."""
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
    """Rule 3: while the sender is still connected, only the longest silence counts."""
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


# what the archive says

CALM_S = CALM_FACTOR * SHORTEST_S


def test_a_series_that_the_archive_holds_as_many_of_is_complete_at_once(site: Site) -> None:
    """Rule 1: with a gap, and over an association that stays open, it is complete as soon as it is calm."""
    site.archive.counts[SERIES] = 4
    for index in (0, 1, 3, 4):
        site.now_s += 0.1
        site.arrive(slice_(index))
    assert site.after(CALM_S - 0.01) == []
    assert site.archive.asked == []
    assert site.after(0.02) == [(SERIES, "the archive holds as many: 4", 4)]


def test_the_archive_is_not_asked_in_the_middle_of_a_stream(site: Site) -> None:
    """An archive that passes on what it receives always holds as many as it has passed on."""
    for index in range(4):
        site.arrive(slice_(index))
        site.archive.counts[SERIES] = index + 1
        assert site.after(CALM_S - 0.01) == []
    assert site.archive.asked == []


def test_a_slow_sender_is_calm_after_more_than_its_largest_gap(site: Site) -> None:
    """A pause as long as one before says nothing."""
    site.archive.counts[SERIES] = 3
    site.send(3, gap_s=2.0)
    assert site.after(1.9) == []
    assert site.archive.asked == []
    assert len(site.after(0.2)) == 1


def test_a_higher_count_keeps_waiting(site: Site) -> None:
    """The archive knows of slices that are still on their way: what looks whole is not, until the longest silence."""
    site.archive.counts[SERIES] = 6
    site.send(4)
    site.watch.ended(ONE)
    assert site.after(CALM_S) == []
    assert site.after(LONGEST_S - CALM_S - 0.1) == []
    assert site.after(0.2) == [(SERIES, "quiet for 30 s", 4)]


def test_the_rest_that_the_archive_knew_of_makes_the_series_complete(site: Site) -> None:
    """After the last arrival the archive is asked again: an answer is about what was here when it was asked."""
    site.archive.counts[SERIES] = 5
    site.send(4)
    assert site.after(CALM_S) == []
    site.arrive(slice_(4))
    assert site.after(CALM_S) == []
    assert site.archive.asked == [SERIES]
    assert site.after(FIRST_ASK_AGAIN_S) == [(SERIES, "the archive holds as many: 5", 5)]


@pytest.mark.parametrize("count", [None, 3], ids=["no count", "fewer than here"])
def test_an_archive_that_knows_less_leaves_it_to_the_other_rules(site: Site, count: int | None) -> None:
    """A PACS that gives no count, or that does not get the images, neither completes nor holds back."""
    if count is not None:
        site.archive.counts[SERIES] = count
    site.send(4)
    site.watch.ended(ONE)
    assert site.after(CALM_S) == []
    ((_, evidence, _),) = site.after(SHORTEST_S)
    assert evidence.startswith("released")


@pytest.mark.parametrize("error", [Retryable("no answer"), RuntimeError("a bug"), ValueError("x")], ids=repr)
def test_an_archive_that_is_away_leaves_it_to_the_other_rules(site: Site, error: Exception) -> None:
    """Also when it has said before that there is more: what it said before is no evidence against silence."""
    site.archive.counts[SERIES] = 6
    site.send(4)
    site.watch.ended(ONE)
    assert site.after(CALM_S) == []
    site.archive.error = error
    ((_, evidence, _),) = site.after(FIRST_ASK_AGAIN_S)
    assert evidence.startswith("released")


def test_the_archive_is_asked_less_and_less_often(site: Site) -> None:
    """After two seconds, four, eight, and then every sixteen."""
    site.send(2)
    asked_at = []
    for _ in range(int(LONGEST_S * 10) - 10):
        site.after(0.1)
        if len(site.archive.asked) > len(asked_at):
            asked_at.append(site.now_s)
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked_at)]
    assert [round(gap) for gap in gaps] == [2, 4, 8]
    assert max(gaps) <= LAST_ASK_AGAIN_S


def test_an_archive_that_is_away_is_asked_about_one_series_at_a_time(site: Site) -> None:
    """However many series wait: it is left alone for a while after a failure, and asked about all once it is back."""
    uids = [SERIES, SeriesUID("2.25.97"), SeriesUID("2.25.98")]
    site.archive.error = Retryable("no answer")
    for uid in uids:
        site.send(2, series=uid)
    site.after(CALM_S + 0.1)
    site.after(0.1)
    assert len(site.archive.asked) == 1
    site.archive.error = None
    site.archive.counts = dict.fromkeys(uids, 2)
    site.after(FIRST_ASK_AGAIN_S)
    assert sorted(uid for uid, _, _ in site.store.completed) == sorted(uids)


def test_what_was_being_collected_before_a_restart_is_asked_about(site: Site) -> None:
    """The archive's count needs no silence that somebody has heard."""
    slices = [ct_slice(index) for index in range(4)]
    site.store.instances[SERIES] = [instance(one) for one in slices]
    site.archive.counts[SERIES] = 4
    site.watch.resume([series_of(slices)])
    assert len(site.after(CALM_S)) == 1


def test_an_archive_that_never_answers_holds_up_nothing() -> None:
    """While the asking hangs, other series and the other rules go on, and the watch can be stopped."""
    store, hangs, asked = FakeStore(), threading.Event(), threading.Event()

    def count(_: StudyUID, __: SeriesUID) -> None:
        asked.set()
        hangs.wait(30)

    watch = CompletionWatch(store, store.instances_of, quiet_min_s=0.01, quiet_max_s=0.5, count_in_archive=count)
    watch.start()
    for uid in (SERIES, SeriesUID("2.25.97")):
        store.instances[uid] = [slice_(0, series=uid)]
        watch.arrived(store.instances[uid][0], ONE)
    assert asked.wait(5)
    deadline = time.monotonic() + 5
    while len(store.completed) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    watch.stop()
    assert not hangs.is_set()
    assert {evidence for _, evidence, _ in store.completed} == {"quiet for 0.5 s"}
    hangs.set()
