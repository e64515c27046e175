"""A person withdraws results."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.destinations.oru import MessageWriter
from node.domain.audit import AuditAction
from node.domain.identifiers import JobId
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.reporting import DeliveryOutcome, ObjectKind, ReportObject
from node.errors import UsageError
from node.reports.sr import StructuredReportWriter
from node.retraction import retract
from node.settings import Settings
from node.store.jobs import EndedStep
from node.store.session import Database
from node.stores import Stores
from tests.factories import event, received, report_object, step_record
from tests.unit.node.reports.factory import build_report, gtrnet

SERIES = "2.25.1002"


class Site:
    """A store with one series that has results."""

    def __init__(self, folder: Path, **more: Any) -> None:
        """Receive the series and commit a first version of its results."""
        archive = {"ae_title": "A", "host": "h", "port": 1}
        self.settings = Settings(data_dir=folder / "data", pacs={"archive": archive}, **more)
        Database(self.settings.url).upgrade()
        self.stores = Stores.open(self.settings)
        (folder / "ct").mkdir()
        self.report = build_report(folder / "ct", gtrnet())
        for one in self.report.series.instances:
            assert one.path is not None
            self.stores.inbox.accept(received(dcmread(one.path)))
        assert self.stores.jobs.complete(self.report.series.uid, "test", len(self.report.series.instances))

    def commit(self, version: int = 1) -> JobId:
        """Commit the results of the claimed version."""
        claim = self.stores.jobs.claim("worker")
        assert claim is not None
        report = replace(self.report, version=version, job_id=claim.job_id)
        objects: tuple[ReportObject, ...] = (
            *StructuredReportWriter().write(report), report_object(claim.job_id), *MessageWriter().write(report)
        )  # fmt: skip
        assert self.stores.results.commit(
            claim,
            objects,
            predictor="gtrnet",
            destinations=tuple(self.settings.kinds_without),
            steps=[EndedStep(step_record(), (event(),))],
            without=self.settings.kinds_without,
        )
        return claim.job_id

    def deliver(self, state: DeliveryState = DeliveryState.STORED) -> list[str]:
        """Send everything that is due; what was sent."""
        sent = []
        while due := self.stores.outbox.lease("deliverer"):
            self.stores.outbox.record("deliverer", due, [DeliveryOutcome(one.object_uid, state, "") for one in due])
            sent += [one.object_uid for one in due]
        return sent

    def state(self, job: str) -> JobState:
        """Of a job."""
        found = self.stores.jobs.job(job)
        assert found is not None
        return found.state


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A fresh one."""
    return Site(tmp_path)


