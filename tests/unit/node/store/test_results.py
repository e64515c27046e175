"""Results: objects, outbox, state and audit become true together, and only for the claim that still holds."""

import errno
import os

import pytest
from sqlalchemy.exc import IntegrityError

from node.domain.audit import AuditAction
from node.domain.identifiers import JobId
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import ObjectKind, ReportObject
from node.errors import Retryable
from node.store.folder_blobs import FolderBlobs
from node.store.jobs import Claim, EndedStep
from tests.factories import SERIES, event, received_contour, report_object, step_record
from tests.unit.node.store.conftest import Store

OBJECTS = (
    report_object("b", ObjectKind.STRUCTURED_REPORT),
    report_object("a", ObjectKind.SUMMARY),
)


def commit(store: Store, claim: Claim, *destinations: str, objects: tuple[ReportObject, ...] = OBJECTS) -> bool:
    """Commit ``objects`` for a claim."""
    told = event(AuditAction.COMPOSED, job_id=claim.job_id)
    return store.results.commit(
        claim, objects, predictor="porcelain", destinations=destinations, steps=[EndedStep(step_record(), (told,))]
    )


def test_everything_of_a_result_becomes_true_together(store: Store) -> None:
    """Objects with their bytes, one delivery an object and destination, the step, the state and the event."""
    claim = store.claimed()
    assert commit(store, claim, "north", "south")
    record = store.jobs.job(claim.job_id)
    assert record is not None
    assert (record.state.value, record.predictor, record.step) == ("delivering", "porcelain", "")
    assert record.finished_at is not None
    assert [one.path.read_bytes() for one in store.results.of(claim.job_id)] == [b"bytes of a", b"bytes of b"]
    assert {(uid, name) for uid, name, _, _ in store.outbox.of(claim.job_id)} == {
        (made.uid, name) for made in OBJECTS for name in ("north", "south")
    }
    assert store.outbox.counts()[DeliveryState.PENDING] == 4
    assert store.jobs.steps(claim.job_id)[-1].step.value == "compose"
    assert store.audit.events(job_id=claim.job_id)[-1].action is AuditAction.COMPOSED


def test_an_archive_is_not_sent_what_it_does_not_store(store: Store) -> None:
    """A kind that a destination goes without is still made, and still sent to the others."""
    claim = store.claimed()
    told = event(AuditAction.COMPOSED, job_id=claim.job_id)
    without = {"north": {ObjectKind.SUMMARY}}
    assert store.results.commit(
        claim,
        OBJECTS,
        predictor="p",
        destinations=("north", "south"),
        steps=[EndedStep(step_record(), (told,))],
        without=without,
    )
    report, summary = OBJECTS
    sent = {(uid, name) for uid, name, _, _ in store.outbox.of(claim.job_id)}
    assert sent == {(report.uid, "north"), (report.uid, "south"), (summary.uid, "south")}
    assert len(store.results.of(claim.job_id)) == 2


def test_objects_are_listed_as_a_viewer_should(store: Store) -> None:
    """The summary first, each with its numbers and units."""
    claim = store.claimed()
    commit(store, claim)
    found = store.results.of(claim.job_id)
    assert [one.kind for one in found] == [ObjectKind.SUMMARY, ObjectKind.STRUCTURED_REPORT]
    made = OBJECTS[1]
    assert (found[0].uid, found[0].sop_class_uid, found[0].series_uid) == (
        made.uid, made.sop_class_uid, made.series_uid,
    )  # fmt: skip
    assert (found[0].series_description, found[0].numbers) == (made.series_description, made.numbers)


@pytest.mark.parametrize("objects", [OBJECTS, ()], ids=["silent", "nothing made"])
def test_without_anything_to_deliver_the_job_is_done(store: Store, objects: tuple[ReportObject, ...]) -> None:
    """In silent mode results are recorded and the outbox stays empty."""
    claim = store.claimed()
    destinations = () if objects else ("pacs",)
    assert commit(store, claim, *destinations, objects=objects)
    assert store.state(claim) == "done"
    assert len(store.results.of(claim.job_id)) == len(objects)
    assert store.outbox.of(claim.job_id) == ()


def test_a_commit_that_fails_half_way_leaves_nothing(store: Store) -> None:
    """An object that cannot be inserted takes state, step and outbox back with it."""
    claim = store.claimed()
    twice = report_object("a", ObjectKind.SUMMARY)
    with pytest.raises(IntegrityError):
        commit(store, claim, "pacs", objects=(twice, twice))
    assert store.state(claim) == "running"
    assert [store.count(table) for table in ("results", "outbox", "job_steps")] == [0, 0, 0]
    assert commit(store, claim, "pacs")


def test_a_job_is_committed_once(store: Store) -> None:
    """A second commit with the same claim writes nothing."""
    claim = store.claimed()
    assert commit(store, claim, "pacs")
    before = store.count("audit")
    assert not commit(store, claim, "pacs", objects=(report_object("c"),))
    assert (store.count("results"), store.count("audit")) == (2, before)


@pytest.mark.parametrize("state", ["collecting", "waiting", "quarantined", "superseded"])
def test_a_job_that_has_moved_on_takes_no_result(store: Store, state: str) -> None:
    """Whatever moved it, the result is discarded in the database's own words."""
    claim = store.claimed()
    store.change("UPDATE jobs SET state = :state", state=state)
    before = store.count("audit")
    assert not commit(store, claim, "pacs")
    assert store.state(claim) == state
    assert [store.count(table) for table in ("results", "outbox", "job_steps", "audit")] == [0, 0, 0, before]


