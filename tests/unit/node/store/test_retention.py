"""Retention: what is done with gives its bytes back, what is not never does, and a kill in between heals."""

import fcntl
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import JPEGLSLossless

from node.dicom.reading import same_content
from node.domain.audit import AuditAction
from node.domain.identifiers import JobId, SeriesUID
from node.domain.intake import IntakeVerdict
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import DeliveryOutcome, ObjectKind
from node.store import inbox
from node.store.folder_blobs import FolderBlobs
from node.store.inbox import SqlInbox
from node.store.jobs import Claim, EndedStep
from node.store.retention import Pruned
from tests.factories import CONTOURS, SERIES, ct_slice, event, received, received_contour, report_object, step_record
from tests.unit.node.store.conftest import Store

KEEP = timedelta(days=30)
FIRST = JobId.of(SERIES, 1)
SECOND = JobId.of(SERIES, 2)
RESULTS = (report_object("summary"), report_object("report", ObjectKind.STRUCTURED_REPORT))


def finish(store: Store, claim: Claim, state: JobState, code: ReasonCode = ReasonCode.ROI_NOT_FOUND) -> None:
    """End a claim without results."""
    assert store.jobs.finish(claim, state, Reason(code), event())


def commit(store: Store, claim: Claim) -> None:
    """Commit two results for a claim, to be delivered to the archive."""
    made = {"predictor": "p", "destinations": ("archive",), "steps": [EndedStep(step_record(), (event(),))]}
    assert store.results.commit(claim, RESULTS, **made)


def deliver(store: Store, state: DeliveryState = DeliveryState.STORED) -> None:
    """The archive answers."""
    sent = store.outbox.lease("deliverer")
    store.outbox.record("deliverer", sent, [DeliveryOutcome(one.object_uid, state, "") for one in sent])


def delivered(store: Store, count: int = 4) -> None:
    """An old series with two results, all stored in the archive."""
    commit(store, store.claimed(count))
    deliver(store)
    store.grow_old()


def digests(store: Store) -> set[str]:
    """The blobs that are there."""
    return {found.sha256 for found in store.blobs.files()}


def paths(store: Store, series: str = SERIES) -> list[Path]:
    """Where the instances of a series lie, or would lie."""
    return [one.path for one in store.inbox.series(SeriesUID(series)).instances if one.path is not None]


def there(files: Iterable[Path]) -> list[bool]:
    """Which of these files there are."""
    return [path.exists() for path in files]


def events(store: Store, action: AuditAction) -> list[dict[str, str | int | float]]:
    """What the trail says of an action."""
    return [one.details for one in store.audit.events() if one.action is action]


# what is pruned


def test_a_delivered_series_gives_its_bytes_back(store: Store) -> None:
    """Its images and results are removed, its rows stay, and the trail tells of it once."""
    delivered(store)
    size = sum(path.stat().st_size for path in paths(store))
    assert store.retention.prune(KEEP) == Pruned(series=1, objects=5, size_bytes=size + len(RESULTS[0].content))
    assert there(paths(store)) == [False] * 4
    assert (store.count("instances"), store.count("results"), store.job_state(FIRST)) == (4, 2, "done")
    assert store.retention.totals() == (4, size)
    assert store.inbox.obstacle(SERIES) is ReasonCode.PRUNED
    assert store.retention.prune(KEEP) == Pruned()
    assert events(store, AuditAction.SERIES_PRUNED) == [{"instances": 4, "results": 1}]


def test_structured_reports_are_kept(store: Store) -> None:
    """A newer version cites them, and they are small; the other results say since when they are gone."""
    delivered(store)
    store.retention.prune(KEEP)
    summary, report = sorted(store.results.of(FIRST), key=lambda one: one.kind is ObjectKind.STRUCTURED_REPORT)
    assert (report.path.exists(), report.pruned_at) == (True, None)
    assert not summary.path.exists()
    assert summary.pruned_at is not None


@pytest.mark.parametrize("state", [JobState.NOT_ANALYSED, JobState.DONE])
def test_a_series_without_results_gives_its_bytes_back(store: Store, state: JobState) -> None:
    """A scout, and everything that a silent node has seen."""
    finish(store, store.claimed(), state)
    store.grow_old()
    assert store.retention.prune(KEEP).objects == 4


