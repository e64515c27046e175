"""The inbox: what it says is durable, and what an arrival does to the job of its series."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pydicom.uid import JPEGLSLossless
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, ProgrammingError

from node.domain.audit import AuditAction, AuditOutcome
from node.domain.identifiers import InstanceUID, JobId, SeriesUID, StudyUID
from node.domain.imaging import PatientIdentity
from node.domain.intake import IntakeVerdict
from node.domain.lifecycle import JobState
from node.domain.reasons import Reason, ReasonCode
from node.errors import RefusedAtDoor, Retryable
from node.store.folder_blobs import FolderBlobs
from node.store.group_commit import GroupCommit
from node.store.inbox import _NEEDS_PRUNED
from node.store.jobs import EndedStep
from tests.factories import (
    CONTOURS,
    PATIENT,
    SERIES,
    STUDY,
    ct_slice,
    ct_slices,
    event,
    instance,
    received,
    received_contour,
    report_object,
    step_record,
)
from tests.unit.node.store.conftest import Store

FIRST = JobId.of(SERIES, 1)
SECOND = JobId.of(SERIES, 2)


def actions(store: Store) -> list[AuditAction]:
    """What the audit trail tells, in order."""
    return [one.action for one in store.audit.events()]


def commit(store: Store, name: str = "a", *destinations: str) -> None:
    """Claim the next job and commit one object for it."""
    claim = store.claim()
    made = [report_object(name)]
    assert store.results.commit(
        claim,
        made,
        predictor="p",
        destinations=destinations,
        steps=[EndedStep(step_record(), (event(job_id=claim.job_id),))],
    )


def test_a_stored_instance_opens_the_job_of_its_series(store: Store) -> None:
    """The first instance opens version 1, collecting, and the trail tells of it."""
    assert store.inbox.accept(received(ct_slice())) is IntakeVerdict.STORED
    (job,) = store.jobs.jobs()
    assert (job.job_id, job.state, job.version) == (FIRST, JobState.COLLECTING, 1)
    assert (job.study_uid, job.patient_id, job.modality) == (STUDY, "PAT-1", "CT")
    (told,) = store.audit.events()
    assert (told.action, told.outcome, told.actor) == (
        AuditAction.INSTANCE_RECEIVED, AuditOutcome.SUCCESS, "peer PACS",
    )  # fmt: skip
    assert told.instance_uid == ct_slice().SOPInstanceUID


def test_what_is_stored_comes_back_as_it_was(store: Store) -> None:
    """The series has every header value that decisions rest on, and the path of the very bytes."""
    came = received(ct_slice())
    store.inbox.accept(came)
    found = store.inbox.series(SERIES)
    (one,) = found.instances
    assert one == replace(came.instance, path=one.path)
    assert one.path is not None
    assert one.path.read_bytes() == came.content
    assert (found.uid, found.study_uid, found.patient, found.modality) == (SERIES, STUDY, PATIENT, "CT")


def test_a_second_instance_joins_the_same_job(store: Store) -> None:
    """A series has one job, however many instances it has."""
    store.receive(3)
    assert [job.job_id for job in store.jobs.jobs()] == [FIRST]
    assert len(store.inbox.series(SERIES).instances) == 3


def test_the_same_object_again_changes_nothing(store: Store) -> None:
    """A duplicate is acknowledged; no row, no event, no new version."""
    store.receive(1)
    store.complete()
    assert store.inbox.accept(received(ct_slice())) is IntakeVerdict.DUPLICATE
    assert store.job_state(FIRST) == "waiting"
    assert store.count("instances") == 1
    assert actions(store).count(AuditAction.INSTANCE_RECEIVED) == 1


def test_the_same_object_in_another_transfer_syntax_is_a_duplicate(store: Store) -> None:
    """An archive may compress what it holds; without loss it is the same object, and the first bytes are kept."""
    image = ct_slice(rows=32, columns=32)
    first = received(image)
    store.inbox.accept(first)
    packed = ct_slice(rows=32, columns=32)
    packed.compress(JPEGLSLossless, generate_instance_uid=False)
    again = received(packed)
    assert again.content != first.content
    assert store.inbox.accept(again) is IntakeVerdict.DUPLICATE
    (kept,) = store.inbox.series(SERIES).instances
    assert kept.path is not None
    assert kept.path.read_bytes() == first.content


def test_another_object_with_the_same_uid_is_set_aside(store: Store) -> None:
    """The first stays, the second is kept beside it for a person, and the trail tells of a refusal."""
    first, other = received(ct_slice()), received(ct_slice(PatientID="PAT-2"))
    store.inbox.accept(first)
    assert store.inbox.accept(other) is IntakeVerdict.CONFLICT
    (kept,) = store.inbox.series(SERIES).instances
    assert kept.patient == PATIENT
    assert store.count("set_aside") == 1
    told = store.audit.events()[-1]
    assert (told.action, told.outcome, told.reason) == (
        AuditAction.INSTANCE_CONFLICT, AuditOutcome.REFUSED, ReasonCode.CONTENT_CONFLICT,
    )  # fmt: skip
    assert store.blobs.put(other.content).path.exists()


def test_our_own_result_that_comes_back_is_acknowledged_and_not_analysed(store: Store) -> None:
    """An archive that routes everything sends our results back: no instance, no job."""
    store.receive()
    store.complete()
    commit(store)
    own = ct_slice(series="2.25.7999", SOPInstanceUID=report_object("a").uid)
    assert store.inbox.accept(received(own)) is IntakeVerdict.OWN_RESULT
    assert not store.inbox.holds(SeriesUID("2.25.7999"))
    assert len(store.jobs.jobs()) == 1
    assert store.audit.events()[-1].reason is ReasonCode.OWN_RESULT


def test_a_full_disk_leaves_no_trace_in_the_database(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blob comes first: without it there is no instance, series or job."""
    monkeypatch.setattr(FolderBlobs, "free_bytes", lambda _: -1)
    with pytest.raises(RefusedAtDoor, match="DISK_FULL"):
        store.inbox.accept(received(ct_slice()))
    assert [store.count(table) for table in ("instances", "series", "jobs", "audit")] == [0, 0, 0, 0]