def test_a_new_version_keeps_back_what_was_not_sent(store: Store) -> None:
    """Pending and failed objects of the old version are withdrawn; what is stored stays told as stored."""
    old = store.claimed()
    commit(store, old, "north", "south", "west")
    for name, state in (("south", "stored"), ("west", "failed")):
        store.change("UPDATE outbox SET state = :state WHERE destination = :name", name=name, state=state)
    store.receive_late()
    store.complete()
    new = store.claim()
    assert new.supersedes == old.job_id
    assert commit(store, new, "north", objects=(report_object("c"),))
    assert store.state(old) == "superseded"
    states = {(name, state.value) for _, name, state, _ in store.outbox.of(old.job_id)}
    assert states == {("north", "withdrawn"), ("south", "stored"), ("west", "withdrawn")}
    told = store.audit.events(job_id=old.job_id)[-1]
    assert (told.action, told.details) == (AuditAction.JOB_SUPERSEDED, {"by": new.job_id})
    assert [one.job_id for one in store.outbox.lease("d")] == [new.job_id]


def test_what_a_person_retracted_stays_retracted(store: Store) -> None:
    """A new version does not hide that its predecessor was withdrawn."""
    old = store.claimed()
    commit(store, old)
    store.change("UPDATE jobs SET state = 'retracted'")
    store.receive_late()
    store.complete()
    commit(store, store.claim(), objects=(report_object("c"),))
    assert store.state(old) == "retracted"


def test_a_full_disk_may_be_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for results is the surroundings' fault, not the series': the claim holds."""
    claim = store.claimed()
    monkeypatch.setattr(FolderBlobs, "free_bytes", lambda _: -1)
    with pytest.raises(Retryable, match="DISK_FULL"):
        commit(store, claim, "pacs")
    assert store.state(claim) == "running"


def test_a_disk_that_fails_may_be_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is an input/output error."""
    claim = store.claimed()

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(Retryable, match="Input/output error"):
            commit(store, claim, "pacs")
    assert store.count("results") == 0


def test_a_job_without_results_has_none(store: Store) -> None:
    """An empty answer, not an error."""
    assert store.results.of(JobId.of(SERIES, 1)) == ()


def test_a_contour_that_came_meanwhile_has_the_job_run_again(store: Store) -> None:
    """What was computed without it, or with it against its manifest, is not committed; the next claim knows it."""
    claim = store.claimed()
    store.inbox.accept(received_contour(claim.series_uid))
    assert not commit(store, claim, "north")
    assert store.state(claim) == "waiting"
    assert store.count("results") == 0
    assert store.audit.events(job_id=claim.job_id)[-1].action is AuditAction.SERIES_REOPENED
    again = store.claim()
    assert (again.job_id, again.manifest != claim.manifest) == (claim.job_id, True)
    assert commit(store, again, "north")


def test_the_results_of_another_series_are_superseded_with_it(store: Store) -> None:
    """In the same transaction; what of them was not sent yet is kept back, and jobs without results stay."""
    worse, better = store.claimed(series="2.25.8001"), store.claimed(series="2.25.8002")
    refused = store.claimed(series="2.25.8003")
    assert commit(store, worse, "north", objects=(report_object("worse"),))
    reason = Reason(ReasonCode.NOT_CT)
    assert store.jobs.finish(refused, JobState.NOT_ANALYSED, reason, event())
    told = event(AuditAction.COMPOSED, job_id=better.job_id)
    assert store.results.commit(
        better,
        OBJECTS,
        predictor="p",
        destinations=("north",),
        steps=[EndedStep(step_record(), (told,))],
        replaces=(worse.job_id, refused.job_id),
    )
    assert [store.state(one) for one in (worse, better, refused)] == ["superseded", "delivering", "not-analysed"]
    assert [state for _, _, state, _ in store.outbox.of(worse.job_id)] == [DeliveryState.WITHDRAWN]
    last = store.audit.events(job_id=worse.job_id)[-1]
    assert (last.action, last.series_uid, last.details) == (
        AuditAction.JOB_SUPERSEDED, "2.25.8001", {"by": better.job_id}
    )  # fmt: skip


def test_a_retraction_takes_back_what_a_better_series_replaced(store: Store) -> None:
    """With the newest result gone, the one of the worse series would be taken for it."""
    worse, better = store.claimed(series="2.25.8001"), store.claimed(series="2.25.8002")
    assert commit(store, worse, "north", objects=(report_object("worse"),))
    store.change("UPDATE outbox SET state = 'stored', attempts = 1")
    told = event(AuditAction.COMPOSED, job_id=better.job_id)
    commits = {"predictor": "p", "destinations": ("north",), "steps": [EndedStep(step_record(), (told,))]}
    assert store.results.commit(better, OBJECTS, replaces=(worse.job_id,), **commits)
    store.change("UPDATE outbox SET state = 'stored', attempts = 1 WHERE state = 'pending'")
    withdrawal = store.results.withdrawal(better.job_id)
    assert withdrawal.job_ids == (better.job_id, worse.job_id)
    assert {one.uid for one in withdrawal.objects} == {one.uid for one in (*OBJECTS, report_object("worse"))}