def test_every_version_of_a_series_is_pruned_with_it(store: Store) -> None:
    """The results of a version that was superseded go too."""
    commit(store, store.claimed())
    deliver(store)
    store.receive_late()
    store.complete()
    finish(store, store.claim(), JobState.NOT_ANALYSED)
    store.grow_old()
    assert store.job_state(FIRST) == "superseded"
    assert store.retention.prune(KEEP).objects == 6


def test_a_rehearsal_says_what_would_be_pruned_and_changes_nothing(store: Store) -> None:
    """The figures are those of the real thing."""
    delivered(store)
    store.inbox.accept(received(ct_slice(PatientID="PAT-2")))
    store.grow_old()
    before = digests(store)
    rehearsed = store.retention.prune(KEEP, rehearse=True)
    assert (digests(store), events(store, AuditAction.SERIES_PRUNED)) == (before, [])
    assert store.retention.prune(KEEP) == rehearsed
    assert (rehearsed.series, rehearsed.objects, rehearsed.set_aside) == (1, 5, 1)


def test_what_was_set_aside_is_kept_as_long(store: Store) -> None:
    """A conflicting object is there for a person until it is old; the object that it conflicts with is not touched."""
    store.receive(1)
    other = received(ct_slice(PatientID="PAT-2"))
    assert store.inbox.accept(other) is IntakeVerdict.CONFLICT
    assert store.retention.prune(KEEP) == Pruned()
    store.grow_old()
    assert store.retention.prune(KEEP) == Pruned(set_aside=1, size_bytes=len(other.content))
    assert len(digests(store)) == 1
    assert there(paths(store)) == [True]
    assert events(store, AuditAction.SET_ASIDE_PRUNED) == [{"objects": 1}]
    assert store.retention.prune(KEEP) == Pruned()


# what is never pruned


@pytest.mark.parametrize("state", ["collecting", "waiting", "running", "delivering", "quarantined"])
def test_what_is_not_done_with_is_kept_however_old(store: Store, state: str) -> None:
    """What is coming, is worked on, is on its way or waits for a person."""
    store.receive()
    if state != "collecting":
        store.complete()
    if state in ("running", "delivering", "quarantined"):
        claim = store.claim()
        if state == "delivering":
            commit(store, claim)
        elif state == "quarantined":
            finish(store, claim, JobState.QUARANTINED, ReasonCode.UNDECODABLE)
    store.grow_old()
    assert store.job_state(FIRST) == state
    assert store.retention.prune(KEEP) == Pruned()
    assert there(paths(store)) == [True] * 4


@pytest.mark.parametrize("answer", [DeliveryState.PENDING, DeliveryState.FAILED])
def test_what_the_archive_did_not_take_is_kept(store: Store, answer: DeliveryState) -> None:
    """Whatever the state of the job: one object that is not stored keeps the whole series."""
    commit(store, store.claimed())
    deliver(store, answer)
    store.grow_old()
    store.change("UPDATE jobs SET state = 'done'")
    assert store.retention.prune(KEEP) == Pruned()
    store.change("UPDATE outbox SET state = 'stored' WHERE id = (SELECT min(id) FROM outbox)")
    assert store.retention.prune(KEEP) == Pruned()
    store.change("UPDATE outbox SET state = 'withdrawn' WHERE state <> 'stored'")
    assert store.retention.prune(KEEP).series == 1


@pytest.mark.parametrize("recent", ["series SET last_received_at", "jobs SET finished_at", "jobs SET delivered_at"])
def test_what_is_recent_is_kept(store: Store, recent: str) -> None:
    """The days count from the last arrival, verdict or delivery, whichever came last."""
    delivered(store)
    store.change(f"UPDATE {recent} = :now", now="2999-01-01 00:00:00.000000")
    assert store.retention.prune(KEEP) == Pruned()


def test_a_newer_version_that_is_not_done_keeps_the_older_ones(store: Store) -> None:
    """A late slice has the whole series needed again."""
    delivered(store)
    store.receive_late()
    store.grow_old()
    assert store.retention.prune(KEEP) == Pruned()