def test_everything_of_an_arrival_is_one_transaction(store: Store) -> None:
    """When the trail cannot be written, the instance is not stored either."""
    store.change("ALTER TABLE audit RENAME TO elsewhere")
    with pytest.raises((Retryable, ProgrammingError)):
        store.inbox.accept(received(ct_slice()))
    assert [store.count(table) for table in ("instances", "series", "jobs")] == [0, 0, 0]


@pytest.mark.parametrize(
    "other",
    [
        {"PatientID": "PAT-2"},
        {"IssuerOfPatientID": "ELSEWHERE"},
        {"StudyInstanceUID": "2.25.7009"},
    ],
    ids=["patient", "issuer", "study"],
)
def test_a_series_of_two_patients_or_studies_is_marked(store: Store, other: dict[str, str]) -> None:
    """The mark stays whatever comes later."""
    store.receive(2)
    assert store.inbox.obstacle(SERIES) is None
    store.inbox.accept(received(ct_slice(7, **other)))
    assert store.inbox.obstacle(SERIES) is ReasonCode.PATIENT_CONFLICT
    store.receive_late()
    assert store.inbox.obstacle(SERIES) is ReasonCode.PATIENT_CONFLICT


def test_spaces_around_a_patient_id_do_not_make_another_patient(store: Store) -> None:
    """Padding is insignificant."""
    store.receive(1)
    odd = received(ct_slice(7))
    odd = replace(odd, instance=replace(odd.instance, patient=PatientIdentity(" PAT-1 ", "HOSPITAL")))
    store.inbox.accept(odd)
    assert store.inbox.obstacle(SERIES) is None


def test_a_modality_that_no_standard_allows_is_stored_all_the_same(store: Store) -> None:
    """A value longer than its column must not shut the door."""
    long = received(ct_slice())
    long = replace(long, instance=replace(long.instance, modality="COMPUTED TOMOGRAPHY"))
    assert store.inbox.accept(long) is IntakeVerdict.STORED
    assert store.inbox.series(SERIES).modality == "COMPUTED TOMOGRAPHY"


@pytest.mark.parametrize("claimed", [False, True], ids=["waiting", "running"])
def test_a_late_instance_takes_the_job_back(store: Store, claimed: bool) -> None:
    """While nothing is committed the same version collects on, with a new token."""
    store.receive()
    store.complete()
    old = store.claim() if claimed else None
    store.receive_late()
    assert [job.state for job in store.jobs.jobs()] == [JobState.COLLECTING]
    assert actions(store)[-1] is AuditAction.SERIES_REOPENED
    store.complete()
    new = store.claim()
    assert new.job_id == FIRST
    assert old is None or (new.token > old.token and new.manifest != old.manifest)