def test_a_delivered_result_is_withdrawn_where_it_was_delivered(site: Site) -> None:
    """A rejection note of everything that went out and a notice go the same way; the job ends as retracted."""
    job = site.commit()
    sent = set(site.deliver())
    retract(site.stores, site.settings, job, reason="Wrong contour", by="Dr Who")
    assert site.state(job) is JobState.RETRACTED
    made = {record.kind: record for record in site.stores.results.of(job)}
    note = dcmread(made[ObjectKind.REJECTION_NOTE].path)
    rejected = {
        one.ReferencedSOPInstanceUID
        for series in note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert rejected == sent
    assert note.PatientID == "PAT-7"
    kinds = (ObjectKind.NOTICE, ObjectKind.NOTICE_REPORT, ObjectKind.REJECTION_NOTE)
    assert set(site.deliver()) == {made[kind].uid for kind in kinds}
    assert site.state(job) is JobState.RETRACTED


def test_who_and_why_are_on_the_audit_trail(site: Site) -> None:
    """The record names the person; the objects do not."""
    job = site.commit()
    site.deliver()
    retract(site.stores, site.settings, job, reason="Wrong contour", by="Dr Who")
    told = [one for one in site.stores.audit.events(job_id=job) if one.action is AuditAction.JOB_RETRACTED]
    assert [(one.actor, one.details["by"], one.details["why"]) for one in told] == [
        ("Dr Who", "Dr Who", "Wrong contour")
    ]
    for record in site.stores.results.of(job):
        if record.kind is not ObjectKind.SUMMARY:
            assert b"Dr Who" not in record.path.read_bytes()


def test_without_a_name_it_is_the_user_of_the_system(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody always did it."""
    monkeypatch.setenv("LOGNAME", "pacsadmin")
    job = site.commit()
    site.deliver()
    retract(site.stores, site.settings, job, reason="Wrong contour")
    assert site.stores.audit.events(job_id=job)[-1].actor == "pacsadmin"


def test_what_was_never_sent_is_only_kept_back(site: Site) -> None:
    """Nothing has to be rejected that no archive has."""
    job = site.commit()
    done = retract(site.stores, site.settings, job, reason="Wrong contour", by="x")
    assert done.objects == ()
    assert site.state(job) is JobState.RETRACTED
    assert site.deliver() == []
    assert {state for _, _, state, _ in site.stores.outbox.of(job)} == {DeliveryState.WITHDRAWN}


def test_what_is_on_its_way_counts_as_sent_and_is_not_tried_again(site: Site) -> None:
    """An answer that never came may have been a success: the object is rejected, and not sent once more."""
    job = site.commit()
    on_the_way = site.stores.outbox.lease("deliverer")
    done = retract(site.stores, site.settings, job, reason="Wrong contour", by="x")
    assert {one.uid for one in done.objects} == {one.object_uid for one in on_the_way}
    outcomes = [DeliveryOutcome(one.object_uid, DeliveryState.PENDING, "no answer") for one in on_the_way]
    site.stores.outbox.record("deliverer", on_the_way, outcomes)
    assert not set(site.deliver()) & {one.object_uid for one in on_the_way}


def test_the_versions_that_were_replaced_go_too(site: Site) -> None:
    """With the newest result gone, an older one beside the images would be taken for it."""
    first = site.commit()
    site.deliver()
    extra = dcmread(site.report.series.instances[0].path)
    extra.SOPInstanceUID = "2.25.999"
    extra.file_meta.MediaStorageSOPInstanceUID = "2.25.999"
    extra.ImagePositionPatient[2] -= 3
    site.stores.inbox.accept(received(extra))
    assert site.stores.jobs.complete(site.report.series.uid, "test", 7)
    second = site.commit(2)
    site.deliver()
    assert site.state(first) is JobState.SUPERSEDED
    done = retract(site.stores, site.settings, second, reason="Wrong patient position", by="x")
    assert done.job_ids == (second, first)
    assert len(done.objects) == 4
    assert site.state(first) is site.state(second) is JobState.RETRACTED


def test_an_archive_that_takes_no_rejection_notes_gets_the_notice_alone(site: Site, tmp_path: Path) -> None:
    """``without`` holds for what a retraction sends."""
    job = site.commit()
    site.deliver()
    archive = {"ae_title": "A", "host": "h", "port": 1, "without": ["rejection-note"]}
    settings = Settings(data_dir=tmp_path / "data", pacs={"archive": archive})
    retract(site.stores, settings, job, reason="Wrong contour", by="x")
    assert len(site.deliver()) == 2


def test_a_job_is_withdrawn_once_and_only_with_a_reason(site: Site) -> None:
    """One line says what is wrong with the command."""
    with pytest.raises(UsageError, match="there is no job"):
        retract(site.stores, site.settings, "nothing", reason="x", by="x")
    job = JobId.of(site.report.series.uid, 1)
    with pytest.raises(UsageError, match="is waiting: there is no result"):
        retract(site.stores, site.settings, job, reason="x", by="x")
    site.commit()
    with pytest.raises(UsageError, match="--reason: say why"):
        retract(site.stores, site.settings, job, reason=" \x00 ", by="x")
    with pytest.raises(UsageError, match="at most 400"):
        retract(site.stores, site.settings, job, reason="x" * 401, by="x")
    site.deliver()
    retract(site.stores, site.settings, job, reason="x", by="x")
    with pytest.raises(UsageError, match="is retracted"):
        retract(site.stores, site.settings, job, reason="x", by="x")


def test_a_rejection_note_that_failed_can_be_sent_again(site: Site) -> None:
    """Retry on a retracted job sends what failed, and nothing else."""
    job = site.commit()
    site.deliver()
    retract(site.stores, site.settings, job, reason="Wrong contour", by="x")
    failed = site.deliver(DeliveryState.FAILED)
    site.stores.jobs.retry(job)
    assert set(site.deliver()) == set(failed)
    assert len(failed) == 3


def test_a_message_is_taken_back_by_a_message(tmp_path: Path) -> None:
    """The feed gets one more message and no objects; the archive's rejection note names no message."""
    site = Site(tmp_path, feed={"ris": {"host": "h", "port": 2}})
    job = site.commit()
    sent = set(site.deliver())
    assert len(sent) == 3
    done = retract(site.stores, site.settings, job, reason="Wrong contour", by="x")
    assert (len(done.objects), len(done.messages), done.destinations) == (2, 1, ("archive", "ris"))
    site.deliver()
    made = {record.uid: record for record in site.stores.results.of(job)}
    went = {(made[uid].kind, name) for uid, name, _, _ in site.stores.outbox.of(job) if uid not in sent}
    assert went == {
        (ObjectKind.NOTICE, "archive"), (ObjectKind.NOTICE_REPORT, "archive"), (ObjectKind.REJECTION_NOTE, "archive"),
        (ObjectKind.MESSAGE_WITHDRAWN, "ris"),
    }  # fmt: skip
    (back,) = (record for record in made.values() if record.kind is ObjectKind.MESSAGE_WITHDRAWN)
    assert b"Wrong contour" in back.path.read_bytes()


def test_nobody_waits_for_an_archive_to_commit_to_what_is_withdrawn(site: Site) -> None:
    """What is stored stays stored, whatever the archive reports or does not."""
    job = site.commit()
    while due := site.stores.outbox.lease("d"):
        outcomes = [DeliveryOutcome(one.object_uid, DeliveryState.STORED, "") for one in due]
        site.stores.outbox.record("d", due, outcomes, awaits_commitment=True)
    assert site.stores.commitments.begin("d", "archive", timedelta(hours=1)) is not None
    retract(site.stores, site.settings, job, reason="Wrong contour", by="x")
    states = [state for _, _, state, _ in site.stores.outbox.of(job)]
    assert states == [DeliveryState.STORED] * 2 + [DeliveryState.PENDING] * 3
    assert site.stores.commitments.begin("d", "archive", timedelta(0)) is None


def test_what_is_held_is_never_sent_after_a_withdrawal(site: Site) -> None:
    """The archive had another identity: it has none of it, and gets none of it."""
    job = site.commit()
    site.deliver(DeliveryState.HELD)
    retract(site.stores, site.settings, job, reason="Wrong contour", by="x")
    assert [state for _, _, state, _ in site.stores.outbox.of(job)][:2] == [DeliveryState.WITHDRAWN] * 2