def test_a_contour_is_kept_while_its_series_may_need_it(store: Store) -> None:
    """Contours have their verdict at once; they go when the series that they mark goes."""
    store.receive()
    store.inbox.accept(received_contour(SERIES))
    store.complete(CONTOURS)
    finish(store, store.claim(), JobState.DONE)
    store.grow_old()
    assert store.retention.prune(KEEP) == Pruned()
    store.complete()
    finish(store, store.claim(), JobState.NOT_ANALYSED)
    store.grow_old()
    assert store.retention.prune(KEEP).series == 2


def test_a_contour_for_a_series_that_never_came_is_pruned(store: Store) -> None:
    """Nothing needs it."""
    store.inbox.accept(received_contour(SERIES))
    store.complete(CONTOURS)
    finish(store, store.claim(), JobState.NOT_ANALYSED, ReasonCode.ANNOTATION_ORPHAN)
    store.grow_old()
    assert store.retention.prune(KEEP).series == 1


def test_a_blob_that_another_row_promises_is_kept(store: Store) -> None:
    """The same bytes may be an instance of one series and set aside for a person."""
    delivered(store)
    first, *others = (path.name for path in paths(store))
    store.change(
        "INSERT INTO set_aside (sop_instance_uid, sha256, reason, received_at, calling_ae) "
        "VALUES ('2.25.1', :sha, 'CONTENT_CONFLICT', '2999-01-01 00:00:00', 'PACS')",
        sha=first,
    )
    assert store.retention.prune(KEEP).objects == 5
    assert first in digests(store)
    assert digests(store).isdisjoint(others)


def test_two_who_prune_at_once_prune_once(store: Store) -> None:
    """Each series is pruned by one of them."""
    delivered(store)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: store.retention.prune(KEEP), range(2)))
    assert sum(one.objects for one in both) == 5
    assert len(events(store, AuditAction.SERIES_PRUNED)) == 1


# killed in between


class Killed(BaseException):
    """The process dies here."""