def test_a_claim_that_was_taken_back_commits_nothing(store: Store) -> None:
    """The result of the incomplete series is discarded, whichever state the job is in by then."""
    old = store.claimed()
    store.receive_late()
    late = {"predictor": "p", "destinations": ["pacs"], "steps": [EndedStep(step_record(), (event(),))]}
    assert not store.results.commit(old, [report_object()], **late)
    store.complete()
    assert not store.results.commit(old, [report_object()], **late)
    store.claim()
    assert not store.results.commit(old, [report_object()], **late)
    assert [store.count(table) for table in ("results", "outbox", "job_steps")] == [0, 0, 0]


@pytest.mark.parametrize("verdict", [JobState.DONE, JobState.NOT_ANALYSED, JobState.QUARANTINED])
def test_a_late_instance_after_a_verdict_opens_the_next_version(store: Store, verdict: JobState) -> None:
    """The verdict stands until the new version has its own."""
    claim = store.claimed()
    reason = None if verdict is JobState.DONE else Reason(ReasonCode.ROI_NOT_FOUND)
    store.jobs.finish(claim, verdict, reason, event())
    store.receive_late()
    second = store.jobs.job(SECOND)
    assert second is not None
    assert (second.state, second.version, second.supersedes) == (JobState.COLLECTING, 2, FIRST)
    assert store.job_state(FIRST) == verdict.value
    reopened = store.audit.events()[-1]
    assert (reopened.action, reopened.job_id) == (AuditAction.SERIES_REOPENED, SECOND)


def test_the_next_version_supersedes_its_predecessor_when_it_has_results(store: Store) -> None:
    """There are never two valid results of one series."""
    store.receive()
    store.complete()
    commit(store, "a", "pacs")
    store.receive_late()
    store.complete()
    assert store.job_state(FIRST) == "delivering"
    commit(store, "b", "pacs")
    assert (store.job_state(FIRST), store.job_state(SECOND)) == ("superseded", "delivering")


def test_contours_are_found_by_the_series_that_they_reference(store: Store) -> None:
    """In the order in which they came, also when the series came after them."""
    one, two = received_contour(SERIES, index=1), received_contour(SeriesUID("2.25.1"), SERIES, SERIES, index=2)
    for contour in (one, two):
        store.inbox.accept(contour)
    store.receive()
    found = store.inbox.annotations(SERIES)
    assert [contour.uid for contour in found] == [one.instance.uid, two.instance.uid]
    assert found[1].references == two.instance.references
    assert [contour.uid for contour in store.inbox.annotations(SeriesUID("2.25.1"))] == [two.instance.uid]


def orphaned(store: Store) -> JobId:
    """A contour whose job ended because its series is not here."""
    store.inbox.accept(received_contour(SERIES))
    store.complete(CONTOURS)
    claim = store.claim()
    store.jobs.finish(claim, JobState.NOT_ANALYSED, Reason(ReasonCode.ANNOTATION_ORPHAN), event())
    return claim.job_id


def test_an_orphan_contour_is_looked_at_again_when_its_series_arrives(store: Store) -> None:
    """The job waits again, without its old reason, and the trail says why."""
    contour = orphaned(store)
    store.receive(1)
    record = store.jobs.job(contour)
    assert record is not None
    assert (record.state, record.reason, record.detail) == (JobState.WAITING, "", "")
    told = [one for one in store.audit.events(job_id=contour) if one.action is AuditAction.SERIES_REOPENED]
    assert len(told) == 1


def test_an_orphan_contour_is_left_alone_by_other_series(store: Store) -> None:
    """Only the series that it references wakes it."""
    contour = orphaned(store)
    store.receive(1, series="2.25.8000")
    assert store.job_state(contour) == "not-analysed"


def test_a_contour_that_was_refused_for_another_reason_stays_so(store: Store) -> None:
    """The series' arrival mends nothing but its absence."""
    store.inbox.accept(received_contour(SERIES))
    store.complete(CONTOURS)
    claim = store.claim()
    store.jobs.finish(claim, JobState.NOT_ANALYSED, Reason(ReasonCode.ANNOTATION_UNREADABLE), event())
    store.receive(1)
    assert store.state(claim) == "not-analysed"