def test_a_kill_between_rows_and_bytes_is_healed_by_the_sweep(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows say that the bytes are gone; what is left of them is collected."""
    delivered(store)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(FolderBlobs, "remove", die)
        with pytest.raises(Killed):
            store.retention.prune(KEEP)
    assert store.inbox.obstacle(SERIES) is ReasonCode.PRUNED
    assert there(paths(store)) == [True] * 4
    assert store.retention.prune(KEEP) == Pruned()
    assert store.retention.sweep().orphans == 5
    assert there(paths(store)) == [False] * 4


def test_a_kill_before_the_rows_are_committed_leaves_everything(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No byte is removed that a row still promises."""
    delivered(store)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("node.store.retention._series_event", die)
        with pytest.raises(Killed):
            store.retention.prune(KEEP)
    assert store.inbox.obstacle(SERIES) is None
    assert store.retention.sweep().orphans == 0
    assert there(paths(store)) == [True] * 4


@pytest.mark.parametrize("is_wanted", [True, False], ids=["wanted", "unwanted"])
def test_a_kill_while_a_file_is_taken_away_is_healed(
    store: Store, monkeypatch: pytest.MonkeyPatch, is_wanted: bool
) -> None:
    """A file under its other name is put back when a row promises it, and removed when none does."""
    delivered(store, 1)
    (path,) = paths(store)
    content, found = path.read_bytes(), store.blobs.find(path.name)
    assert found is not None

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", die)
        with pytest.raises(Killed):
            store.blobs.remove(found)
    assert not path.exists()
    if not is_wanted:
        store.change("UPDATE instances SET pruned_at = received_at")
    assert store.retention.sweep().orphans == (not is_wanted)
    assert path.exists() is is_wanted
    assert not is_wanted or path.read_bytes() == content
    assert all(not found.is_doomed for found in store.blobs.files())


def test_what_is_stored_while_its_old_bytes_are_removed_is_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent again after the database said that nobody wants it and before the file goes: the file stays."""
    delivered(store, 1)
    wanted = store.retention._wanted

    def wanted_then_sent_again(self: object, wished: list[str]) -> frozenset[str]:
        answer = wanted(wished)
        assert store.inbox.accept(received(ct_slice())) is IntakeVerdict.STORED
        monkeypatch.undo()
        return answer

    monkeypatch.setattr("node.store.retention.Retention._wanted", wanted_then_sent_again)
    assert store.retention.prune(KEEP).series == 1
    assert store.inbox.obstacle(SERIES) is None
    assert there(paths(store)) == [True]
    store.retention.sweep()
    assert there(paths(store)) == [True]


# the sweep


def test_half_written_files_of_dead_processes_are_swept_up(store: Store) -> None:
    """At once; one that somebody is still writing is left alone, however old."""
    blob = store.blobs.put(b"pixels")
    dead, alive = (blob.path.with_name(f"{blob.sha256}.{name * 32}.part") for name in "ab")
    for part in (dead, alive):
        part.write_bytes(b"pix")
        os.utime(part, (0, 0))
    with alive.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        swept = store.retention.sweep()
    assert (swept.parts, swept.orphans) == (1, 0)
    assert there([dead, alive, blob.path]) == [False, True, True]


def test_a_blob_without_a_row_is_swept_up_once_it_is_old(store: Store) -> None:
    """Until then its row may be on its way; and files that are not the store's are nobody's business here."""
    blob = store.blobs.put(b"pixels")
    foreign = blob.path.with_name("README")
    foreign.write_text("mine")
    os.utime(foreign, (0, 0))
    assert store.retention.sweep().orphans == 0
    os.utime(blob.path, (0, 0))
    assert store.retention.sweep().orphans == 1
    assert there([blob.path, foreign]) == [False, True]


def test_everything_that_a_row_promises_is_left_alone(store: Store) -> None:
    """Instances, results and what was set aside, however old."""
    delivered(store)
    store.inbox.accept(received(ct_slice(PatientID="PAT-2")))
    store.grow_old()
    before = digests(store)
    assert len(before) == 7
    assert store.retention.sweep().orphans == 0
    assert digests(store) == before


def test_the_blobs_of_another_database_are_left_alone(store: Store) -> None:
    """Whoever points a new database at an old folder loses nothing."""
    blob = store.blobs.put(b"pixels")
    assert store.retention.sweep().is_ours
    os.utime(blob.path, (0, 0))
    store.change("UPDATE store_identity SET id = 'another'")
    assert not store.retention.sweep().is_ours
    assert blob.path.exists()


# what comes again


def test_what_was_pruned_is_stored_when_it_comes_again(store: Store) -> None:
    """Never a duplicate of bytes that are gone; the verdict on the same bytes stands, and the days count anew."""
    delivered(store)
    store.retention.prune(KEEP)
    for index in range(4):
        assert store.inbox.accept(received(ct_slice(index))) is IntakeVerdict.STORED
        assert store.inbox.accept(received(ct_slice(index))) is IntakeVerdict.DUPLICATE
    assert there(paths(store)) == [True] * 4
    assert store.inbox.obstacle(SERIES) is None
    assert [(job.job_id, job.state) for job in store.jobs.jobs()] == [(FIRST, JobState.DONE)]
    assert store.retention.prune(KEEP) == Pruned()
    assert [one.reason for one in store.audit.events()][-4:] == [ReasonCode.PRUNED] * 4


def test_other_bytes_of_what_was_pruned_are_a_late_instance(store: Store) -> None:
    """What is gone cannot be compared: a re-encoded object opens the next version."""
    delivered(store)
    store.retention.prune(KEEP)
    packed = ct_slice(0)
    packed.compress(JPEGLSLossless, generate_instance_uid=False)
    again = received(packed)
    assert store.inbox.accept(again) is IntakeVerdict.STORED
    assert store.job_state(SECOND) == "collecting"
    path = store.inbox.series(SERIES).instances[-1].path
    assert path is not None
    assert path.read_bytes() == again.content


@pytest.mark.parametrize(
    "other", [{"PatientID": "PAT-2"}, {"StudyInstanceUID": "2.25.7009"}, {"series": "2.25.82"}], ids=str
)
def test_an_object_that_cannot_be_the_one_that_was_pruned_is_set_aside(store: Store, other: dict[str, str]) -> None:
    """Another patient, study or series under a known UID is a conflict, also when the bytes are gone."""
    delivered(store, 1)
    store.retention.prune(KEEP)
    (uid,) = (one.uid for one in store.inbox.series(SERIES).instances)
    assert store.inbox.accept(received(ct_slice(0, SOPInstanceUID=uid, **other))) is IntakeVerdict.CONFLICT
    assert (store.count("set_aside"), store.count("instances")) == (1, 1)
    assert store.inbox.obstacle(SERIES) is ReasonCode.PRUNED


def test_two_senders_of_the_same_pruned_object_store_it_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stores it, the other hears that it is here, also when both had found it gone."""
    delivered(store, 1)
    store.retention.prune(KEEP)
    inboxes = [SqlInbox(store.database, store.blobs, same_content) for _ in range(2)]
    verdicts: list[IntakeVerdict] = []
    touch = inbox._touch_series

    def overtaken(*arguments: Any) -> None:
        monkeypatch.undo()
        verdicts.append(inboxes[1].accept(received(ct_slice())))
        touch(*arguments)

    if "postgresql" in store.database.url:
        # SQLite lets nobody in between: there the second finds what the first has stored.
        monkeypatch.setattr(inbox, "_touch_series", overtaken)
    verdicts.append(inboxes[0].accept(received(ct_slice())))
    verdicts.append(inboxes[1].accept(received(ct_slice())))
    assert verdicts.count(IntakeVerdict.STORED) == 1
    assert set(verdicts) == {IntakeVerdict.STORED, IntakeVerdict.DUPLICATE}
    assert len(events(store, AuditAction.INSTANCE_RECEIVED)) == 2


def test_a_series_that_was_held_for_its_bytes_is_collected_when_they_come(store: Store) -> None:
    """A late slice of a pruned series is held for a person; the rest that is sent again opens the next version."""
    delivered(store)
    store.retention.prune(KEEP)
    store.receive_late()
    store.complete()
    finish(store, store.claim(), JobState.QUARANTINED, ReasonCode.PRUNED)
    assert store.job_state(FIRST) == "done"
    store.receive()
    assert store.job_state(JobId.of(SERIES, 3)) == "collecting"
    assert store.inbox.obstacle(SERIES) is None


def test_a_series_that_was_held_for_a_contour_waits_when_that_comes(store: Store) -> None:
    """Nobody needs to send the images again, when only their contour had been removed."""
    store.inbox.accept(received_contour(SERIES))
    store.complete(CONTOURS)
    finish(store, store.claim(), JobState.NOT_ANALYSED, ReasonCode.ANNOTATION_ORPHAN)
    store.grow_old()
    store.retention.prune(KEEP)
    store.receive()
    store.complete()
    store.change("UPDATE jobs SET state = 'not-analysed' WHERE series_uid = :uid", uid=CONTOURS)
    assert store.inbox.obstacle(SERIES) is ReasonCode.PRUNED
    finish(store, store.claim(), JobState.QUARANTINED, ReasonCode.PRUNED)
    assert store.inbox.accept(received_contour(SERIES)) is IntakeVerdict.STORED
    assert store.job_state(SECOND) == "waiting"
    assert store.inbox.obstacle(SERIES) is None
    assert len(store.inbox.annotations(SERIES)) == 1


def test_a_contour_that_comes_again_with_other_references_is_known_by_those(store: Store) -> None:
    """The old references go with the old bytes."""
    store.inbox.accept(received_contour(SERIES))
    store.complete(CONTOURS)
    finish(store, store.claim(), JobState.NOT_ANALYSED, ReasonCode.ANNOTATION_ORPHAN)
    store.grow_old()
    store.retention.prune(KEEP)
    changed = received_contour(SeriesUID("2.25.82"))
    store.inbox.accept(replace(changed, content=changed.content + b"\0\0"))
    assert store.inbox.annotations(SERIES) == ()
    assert len(store.inbox.annotations(SeriesUID("2.25.82"))) == 1