def test_a_contour_that_is_being_looked_at_asks_again_when_its_series_arrives(store: Store) -> None:
    """The worker may have looked for the series a moment too early: its verdict no longer counts."""
    store.inbox.accept(received_contour(SERIES))
    store.complete(CONTOURS)
    claim = store.claim()
    store.receive(1)
    orphan = Reason(ReasonCode.ANNOTATION_ORPHAN)
    assert not store.jobs.finish(claim, JobState.NOT_ANALYSED, orphan, event())
    assert store.state(claim) == "waiting"


def test_collecting_series_are_listed_with_what_is_here_of_them(store: Store) -> None:
    """What a listener must watch when it starts."""
    store.receive(2)
    store.receive(3, series="2.25.8000")
    store.complete("2.25.8000")
    (found,) = store.inbox.collecting()
    assert (found.uid, len(found.instances)) == (SERIES, 2)


def test_a_database_that_is_gone_is_never_a_success(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An arrival that cannot be committed raises; it is not acknowledged."""

    def collide(*_: object) -> None:
        raise IntegrityError("insert", {}, Exception("unique"))

    monkeypatch.setattr(GroupCommit, "run", collide)
    with pytest.raises(Retryable):
        store.inbox.accept(received(ct_slice()))
    assert store.count("instances") == 0


def test_associations_that_send_one_series_at_once_all_succeed(store: Store) -> None:
    """Eight associations with parts of one new series: each instance stored once, one job."""
    slices = [received(dataset) for dataset in ct_slices(24)]
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(store.inbox.accept, slices))
    assert set(verdicts) == {IntakeVerdict.STORED}
    assert len(store.inbox.series(SERIES).instances) == 24
    assert len(store.jobs.jobs()) == 1


def test_associations_that_send_one_object_at_once_store_it_once(store: Store) -> None:
    """Of eight arrivals of the same object one is stored, the others are duplicates."""
    one = received(ct_slice())
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(store.inbox.accept, [one] * 8))
    assert sorted(verdicts) == sorted([IntakeVerdict.STORED] + [IntakeVerdict.DUPLICATE] * 7)
    assert store.count("instances") == 1


def test_no_slice_is_lost_between_completion_claim_and_commit(store: Store) -> None:
    """However arrivals and analyses interleave, the last verdict is about every slice, and each version has one."""
    slices = [received(dataset) for dataset in ct_slices(24)]
    with ThreadPoolExecutor(5) as pool:
        arrivals = [pool.submit(store.inbox.accept, one) for one in slices]
        while not all(arrival.done() for arrival in arrivals):
            analyse(store)
        assert {arrival.result() for arrival in arrivals} == {IntakeVerdict.STORED}
    analyse(store)
    *older, newest = sorted(store.jobs.jobs(), key=lambda job: job.version)
    assert newest.state is JobState.DONE
    assert [job.state for job in older] == [JobState.SUPERSEDED] * (newest.version - 1)
    assert all(len(store.results.of(job.job_id)) == 1 for job in store.jobs.jobs())
    (made,) = store.results.of(newest.job_id)
    everything = tuple(sorted(one.instance.uid for one in slices))
    assert made.uid == InstanceUID.derived("result", f"{newest.job_id} {everything}")


def analyse(store: Store) -> None:
    """Complete the series, claim it and commit one object that says which slices it was made from."""
    if not store.inbox.holds(SERIES) or not store.complete():
        return
    claim = store.jobs.claim("worker")
    if claim is None:
        return
    seen = tuple(sorted(one.uid for one in store.inbox.series(SERIES).instances))
    made = report_object(f"{claim.job_id} {seen}")
    store.results.commit(claim, [made], predictor="p", destinations=(), steps=[EndedStep(step_record(), (event(),))])


def test_an_instance_without_numbers_comes_back_without_numbers(store: Store) -> None:
    """What a header does not say stays unsaid."""
    bare = ct_slice(ImagePositionPatient=None, PixelSpacing=None, FrameOfReferenceUID=None)
    store.inbox.accept(received(bare))
    (found,) = store.inbox.series(SERIES).instances
    assert found == instance(bare, path=found.path)
    assert (found.image_position_mm, found.pixel_spacing_mm, found.frame_of_reference_uid) == (None, None, "")
    assert found.study_uid == StudyUID(STUDY)


def test_what_was_pruned_is_found_by_an_index(store: Store) -> None:
    """Of the images that the node has ever seen, those of the series alone are read."""
    plan = store.plan_of(select(_NEEDS_PRUNED).params(uid=SERIES))
    assert "instances" in plan
    assert "SCAN instances" not in plan
    assert "Seq Scan" not in plan
