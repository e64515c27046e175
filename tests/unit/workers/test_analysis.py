"""One analysis over a real store, with stand-ins for the ports: every end it can come to, and what it leaves behind."""

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog.testing
from pydantic import SecretStr
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless
from sqlalchemy import text

from node import log
from node.clinical.entered import entered
from node.clinical.stored import StoredSource
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.clinical import ClinicalVariable, HeldValue, ValueReason
from node.domain.clinical_intake import Intake
from node.domain.coding import Anatomy
from node.domain.identifiers import JobId, SeriesUID
from node.domain.imaging import Volume
from node.domain.lifecycle import DeliveryState, JobState, Queue, Step
from node.domain.parts import Part
from node.domain.phase import Phase
from node.domain.ports import NoticeObjectWriter
from node.domain.reasons import ReasonCode
from node.domain.reporting import Notice, ObjectKind, ReportObject
from node.errors import Fatal, NoRoom, Quarantined, Refused, Retryable, UsageError
from node.reports.registry import NOTICE_WRITERS, resolve_notice
from node.settings import ClinicalSettings, Mode, RuleSettings, Settings
from node.store import session
from node.store.jobs import STRIKES, Claim, JobRecord
from node.store.session import Database
from node.stores import Stores
from tests.factories import (
    CONTOURS,
    DOCUMENTS,
    SERIES,
    STUDY,
    ct_slice,
    ct_slices,
    received,
    structure_set,
    verdict_document,
    vital_signs,
    with_meta,
)
from tests.fakes import (
    DIGEST,
    HERE,
    FakeDestination,
    FakePredictor,
    FakeSegmenter,
    FakeSource,
    FakeWriter,
    nothing,
    raising,
)
from workers.analysis import Analysis
from workers.bootstrap import Workshop
from workers.progress import Progress, Untold

QUOTED = "xyzzy^Anna"
"""What an error message quotes, and nobody may see."""
NOTICES = tuple(resolve_notice(name) for name in NOTICE_WRITERS)
ANALYSED = [Step.TRIAGE, Step.ASSEMBLE, Step.LOCATE_ROI, Step.GATHER_CLINICAL, Step.PREDICT, Step.COMPOSE]


@dataclass
class Surveying(FakeSegmenter):
    """Knows organs as well."""

    means: dict[Part, float] = field(default_factory=dict)

    def measure(self, volume: Volume) -> dict[Part, float]:  # noqa: ARG002 — the port's signature
        """What it was told."""
        return self.means


@dataclass
class Site:
    """A workshop of fakes over a real store."""

    folder: Path
    segmenter: FakeSegmenter = field(default_factory=FakeSegmenter)
    predictor: FakePredictor = field(default_factory=FakePredictor)
    source: FakeSource = field(default_factory=lambda: FakeSource(values={ClinicalVariable.AGE: 64.0}))
    writer: FakeWriter = field(default_factory=lambda: FakeWriter(ObjectKind.STRUCTURED_REPORT))
    destinations: tuple[str, ...] = ("archive", "research")
    mode: Mode = Mode.LIVE
    notices: tuple[NoticeObjectWriter, ...] = ()
    rules: tuple[RuleSettings, ...] = (RuleSettings(predictor="fake", when={"RoiAnatomy": "pancreas"}),)
    clinical: ClinicalSettings = field(default_factory=ClinicalSettings)
    database_url: str = ""
    """Empty: SQLite in ``folder``, which many tests look into."""
    more_sources: tuple[str, ...] = ()
    """Stored sources that are asked after the fake."""
    broker_url: str = ""
    together: int = 1

    def __post_init__(self) -> None:
        """Open the store."""
        Database(self.settings.url).upgrade()
        self.stores = Stores.open(self.settings)

    @property
    def settings(self) -> Settings:
        """What the node was told."""
        return Settings(
            data_dir=self.folder,
            database_url=self.database_url,
            mode=self.mode,
            rules=self.rules,
            clinical=self.clinical,
            broker_url=SecretStr(self.broker_url),
        )

    @property
    def analysis(self) -> Analysis:
        """A worker with these fakes."""
        shop = Workshop(
            settings=self.settings,
            stores=self.stores,
            decoder=HERE,
            segmenters=((self.segmenter, (Anatomy.PANCREAS, Anatomy.STOMACH)),),
            predictors={"fake": self.predictor},
            sources=(self.source, *(StoredSource(name, self.stores.clinical, {}) for name in self.more_sources)),
            writers=(self.writer,),
            destinations={name: FakeDestination(name) for name in self.destinations},
            node_version="0.1.0",
            notices=self.notices,
            together=self.together,
        )
        return Analysis(shop, "worker 1")

    def receive(self, *datasets: Dataset) -> None:
        """Objects come in."""
        for one in datasets:
            self.stores.inbox.accept(received(one))

    def complete(self, *uids: SeriesUID) -> None:
        """Series are complete."""
        for uid in uids:
            assert self.stores.jobs.complete(uid, "test", len(self.stores.inbox.series(uid).instances))

    def run(self) -> Claim:
        """Claim the oldest job and bring it to an end."""
        claim = self.stores.jobs.claim("worker 1")
        assert claim is not None
        self.analysis.run(claim)
        return claim

    def analyse(self, slices: Sequence[Dataset] | None = None) -> JobRecord:
        """What becomes of a series."""
        self.receive(*(slices or ct_slices(6)))
        self.complete(SERIES)
        return self.job(self.run().job_id)

    def job(self, job_id: str) -> JobRecord:
        """A job as people see it."""
        found = self.stores.jobs.job(job_id)
        assert found is not None
        return found

    def version(self, number: int, series: SeriesUID = SERIES) -> JobRecord:
        """A version of a series."""
        return self.job(JobId.of(series, number))

    def steps(self, job: JobRecord) -> list[tuple[Step, AuditOutcome]]:
        """The steps that ran, and how each ended."""
        return [(record.step, record.outcome) for record in self.stores.jobs.steps(job.job_id)]

    def trail(self, job: JobRecord) -> list[AuditEvent]:
        """What the audit trail says of a job."""
        return list(self.stores.audit.events(job_id=job.job_id))

    def has_results(self) -> bool:
        """Whether there is anything to deliver, or anything that could be."""
        with sqlite3.connect(self.folder / "celadon.db") as connection:
            return any(connection.execute(f"SELECT 1 FROM {name}").fetchone() for name in ("results", "outbox"))  # noqa: S608

    def everything_written(self) -> bytes:
        """The database as it lies on the disk."""
        return b"".join(path.read_bytes() for path in self.folder.glob("celadon.db*"))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site of its own for each test, whose database is not waited for."""
    monkeypatch.setattr(session, "_BUSY_TIMEOUT_S", 0.2)
    return Site(tmp_path)


# The good end


def test_a_good_case_runs_every_step_and_waits_for_delivery(site: Site) -> None:
    """Each step is timed and successful; the results are committed and the job is being delivered."""
    job = site.analyse()
    assert (job.state, job.predictor, job.reason) == (JobState.DELIVERING, "fake", "")
    assert site.steps(job) == [(step, AuditOutcome.SUCCESS) for step in ANALYSED]
    assert all(record.seconds >= 0 for record in site.stores.jobs.steps(job.job_id))


def test_the_audit_trail_tells_the_whole_story(site: Site) -> None:
    """From reception to composition, each by who did it, with what somebody will ask about later."""
    job = site.analyse()
    received_events = [event.action for event in site.stores.audit.events()][:6]
    assert received_events == [AuditAction.INSTANCE_RECEIVED] * 6
    events = site.trail(job)
    assert [event.action for event in events] == [
        AuditAction.SERIES_COMPLETED,
        AuditAction.JOB_CLAIMED,
        AuditAction.SERIES_TRIAGED,
        AuditAction.SERIES_ASSEMBLED,
        AuditAction.ROI_LOCATED,
        AuditAction.CLINICAL_GATHERED,
        AuditAction.PREDICTED,
        AuditAction.COMPOSED,
    ]
    details = {event.action: event.details for event in events}
    assert details[AuditAction.SERIES_TRIAGED] == {"slices": 6, "spacing_mm": 2.0}
    assert details[AuditAction.ROI_LOCATED]["anatomy"] == "pancreas"
    assert details[AuditAction.CLINICAL_GATHERED] == {"variables": "age", "sources": "fake-source 1"}
    assert details[AuditAction.PREDICTED]["digest"] == DIGEST
    assert details[AuditAction.PREDICTED]["training_status"] == "untrained"
    assert details[AuditAction.PREDICTED]["NTR_HIGH"] == 0.75
    assert details[AuditAction.COMPOSED]["objects"] == 1
    assert {event.actor for event in events[2:]} == {"worker 1"}
    assert {(event.series_uid, event.outcome) for event in events} == {(SERIES, AuditOutcome.SUCCESS)}


def test_every_object_goes_to_every_destination(site: Site) -> None:
    """One outbox row an object and destination, waiting to be sent."""
    job = site.analyse()
    (made,) = site.stores.results.of(job.job_id)
    assert site.stores.outbox.of(job.job_id) == tuple(
        (made.uid, name, DeliveryState.PENDING, "") for name in ("archive", "research")
    )
    assert made.path.read_bytes().startswith(job.job_id.encode())


def test_the_report_is_about_what_was_claimed(site: Site) -> None:
    """The writers are given the claim's manifest and time, and the slices in spatial order."""
    site.receive(*ct_slices(6)[::-1])
    site.complete(SERIES)
    claim = site.run()
    (report,) = site.writer.reports
    assert (report.job_id, report.version, report.manifest) == (claim.job_id, 1, claim.manifest)
    assert report.fixed_at == claim.fixed_at
    assert tuple(one.uid for one in report.series.instances) == report.volume.instance_uids
    assert [one.uid for one in report.series.instances] == [one.SOPInstanceUID for one in ct_slices(6)]
    assert report.series.patient.patient_id == "PAT-1"
    assert report.predecessor_paths == ()


def test_silent_mode_keeps_results_and_delivers_nothing(site: Site) -> None:
    """Done, with results to look at and an empty outbox."""
    site.mode = Mode.SILENT
    job = site.analyse()
    assert job.state is JobState.DONE
    assert len(site.stores.results.of(job.job_id)) == 1
    assert site.stores.outbox.of(job.job_id) == ()


def test_a_silent_rule_keeps_its_results_to_itself_on_a_node_that_is_live(site: Site) -> None:
    """Nothing in the outbox, the finding blinded, and no answer in steps, trail or log."""
    silent = RuleSettings(predictor="fake", when={"RoiAnatomy": "pancreas"}, mode=Mode.SILENT)
    site.rules = (silent, RuleSettings(predictor="fake"))
    with structlog.testing.capture_logs() as logged:
        job = site.analyse()
    assert job.state is JobState.DONE
    assert site.stores.outbox.of(job.job_id) == ()
    assert site.stores.findings.is_blinded(job.job_id)
    assert site.stores.findings.of(job.job_id) is None
    told = repr([[record.details for record in site.stores.jobs.steps(job.job_id)], site.trail(job), logged])
    assert "conclusion" not in told
    assert "0.75" not in told
    site.stores.findings.unblind(job.job_id, "Dr Jones", "the trial is over")
    found = site.stores.findings.of(job.job_id)
    assert found is not None
    assert found["scores"][0]["probability"] == 0.75


def test_a_rule_is_live_where_another_is_silent(site: Site) -> None:
    """First match wins, in this too."""
    site.rules = (
        RuleSettings(predictor="fake", when={"RoiAnatomy": "stomach"}, mode=Mode.SILENT),
        RuleSettings(predictor="fake"),
    )
    job = site.analyse()
    assert job.state is JobState.DELIVERING
    assert site.stores.findings.of(job.job_id) is not None


def test_a_silent_node_has_no_rule_that_is_live(site: Site) -> None:
    """Whatever the rule says."""
    site.mode, site.rules = Mode.SILENT, (RuleSettings(predictor="fake", mode=Mode.LIVE),)
    job = site.analyse()
    assert site.stores.outbox.of(job.job_id) == ()
    assert site.stores.findings.is_blinded(job.job_id)


def test_without_destinations_the_job_is_done(site: Site) -> None:
    """There is nothing to wait for."""
    site.destinations = ()
    assert site.analyse().state is JobState.DONE


def test_a_late_slice_makes_a_version_that_cites_its_predecessor(site: Site) -> None:
    """The second version knows the report that it replaces; the first is superseded and its delivery held back."""
    first = site.analyse()
    site.receive(ct_slice(6))
    site.complete(SERIES)
    second = site.job(site.run().job_id)
    assert (second.version, second.state) == (2, JobState.DELIVERING)
    assert site.version(1).state is JobState.SUPERSEDED
    assert site.writer.reports[-1].predecessor_paths == (site.stores.results.of(first.job_id)[0].path,)
    assert {state for _, _, state, _ in site.stores.outbox.of(first.job_id)} == {DeliveryState.WITHDRAWN}


# Refused: a coded reason, and nothing that could be delivered


def refuse_triage(site: Site) -> list[Dataset]:
    """A scout."""
    return ct_slices(6, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])


def refuse_roi(site: Site) -> list[Dataset]:
    """No contour."""
    site.segmenter.finds = False
    return ct_slices(6)


def refuse_contours(site: Site) -> list[Dataset]:
    """Contours that contradict each other."""
    site.segmenter.hook = raising(Refused(ReasonCode.ROI_AMBIGUOUS))
    return ct_slices(6)


def refuse_rules(site: Site) -> list[Dataset]:
    """A region that no rule is for."""
    site.rules = (RuleSettings(predictor="fake", when={"RoiAnatomy": "stomach"}),)
    return ct_slices(6)


def refuse_predictor(site: Site) -> list[Dataset]:
    """An image that the model was not made for."""
    site.predictor.hook = raising(Refused(ReasonCode.INPUT_CONTRACT, "too small"))
    return ct_slices(6)


@pytest.mark.parametrize(
    ("prepare", "step", "reason"),
    [
        (refuse_triage, Step.TRIAGE, ReasonCode.LOCALIZER),
        (refuse_roi, Step.LOCATE_ROI, ReasonCode.ROI_NOT_FOUND),
        (refuse_contours, Step.LOCATE_ROI, ReasonCode.ROI_AMBIGUOUS),
        (refuse_rules, Step.PREDICT, ReasonCode.NO_RULE),
        (refuse_predictor, Step.PREDICT, ReasonCode.INPUT_CONTRACT),
    ],
)
def test_what_a_step_refuses_is_not_analysed(
    site: Site, prepare: Callable[[Site], list[Dataset]], step: Step, reason: ReasonCode
) -> None:
    """The job says why, the step that refused is the last, the audit trail has the reason, and there are no results."""
    job = site.analyse(prepare(site))
    assert (job.state, job.reason) == (JobState.NOT_ANALYSED, reason.name)
    *before, last = site.stores.jobs.steps(job.job_id)
    assert [record.step for record in before] == ANALYSED[: ANALYSED.index(step)]
    assert (last.step, last.outcome, last.details["reason"]) == (step, AuditOutcome.REFUSED, reason.name)
    verdict = site.trail(job)[-1]
    assert (verdict.action, verdict.outcome) == (AuditAction.SERIES_REFUSED, AuditOutcome.REFUSED)
    assert (verdict.reason, verdict.details["detail"]) == (reason, job.detail)
    assert not site.has_results()


# Held for a person


def test_two_patients_in_one_series_are_held_and_nothing_is_predicted(site: Site) -> None:
    """PATIENT_CONFLICT before the first step: no pixel is looked at."""
    slices = ct_slices(6)
    slices[4].PatientID = "SOMEBODY-ELSE"
    job = site.analyse(slices)
    assert (job.state, job.reason) == (JobState.QUARANTINED, ReasonCode.PATIENT_CONFLICT.name)
    assert site.trail(job)[-1].action is AuditAction.SERIES_QUARANTINED
    assert site.steps(job) == []
    assert site.predictor.cases == []
    assert not site.has_results()


def test_two_studies_in_one_series_are_held(site: Site) -> None:
    """Results would have to go into one of them."""
    slices = ct_slices(6)
    slices[0].StudyInstanceUID = "2.25.1"
    assert site.analyse(slices).reason == ReasonCode.PATIENT_CONFLICT.name


def test_a_late_slice_of_a_pruned_series_is_held_until_the_rest_is_sent_again(site: Site) -> None:
    """Nothing is said about a part of a series; with its bytes back it is analysed, and cites the first report."""
    site.mode = Mode.SILENT
    first = site.analyse()
    for found in site.stores.blobs.files():
        os.utime(found.path, (0, 0))
    assert site.stores.retention.prune(timedelta(0)).objects == 6
    site.receive(ct_slice(6))
    site.complete(SERIES)
    held = site.job(site.run().job_id)
    assert (held.version, held.state, held.reason) == (2, JobState.QUARANTINED, "PRUNED")
    assert site.version(1).state is JobState.DONE
    site.receive(*ct_slices(6))
    site.complete(SERIES)
    again = site.job(site.run().job_id)
    assert (again.version, again.state) == (3, JobState.DONE)
    (report,) = site.stores.results.of(first.job_id)
    assert site.writer.reports[-1].predecessor_paths == (report.path,)
    assert report.path.exists()
    assert len(site.writer.reports[-1].series.instances) == 7


def test_a_stored_file_that_changed_is_held(site: Site) -> None:
    """It is not what was received, whether it decodes or not: the detail says which instance, and nothing is said."""
    site.receive(*ct_slices(6))
    site.complete(SERIES)
    changed = site.stores.inbox.series(SERIES).instances[2]
    assert changed.path is not None
    content = bytearray(changed.path.read_bytes())
    content[-1] ^= 1
    changed.path.write_bytes(content)
    job = site.job(site.run().job_id)
    assert (job.state, job.reason) == (JobState.QUARANTINED, ReasonCode.STORED_FILE_DAMAGED.name)
    assert job.detail == f"the file of instance {changed.uid} is not what was received"
    assert site.predictor.cases == []


def test_what_cannot_be_decoded_is_held(site: Site) -> None:
    """UNDECODABLE names the step and the transfer syntax, and nothing is predicted."""
    broken = ct_slice(6, PixelData=encapsulate([b"no run lengths" * 10]))
    broken["PixelData"].VR = "OB"
    site.receive(*ct_slices(6), with_meta(broken, RLELossless))
    site.complete(SERIES)
    job = site.job(site.run().job_id)
    assert (job.state, job.reason) == (JobState.QUARANTINED, ReasonCode.UNDECODABLE.name)
    assert site.steps(job)[-1] == (Step.ASSEMBLE, AuditOutcome.REFUSED)
    assert site.predictor.cases == []


def test_a_stored_file_that_is_gone_is_held_with_what_to_do(site: Site) -> None:
    """The detail says which file, and where to look."""
    site.receive(*ct_slices(6))
    site.complete(SERIES)
    lost = site.stores.inbox.series(SERIES).instances[2]
    assert lost.path is not None
    lost.path.unlink()
    job = site.job(site.run().job_id)
    assert (job.state, job.reason) == (JobState.QUARANTINED, ReasonCode.STORED_FILE_DAMAGED.name)
    assert job.detail == f"the file of instance {lost.uid} is gone"


@pytest.mark.parametrize("where", ["segmenter", "source", "predictor", "writer"])
@pytest.mark.parametrize("error", [ValueError(QUOTED), RuntimeError(QUOTED), MemoryError(QUOTED), KeyError(QUOTED)])
def test_what_nobody_foresaw_is_held_without_its_message(site: Site, where: str, error: Exception) -> None:
    """INTERNAL says what kind of error and where; its message, which may quote a patient, is written nowhere."""
    getattr(site, where).hook = raising(error)
    with structlog.testing.capture_logs() as logged:
        job = site.analyse()
    assert (job.state, job.reason) == (JobState.QUARANTINED, ReasonCode.INTERNAL.name)
    assert job.detail.startswith(f"{type(error).__name__} at fakes.py:")
    assert site.trail(job)[-1].reason is ReasonCode.INTERNAL
    assert not site.has_results()
    assert QUOTED.encode() not in site.everything_written()
    assert logged[-1]["event"] == log.JOB_QUARANTINED
    assert QUOTED not in repr(logged)


@pytest.mark.parametrize("error", [UsageError("rules: no such thing"), Fatal("the bundle has changed")], ids=repr)
def test_what_is_wrong_with_the_installation_is_held_with_its_message(site: Site, error: Exception) -> None:
    """Our own errors are sentences for a person, without patient data."""
    site.predictor.hook = raising(error)
    job = site.analyse()
    assert (job.state, job.reason, job.detail) == (JobState.QUARANTINED, ReasonCode.INTERNAL.name, str(error))


def test_a_step_may_hold_a_case_for_a_person(site: Site) -> None:
    """Quarantined by any step, with its reason."""
    site.predictor.hook = raising(Quarantined(ReasonCode.PATIENT_CONFLICT))
    job = site.analyse()
    assert (job.state, job.reason) == (JobState.QUARANTINED, ReasonCode.PATIENT_CONFLICT.name)
    assert site.steps(job)[-1] == (Step.PREDICT, AuditOutcome.REFUSED)


# Not now


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Retryable("the archive does not answer"), ReasonCode.NOT_NOW),
        (NoRoom("database: disk is full"), ReasonCode.NO_ROOM),
        (OSError(errno.ENOSPC, "No space left on device"), ReasonCode.NO_ROOM),
        (OSError(errno.EIO, "Input/output error"), ReasonCode.STORAGE_FAILED),
        (OSError(errno.ESTALE, "Stale file handle"), ReasonCode.STORAGE_FAILED),
    ],
    ids=repr,
)
def test_what_may_work_later_goes_back_to_the_queue(site: Site, error: Exception, reason: ReasonCode) -> None:
    """Waiting, with its reason, a pause and a line on the audit trail; the next attempt succeeds."""
    site.writer.hook = raising(error)
    job = site.analyse()
    assert (job.state, job.reason) == (JobState.WAITING, reason.name)
    assert job.detail
    assert site.trail(job)[-1].action is AuditAction.JOB_RELEASED
    assert site.stores.jobs.claim("worker 1") is None
    assert not site.has_results()
    with sqlite3.connect(site.folder / "celadon.db") as connection:
        connection.execute("UPDATE jobs SET not_before = NULL")  # as if the pause were over
    site.writer.hook = lambda: None
    job = site.job(site.run().job_id)
    assert (job.state, job.reason, job.detail) == (JobState.DELIVERING, "", "")


def attempts(site: Site, error: Exception, count: int) -> JobRecord:
    """What becomes of a series whose every analysis ends in an error."""
    site.writer.hook = raising(error)
    job = site.analyse()
    for _ in range(count - 1):
        with sqlite3.connect(site.folder / "celadon.db") as connection:
            connection.execute("UPDATE jobs SET not_before = NULL")
        job = site.job(site.run().job_id)
    return job


@pytest.mark.parametrize("error", [NoRoom("the disk is full"), Retryable("database is locked")], ids=repr)
def test_a_full_disk_and_a_locked_database_are_waited_for_however_long(site: Site, error: Exception) -> None:
    """Nobody has to start a night's work again by hand because the disk was full at midnight."""
    assert attempts(site, error, STRIKES + 2).state is JobState.WAITING


def test_a_disk_that_fails_three_times_is_for_a_person(site: Site) -> None:
    """Twice it may have been a cable; the reason says that it was the disk."""
    job = attempts(site, OSError(errno.EIO, "Input/output error"), STRIKES - 1)
    assert (job.state, job.reason) == (JobState.WAITING, ReasonCode.STORAGE_FAILED.name)
    with sqlite3.connect(site.folder / "celadon.db") as connection:
        connection.execute("UPDATE jobs SET not_before = NULL")
    job = site.job(site.run().job_id)
    assert (job.state, job.reason) == (JobState.QUARANTINED, ReasonCode.STORAGE_FAILED.name)
    assert job.detail.endswith("Input/output error")


def test_a_file_that_nobody_may_read_is_for_a_person_at_once(site: Site) -> None:
    """No trying again gives anybody rights."""
    job = attempts(site, PermissionError(errno.EACCES, "Permission denied"), 1)
    assert (job.state, job.reason) == (JobState.QUARANTINED, ReasonCode.INTERNAL.name)


def test_a_disk_without_room_for_results_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is no fault of the case: it is analysed again when there is room."""
    monkeypatch.setattr(site.stores.blobs, "_min_free_bytes", 0)
    site.receive(*ct_slices(6))
    site.complete(SERIES)
    monkeypatch.setattr(site.stores.blobs, "_min_free_bytes", 2**62)
    job = site.job(site.run().job_id)
    assert (job.state, job.reason) == (JobState.WAITING, ReasonCode.NO_ROOM.name)
    assert not site.has_results()


def test_a_database_that_goes_away_stops_no_worker(site: Site) -> None:
    """Nothing is raised; the job stays claimed until its lease runs out and somebody takes over."""
    site.receive(*ct_slices(6))
    site.complete(SERIES)
    locker = sqlite3.connect(site.folder / "celadon.db")
    site.predictor.hook = lambda: locker.execute("BEGIN IMMEDIATE")
    claim = site.run()
    locker.rollback()
    locker.close()
    assert site.job(claim.job_id).state is JobState.RUNNING
    assert not site.has_results()


def test_a_verdict_that_cannot_be_written_stops_no_worker(site: Site) -> None:
    """The same when the database goes away just before the job is ended."""
    site.receive(*ct_slices(6))
    site.complete(SERIES)
    locker = sqlite3.connect(site.folder / "celadon.db")

    def fail() -> None:
        locker.execute("BEGIN IMMEDIATE")
        raise ZeroDivisionError

    site.predictor.hook = fail
    claim = site.run()
    locker.rollback()
    locker.close()
    assert site.job(claim.job_id).state is JobState.RUNNING


# The job moves on while it is worked on


def test_a_slice_that_comes_while_it_is_predicted_discards_the_result(site: Site) -> None:
    """Nothing is committed; the series is collected again, and the next result has all slices."""
    site.predictor.hook = lambda: site.receive(ct_slice(6))
    with structlog.testing.capture_logs() as logged:
        job = site.analyse()
    assert job.state is JobState.COLLECTING
    assert logged[-1]["event"] == log.JOB_FENCED
    assert not site.has_results()
    site.predictor.hook = lambda: None
    site.complete(SERIES)
    assert site.job(site.run().job_id).state is JobState.DELIVERING
    assert len(site.writer.reports[-1].series.instances) == 7


@pytest.mark.parametrize("raised", [Retryable("the link is cut"), NoRoom("the disk is full")], ids=repr)
def test_what_is_given_back_too_late_is_said_to_be_discarded(site: Site, raised: Exception) -> None:
    """The job has moved on while the worker was cut off: it is not given back, and nobody reads that it was."""

    def move_on_and_fail() -> None:
        site.receive(ct_slice(6))
        raise raised

    site.predictor.hook = move_on_and_fail
    with structlog.testing.capture_logs() as logged:
        job = site.analyse()
    assert job.state is JobState.COLLECTING
    assert logged[-1]["event"] == log.JOB_FENCED
    assert log.JOB_RELEASED not in [line["event"] for line in logged]


def test_a_slice_that_comes_while_it_is_written_discards_the_result(site: Site) -> None:
    """Up to the last moment: the objects are there, and are not committed."""
    site.writer.hook = lambda: site.receive(ct_slice(6))
    with structlog.testing.capture_logs() as logged:
        job = site.analyse()
    assert job.state is JobState.COLLECTING
    assert logged[-1]["event"] == log.JOB_FENCED
    assert log.JOB_COMMITTED not in [line["event"] for line in logged]
    assert not site.has_results()


def test_a_verdict_about_an_older_state_is_discarded(site: Site) -> None:
    """What was refused without the late slice is not refused with it."""
    site.segmenter.finds = False
    site.segmenter.hook = lambda: site.receive(ct_slice(6))
    assert site.analyse().state is JobState.COLLECTING
    assert site.version(1).reason == ""


def test_a_slice_of_another_patient_while_it_is_predicted_discards_the_result(site: Site) -> None:
    """And holds the series, once it is looked at again."""
    site.predictor.hook = lambda: site.receive(ct_slice(6, PatientID="SOMEBODY-ELSE"))
    site.analyse()
    assert not site.has_results()
    site.complete(SERIES)
    assert site.job(site.run().job_id).reason == ReasonCode.PATIENT_CONFLICT.name
    assert not site.has_results()


def test_a_contour_that_comes_while_it_is_predicted_is_known_to_the_result(site: Site) -> None:
    """The result without it is discarded, the analysis runs again and is shown the contour."""

    def contour_arrives() -> None:
        site.predictor.hook = lambda: None
        site.receive(structure_set(SERIES))
        site.complete(CONTOURS)
        site.run()

    site.predictor.hook = contour_arrives
    assert site.analyse().state is JobState.WAITING
    assert not site.has_results()
    site.run()
    assert site.version(1).state is JobState.DELIVERING
    assert len(site.segmenter.annotations) == 1


# Contours


def send_contour(site: Site, contour: Dataset) -> JobRecord:
    """What becomes of a contour."""
    site.receive(contour)
    site.complete(CONTOURS)
    return site.job(site.run().job_id)


def test_a_contour_after_the_verdict_has_its_series_analysed_again(site: Site) -> None:
    """The contour's job is done, and the series it references has a second version that is shown the contour."""
    site.segmenter.finds = False
    assert site.analyse().reason == ReasonCode.ROI_NOT_FOUND.name
    contour = send_contour(site, structure_set(SERIES))
    assert (contour.state, contour.reason) == (JobState.DONE, ReasonCode.ANNOTATION_LINKED.name)
    linked = [event for event in site.trail(contour) if event.action is AuditAction.ANNOTATION_LINKED]
    assert [(event.outcome, event.details) for event in linked] == [(AuditOutcome.SUCCESS, {"count": 1})]
    site.segmenter.finds = True
    assert site.version(2).state is JobState.WAITING
    site.run()
    assert site.version(2).state is JobState.DELIVERING
    assert [one.instance_uid for one in site.segmenter.annotations] == [structure_set(SERIES).SOPInstanceUID]
    assert site.version(1).state is JobState.SUPERSEDED


def test_a_contour_before_its_images_is_an_orphan_until_they_come(site: Site) -> None:
    """Not analysed with a reason, then linked when the series arrives; one analysis knows it."""
    contour = send_contour(site, structure_set(SERIES))
    assert (contour.state, contour.reason) == (JobState.NOT_ANALYSED, ReasonCode.ANNOTATION_ORPHAN.name)
    site.receive(*ct_slices(6))
    assert site.version(1, CONTOURS).state is JobState.WAITING
    site.run()
    assert site.version(1, CONTOURS).reason == ReasonCode.ANNOTATION_LINKED.name
    site.complete(SERIES)
    site.run()
    assert site.version(1).state is JobState.DELIVERING
    assert len(site.segmenter.annotations) == 1


@pytest.mark.parametrize(
    "foreign",
    [{"PatientID": "SOMEBODY-ELSE"}, {"IssuerOfPatientID": "ANOTHER-HOSPITAL"}, {"StudyInstanceUID": "2.25.1"}],
    ids=str,
)
def test_a_contour_of_another_patient_is_held_and_never_used(site: Site, foreign: dict[str, str]) -> None:
    """It references the series, but it is of another patient, issuer or study: no analysis is shown it."""
    site.receive(*ct_slices(6))
    contour = send_contour(site, structure_set(SERIES, **foreign))
    assert (contour.state, contour.reason) == (JobState.QUARANTINED, ReasonCode.PATIENT_CONFLICT.name)
    site.complete(SERIES)
    site.run()
    assert site.version(1).state is JobState.DELIVERING
    assert site.segmenter.annotations == []


def test_a_contour_of_another_patient_starts_no_new_analysis(site: Site) -> None:
    """A series with a result keeps it."""
    site.analyse()
    send_contour(site, structure_set(SERIES, PatientID="SOMEBODY-ELSE"))
    assert site.stores.jobs.job(JobId.of(SERIES, 2)) is None
    assert site.version(1).state is JobState.DELIVERING


def test_our_own_result_that_comes_back_starts_nothing(site: Site) -> None:
    """Refused as our own, although it references the series; no analysis is shown it."""
    site.analyse()
    contour = send_contour(site, structure_set(SERIES, Manufacturer="Celadon"))
    assert (contour.state, contour.reason) == (JobState.NOT_ANALYSED, ReasonCode.OWN_RESULT.name)
    assert site.stores.jobs.job(JobId.of(SERIES, 2)) is None


def test_a_contour_that_cannot_be_read_says_so(site: Site) -> None:
    """The contour's own job carries the reason."""
    site.receive(*ct_slices(6))
    broken = structure_set(SERIES)
    broken.ROIContourSequence[0].ContourSequence[0].ContourData = [1, 2]
    contour = send_contour(site, broken)
    assert (contour.state, contour.reason) == (JobState.NOT_ANALYSED, ReasonCode.ANNOTATION_UNREADABLE.name)
    assert site.steps(contour) == [(Step.LOCATE_ROI, AuditOutcome.REFUSED)]


# Clinical values


def waiting_site(site: Site) -> Site:
    """A site whose analyses wait an hour for CA19-9."""
    site.clinical = ClinicalSettings(required=(ClinicalVariable.CA19_9,), wait_minutes=60)
    site.more_sources = ("entered",)
    return site


def enter_ca19_9(site: Site) -> None:
    """A person enters the value that is waited for."""
    patient = site.stores.inbox.series(SERIES).patient
    value = entered(patient, "ca19_9", "37", "U/mL", "Dr Roe", datetime.now(UTC), None)
    site.stores.clinical.accept(Intake((value,)))


def test_an_analysis_waits_for_required_values_and_says_so(site: Site) -> None:
    """Visible as waiting with its reason; nobody claims it meanwhile, and nothing is predicted."""
    job = waiting_site(site).analyse()
    assert (job.state, job.reason, job.detail) == (JobState.WAITING, ReasonCode.AWAITING_CLINICAL.name, "ca19_9")
    assert site.stores.jobs.claim("worker 2") is None
    assert not site.has_results()


def test_the_value_that_was_waited_for_wakes_the_analysis(site: Site) -> None:
    """It goes on at once, and the reason is gone."""
    waiting_site(site).analyse()
    enter_ca19_9(site)
    job = site.job(site.run().job_id)
    assert (job.state, job.reason, job.version) == (JobState.DELIVERING, "", 1)


def test_when_the_time_is_over_it_goes_on_without(site: Site) -> None:
    """What is missing is imputed by the bundle; nobody waits for ever."""
    waiting_site(site).analyse()
    with sqlite3.connect(site.folder / "celadon.db") as connection:
        connection.execute("UPDATE jobs SET not_before = NULL, completed_at = '2020-01-01 00:00:00.000000'")
    assert site.job(site.run().job_id).state is JobState.DELIVERING


def test_a_value_that_comes_late_makes_a_new_version_that_supersedes(site: Site) -> None:
    """The first result stands until the second is there."""
    site.more_sources = ("entered",)
    site.analyse()
    enter_ca19_9(site)
    assert site.version(1).state is JobState.DELIVERING
    with sqlite3.connect(site.folder / "celadon.db") as connection:
        connection.execute("UPDATE jobs SET not_before = NULL")
    site.run()
    assert site.version(1).state is JobState.SUPERSEDED
    assert site.version(2).state is JobState.DELIVERING
    assert site.writer.reports[-1].clinical.get(ClinicalVariable.CA19_9) is not None


def test_what_is_held_and_who_is_silent_is_kept_with_the_step(site: Site) -> None:
    """In names and codes: never a value."""
    site.source.held = (HeldValue(ClinicalVariable.CEA, "hl7", ValueReason.CENSORED),)
    job = site.analyse()
    details = {record.step: record.details for record in site.stores.jobs.steps(job.job_id)}
    assert details[Step.GATHER_CLINICAL] == {
        "variables": "age",
        "sources": "fake-source 1",
        "held": "cea:hl7:CENSORED",
    }


@pytest.mark.parametrize(("organ", "waits"), [("pancreas", True), ("stomach", False)])
def test_a_rule_says_what_its_own_series_wait_for(site: Site, organ: str, waits: bool) -> None:
    """A stomach need not wait for what the pancreas is asked."""
    wanted = {"required": (ClinicalVariable.CA19_9,), "wait_minutes": 60}
    site.rules = (
        RuleSettings(predictor="fake", when={"RoiAnatomy": organ}, **wanted),  # type: ignore[arg-type]
        RuleSettings(predictor="fake"),
    )
    assert (site.analyse().state is JobState.WAITING) == waits


def test_a_rule_may_wait_for_nothing_where_the_node_would(site: Site) -> None:
    """What it says itself counts, also that it asks for nothing."""
    waiting_site(site)
    site.rules = (RuleSettings(predictor="fake", required=()),)
    assert site.analyse().state is JobState.DELIVERING


def test_measurements_of_a_structured_report_are_values_of_the_patient(site: Site) -> None:
    """The series that was analysed without them is analysed again, and the report is done."""
    site.more_sources = ("sr",)
    site.analyse()
    site.receive(vital_signs(("8302-2", "LN", "172", "cm")))
    site.complete(DOCUMENTS)
    document = site.job(site.run().job_id)
    assert (document.state, document.reason, document.detail) == (
        JobState.DONE, ReasonCode.MEASUREMENTS_READ.name, "1 values"
    )  # fmt: skip
    assert AuditAction.DOCUMENT_READ in [event.action for event in site.trail(document)]
    with sqlite3.connect(site.folder / "celadon.db") as connection:
        connection.execute("UPDATE jobs SET not_before = NULL")
    site.run()
    height = site.writer.reports[-1].clinical.get(ClinicalVariable.HEIGHT)
    assert height is not None
    assert (height.value, height.source) == (pytest.approx(1.72), "sr")


def test_a_structured_report_that_measures_nothing_known_is_not_analysed(site: Site) -> None:
    """As any other object without images."""
    site.receive(vital_signs(("410668003", "SCT", "12", "mm")))
    site.complete(DOCUMENTS)
    job = site.job(site.run().job_id)
    assert (job.state, job.reason) == (JobState.NOT_ANALYSED, ReasonCode.NOT_AN_IMAGE.name)


# Notices


def _told(site: Site, job: JobRecord) -> list[ObjectKind]:
    return [record.kind for record in site.stores.results.of(job.job_id)]


def _marked(site: Site) -> JobRecord:
    """A series that a contour marks, which no segmenter finds a lesion in."""
    site.segmenter.finds = False
    site.receive(*ct_slices(6), structure_set(SERIES))
    site.complete(SERIES)
    return site.job(site.run().job_id)


def test_a_marked_series_without_a_result_says_why(site: Site) -> None:
    """The notice is in the outbox in the same transaction that ends the job, and on the audit trail."""
    site.notices = NOTICES
    job = _marked(site)
    assert job.state is JobState.NOT_ANALYSED
    assert _told(site, job) == [ObjectKind.NOTICE, ObjectKind.NOTICE_REPORT]
    assert len(site.stores.outbox.of(job.job_id)) == 4
    assert site.trail(job)[-1].action is AuditAction.NOTICE_COMPOSED
    page = dcmread(site.stores.results.of(job.job_id)[0].path)
    assert (page.PatientID, page.StudyInstanceUID) == ("PAT-1", STUDY)
    assert ReasonCode.ROI_NOT_FOUND.sentence in page.ImageComments


def test_what_nobody_asked_for_ends_in_silence(site: Site) -> None:
    """A series that only came by leaves no trace in the archive."""
    site.notices, site.segmenter.finds = NOTICES, False
    assert _told(site, site.analyse()) == []


def test_in_silent_mode_there_is_no_notice(site: Site) -> None:
    """Analyse and record, deliver nothing."""
    site.notices, site.mode = NOTICES, Mode.SILENT
    assert _told(site, _marked(site)) == []


def test_where_every_rule_is_silent_there_is_no_notice_either(site: Site) -> None:
    """A notice would say that the node is here."""
    site.notices, site.rules = NOTICES, (RuleSettings(predictor="fake", mode=Mode.SILENT),)
    assert _told(site, _marked(site)) == []


def test_a_quarantined_series_says_that_it_is_held(site: Site) -> None:
    """Without the place in the program where it failed, which helps nobody at a viewer."""
    site.notices = NOTICES
    site.segmenter.hook = raising(ValueError(QUOTED))
    site.receive(*ct_slices(6), structure_set(SERIES))
    site.complete(SERIES)
    job = site.job(site.run().job_id)
    assert job.state is JobState.QUARANTINED
    page = dcmread(site.stores.results.of(job.job_id)[0].path)
    assert "HELD FOR A PERSON" in page.ImageComments
    assert "ValueError" in job.detail
    assert "ValueError" not in page.ImageComments
    assert QUOTED not in page.ImageComments


def test_two_patients_in_one_series_are_told_nothing(site: Site) -> None:
    """Nothing is delivered under a patient that may be the wrong one."""
    site.notices = NOTICES
    site.receive(*ct_slices(5), structure_set(SERIES), ct_slice(5, PatientID="OTHER"))
    site.complete(SERIES)
    job = site.job(site.run().job_id)
    assert (job.state, job.reason) == (JobState.QUARANTINED, ReasonCode.PATIENT_CONFLICT.name)
    assert _told(site, job) == []


def test_a_struck_out_job_is_concluded_with_a_notice(site: Site) -> None:
    """The worker that takes it over touches no pixel: it says so, and lives."""
    site.notices = NOTICES
    site.receive(*ct_slices(6), structure_set(SERIES))
    site.complete(SERIES)
    with sqlite3.connect(site.folder / "celadon.db") as connection:
        connection.execute("UPDATE jobs SET strikes = ?", (STRIKES,))
    job = site.job(site.run().job_id)
    assert (job.state, job.reason) == (JobState.QUARANTINED, ReasonCode.STRUCK_OUT.name)
    assert _told(site, job) == [ObjectKind.NOTICE, ObjectKind.NOTICE_REPORT]
    assert site.predictor.cases == []


def test_a_notice_that_cannot_be_written_keeps_no_job_from_ending(site: Site) -> None:
    """The verdict is seen, and the trail says that the notice is missing, without what the error quotes."""
    site.notices = (FailingNotices(),)
    job = _marked(site)
    assert job.state is JobState.NOT_ANALYSED
    last = site.trail(job)[-1]
    assert (last.action, last.outcome) == (AuditAction.NOTICE_WITHHELD, AuditOutcome.FAILURE)
    assert QUOTED not in str(last.details)


class FailingNotices:
    """A writer that fails in a way that nobody foresaw."""

    kind = ObjectKind.NOTICE

    def write(self, notice: Notice) -> tuple[ReportObject, ...]:  # noqa: ARG002 — the port's signature
        """Never anything."""
        raise ValueError(QUOTED)


def test_the_same_verdict_again_repeats_its_notice(site: Site) -> None:
    """A retry in vain makes no second object, and sends what had not arrived."""
    site.notices = NOTICES
    job = _marked(site)
    before = site.stores.results.of(job.job_id)
    site.stores.jobs.retry(job.job_id)
    assert {state for _, _, state, _ in site.stores.outbox.of(job.job_id)} == {DeliveryState.WITHDRAWN}
    site.run()
    assert site.stores.results.of(job.job_id) == before
    assert {state for _, _, state, _ in site.stores.outbox.of(job.job_id)} == {DeliveryState.PENDING}


def test_a_result_after_a_notice_takes_its_place(site: Site) -> None:
    """The structured report of a job that succeeds on a retry cites the notice as its predecessor."""
    site.notices = NOTICES
    job = _marked(site)
    site.segmenter.finds = True
    site.stores.jobs.retry(job.job_id)
    site.run()
    notice = site.stores.results.of(job.job_id)[-1]
    assert notice.kind is ObjectKind.NOTICE_REPORT
    assert site.writer.reports[-1].predecessor_paths == (notice.path,)


@pytest.mark.parametrize("modality", ["SR", "KO"])
def test_a_verdict_from_the_archive_is_added_to_the_result_that_it_is_about(site: Site, modality: str) -> None:
    """Once, however often the document is looked at."""
    result = site.analyse()
    uids = [str(made.uid) for made in site.stores.results.of(result.job_id)]
    site.receive(verdict_document(uids, "V_AGREE", modality=modality))
    site.complete(DOCUMENTS)
    job = site.job(site.run().job_id)
    assert (job.state, job.reason) == (JobState.DONE, ReasonCode.VERDICT_READ.name)
    words = site.stores.verdicts.of(result.job_id)
    assert [(word.reader, word.kind.value, word.digest) for word in words] == [
        ("Jones Anna (archive)", "agree", DIGEST)
    ]


def test_a_preliminary_verdict_does_not_hide_the_final_one_beside_it(site: Site) -> None:
    """What could not be used is named in the reason."""
    result = site.analyse()
    uids = [str(made.uid) for made in site.stores.results.of(result.job_id)]
    site.receive(verdict_document(uids, "V_AGREE", CompletionFlag="PARTIAL"))
    site.receive(verdict_document(uids, "V_ROI_WRONG", index=1))
    site.complete(DOCUMENTS)
    job = site.job(site.run().job_id)
    assert (job.state, job.reason) == (JobState.DONE, ReasonCode.VERDICT_READ.name)
    assert "it is not final" in job.detail
    assert [word.kind.value for word in site.stores.verdicts.of(result.job_id)] == ["roi-wrong"]


def test_a_verdict_about_nothing_of_ours_says_so_and_adds_nothing(site: Site) -> None:
    """Not analysed, with the reason."""
    result = site.analyse()
    site.receive(verdict_document(["2.25.404"], "V_AGREE"))
    site.complete(DOCUMENTS)
    job = site.job(site.run().job_id)
    assert (job.state, job.reason) == (JobState.NOT_ANALYSED, ReasonCode.VERDICT_UNUSABLE.name)
    assert site.stores.verdicts.of(result.job_id) == ()


# Several series of one study

OTHER = SeriesUID("2.25.8001")


def series_pair(site: Site, mine: str = "B30f", other: str = "B70f") -> None:
    """Two complete series of one study, by their kernels."""
    site.receive(*ct_slices(6, ConvolutionKernel=mine), *ct_slices(6, series=OTHER, ConvolutionKernel=other))
    site.complete(OTHER, SERIES)


def test_the_best_series_of_a_study_is_analysed(site: Site) -> None:
    """The other ends with a reason that names it; its pixels are not touched, and nothing of it is delivered."""
    series_pair(site)
    site.run(), site.run()
    best, other = site.version(1), site.version(1, OTHER)
    assert (best.state, other.state) == (JobState.DELIVERING, JobState.NOT_ANALYSED)
    assert (other.reason, other.detail) == ("BETTER_SERIES", f"series {SERIES}: its kernel is softer")
    assert site.steps(other) == [(Step.TRIAGE, AuditOutcome.SUCCESS)]
    last = site.trail(other)[-1]
    assert (last.action, last.reason, last.details["instead"]) == (
        AuditAction.SERIES_REFUSED, ReasonCode.BETTER_SERIES, best.job_id
    )  # fmt: skip


def test_when_the_best_cannot_be_analysed_the_next_is(site: Site) -> None:
    """It stood back for a series whose phase turned out to be another."""
    site.segmenter.hook = raising(Refused(ReasonCode.OUT_OF_DISTRIBUTION))
    series_pair(site)
    site.run(), site.run()
    assert site.version(1).reason == "OUT_OF_DISTRIBUTION"
    site.segmenter.hook = nothing
    site.run()
    assert site.version(1, OTHER).state is JobState.DELIVERING


def test_no_lesion_in_the_best_series_is_an_answer(site: Site) -> None:
    """The others are not asked until one says yes."""
    site.segmenter.finds = False
    series_pair(site)
    site.run(), site.run()
    assert (site.version(1).reason, site.version(1, OTHER).reason) == ("ROI_NOT_FOUND", "BETTER_SERIES")
    assert site.stores.jobs.claim("worker 1") is None


def test_a_better_series_that_comes_later_replaces_the_result(site: Site) -> None:
    """Its report cites the one that it replaces; what was not sent yet of that one stays here."""
    site.receive(*ct_slices(6, series=OTHER, ConvolutionKernel="B70f"))
    site.complete(OTHER)
    site.run()
    first = site.version(1, OTHER)
    assert first.state is JobState.DELIVERING
    site.receive(*ct_slices(6, ConvolutionKernel="B30f"))
    site.complete(SERIES)
    site.run()
    assert (site.version(1).state, site.version(1, OTHER).state) == (JobState.DELIVERING, JobState.SUPERSEDED)
    (replaced,) = site.stores.results.of(first.job_id)
    assert site.writer.reports[-1].predecessor_paths == (replaced.path,)
    assert {state for _, _, state, _ in site.stores.outbox.of(first.job_id)} == {DeliveryState.WITHDRAWN}


def test_a_worse_series_that_comes_later_changes_nothing(site: Site) -> None:
    """The result stands, and the late one says for whom it stood back."""
    assert site.analyse(ct_slices(6, ConvolutionKernel="B30f")).state is JobState.DELIVERING
    site.receive(*ct_slices(6, series=OTHER, ConvolutionKernel="B70f"))
    site.complete(OTHER)
    site.run()
    assert site.version(1, OTHER).reason == "BETTER_SERIES"
    assert site.version(1).state is JobState.DELIVERING


def test_a_series_waits_for_one_that_is_coming_in(site: Site) -> None:
    """The better one is analysed at once instead of replacing a result a minute later."""
    site.receive(*ct_slices(6, series=OTHER, ConvolutionKernel="B70f"), *ct_slices(3, ConvolutionKernel="B30f"))
    site.complete(OTHER)
    site.run()
    waiting = site.version(1, OTHER)
    assert (waiting.state, waiting.reason, waiting.detail) == (JobState.WAITING, "AWAITING_SERIES", f"series {SERIES}")
    assert site.stores.jobs.claim("worker 1") is None
    site.receive(*ct_slices(6, ConvolutionKernel="B30f")[3:])
    site.complete(SERIES)
    site.run(), site.run()
    assert (site.version(1).state, site.version(1, OTHER).reason) == (JobState.DELIVERING, "BETTER_SERIES")


def test_a_better_series_that_comes_while_a_worse_is_analysed_stops_that_one(site: Site) -> None:
    """Before anything of it is committed."""

    def better_comes() -> None:
        site.receive(*ct_slices(6, ConvolutionKernel="B30f"))
        site.complete(SERIES)

    site.predictor.hook = better_comes
    site.receive(*ct_slices(6, series=OTHER, ConvolutionKernel="B70f"))
    site.complete(OTHER)
    site.run()
    assert site.version(1, OTHER).reason == "BETTER_SERIES"
    assert not site.has_results()


# The phase


def test_the_phase_and_what_is_odd_are_in_the_report(site: Site) -> None:
    """With what they rest on."""
    header = {"ContrastBolusStartTime": "070000", "AcquisitionTime": "070110", "ConvolutionKernel": "B70f"}
    site.analyse(ct_slices(6, SliceThickness=4, **header))
    (report,) = site.writer.reports
    assert (report.phase.phase, report.phase.timing.evidence) == (
        Phase.PORTAL_VENOUS, "70 s after the injection began"
    )  # fmt: skip
    assert report.phase.attenuation is None
    assert {remark.code for remark in report.remarks} == {
        ReasonCode.FIELD_OF_VIEW, ReasonCode.SHARP_KERNEL, ReasonCode.ODD_THICKNESS, ReasonCode.NO_CONTRAST_NAMED
    }  # fmt: skip


def test_another_phase_is_the_reason_even_where_no_lesion_was_found(site: Site) -> None:
    """In arterial images nothing was to be found."""
    site.segmenter = Surveying(finds=False, means={Part.AORTA: 290.0, Part.PORTAL_VEIN: 90.0, Part.LIVER: 66.0})
    job = site.analyse()
    assert (job.state, job.reason) == (JobState.NOT_ANALYSED, "PHASE_NOT_PORTAL_VENOUS")
    assert "attenuation arterial (aorta 290 HU" in job.detail


# queues, and what a parent is told


@dataclass
class Listener:
    """A parent that writes down what it is told."""

    told: list[str] = field(default_factory=list)

    beside: list[int] = field(default_factory=list)

    def at(self, claim: Claim, step: Step | None = None, beside: Collection[Claim] = ()) -> None:
        """A job, or a step of it."""
        self.told.append(step.value if step else claim.job_id)
        self.beside.append(len(beside))

    def idle(self) -> None:
        """Nothing."""
        self.told.append("idle")


def test_a_worker_without_models_hands_over_what_the_headers_speak_for(site: Site) -> None:
    """After triage; the worker that has them begins anew and ends it."""
    site.receive(*ct_slices(6))
    site.complete(SERIES)
    claim = site.stores.jobs.claim("cpu", [Queue.CPU])
    assert claim is not None
    Analysis(site.analysis._shop, "cpu", [Queue.CPU]).run(claim)
    assert site.predictor.cases == []
    assert [one.step for one in site.stores.jobs.steps(claim.job_id)] == [Step.TRIAGE]
    assert site.stores.jobs.claim("cpu", [Queue.CPU]) is None
    again = site.stores.jobs.claim("gpu", [Queue.GPU])
    assert again is not None
    Analysis(site.analysis._shop, "gpu", [Queue.GPU]).run(again)
    assert site.job(claim.job_id).state is JobState.DELIVERING


def test_what_the_headers_rule_out_never_waits_for_a_model(site: Site) -> None:
    """A scout is refused by whoever reads headers."""
    site.receive(*ct_slices(6, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    site.complete(SERIES)
    claim = site.stores.jobs.claim("cpu", [Queue.CPU])
    assert claim is not None
    Analysis(site.analysis._shop, "cpu", [Queue.CPU]).run(claim)
    assert site.job(claim.job_id).state is JobState.NOT_ANALYSED


def test_a_parent_is_told_of_every_step(site: Site) -> None:
    """And when nothing is at hand, whatever came of the job."""
    site.receive(*ct_slices(6))
    site.complete(SERIES)
    claim, listener = site.stores.jobs.claim("worker"), Listener()
    assert claim is not None
    Analysis(site.analysis._shop, "worker", progress=listener).run(claim)
    assert listener.told == [claim.job_id, *(step.value for step in ANALYSED), "idle"]


# Several together


SIDE_BY_SIDE = tuple(SeriesUID(f"2.25.880{number}") for number in range(3))
SECOND, THIRD = SIDE_BY_SIDE[1:]


@pytest.fixture
def crowd(tmp_path: Path) -> Site:
    """Three patients' series wait for a worker that takes three together."""
    site = Site(tmp_path / "crowd", together=3)
    for number, uid in enumerate(SIDE_BY_SIDE):
        site.receive(*ct_slices(6, series=uid, StudyInstanceUID=f"2.25.881{number}", PatientID=f"PAT-{number}"))
        site.complete(uid)
    return site


def run_together(site: Site, progress: Progress | None = None) -> Claim:
    """Bring the oldest job to an end, and those that the worker takes beside it."""
    claim = site.stores.jobs.claim("worker 1")
    assert claim is not None
    analysis = Analysis(site.analysis._shop, "worker 1", progress=progress or Untold())
    analysis.run(claim, lambda: site.stores.jobs.claim("worker 1", is_beside=True))
    return claim


def put(site: Site, table: str, column: str, uid: SeriesUID) -> None:
    """Set a number of a series to 1 behind the store's back."""
    with site.stores.database.write() as connection:
        connection.execute(text(f"UPDATE {table} SET {column} = 1 WHERE series_uid = :uid"), {"uid": uid})  # noqa: S608


def ends(site: Site) -> list[JobState]:
    """What became of the three."""
    return [site.version(1, uid).state for uid in SIDE_BY_SIDE]


def test_cases_that_wait_are_predicted_together(crowd: Site) -> None:
    """Once, each with its own steps, its own result, and nothing left at hand."""
    run_together(crowd)
    assert crowd.predictor.together == [3]
    assert ends(crowd) == [JobState.DELIVERING] * 3
    for uid in SIDE_BY_SIDE:
        assert crowd.steps(crowd.version(1, uid)) == [(step, AuditOutcome.SUCCESS) for step in ANALYSED]
    assert [report.series.uid for report in crowd.writer.reports] == list(SIDE_BY_SIDE)
    assert [thread for thread in threading.enumerate() if thread.name == "heartbeat"] == []


def test_a_parent_knows_all_that_would_be_lost(crowd: Site) -> None:
    """Each new one stands beside those before it; towards the end there are fewer."""
    listener = Listener()
    run_together(crowd, listener)
    examining, reporting = 5, 2
    assert listener.beside == [0] * examining + [1] * examining + [2] * examining + [
        *[2] * reporting, *[1] * reporting, *[0] * reporting,
    ]  # fmt: skip
    assert listener.told[-1] == "idle"


def test_no_more_are_taken_together_than_may_be(crowd: Site) -> None:
    """The third waits for its turn."""
    crowd.together = 2
    run_together(crowd)
    assert crowd.predictor.together == [2]
    assert ends(crowd) == [JobState.DELIVERING, JobState.DELIVERING, JobState.WAITING]


def test_one_that_is_refused_makes_room_for_nobody_and_holds_up_nobody(crowd: Site) -> None:
    """Before it is predicted, or when it is."""
    crowd.receive(ct_slice(6, series=SECOND, StudyInstanceUID="2.25.8811", PatientID="PAT-9"))
    crowd.complete(SECOND)
    run_together(crowd)
    assert ends(crowd) == [JobState.DELIVERING, JobState.QUARANTINED, JobState.DELIVERING]
    assert crowd.predictor.together == [2]


def test_one_that_moves_on_is_lost_alone(crowd: Site) -> None:
    """A late slice of one comes while all are predicted."""
    late = ct_slice(6, series=SECOND, StudyInstanceUID="2.25.8811", PatientID="PAT-1")
    crowd.predictor.hook_of_many = lambda: crowd.receive(late)
    run_together(crowd)
    assert ends(crowd) == [JobState.DELIVERING, JobState.COLLECTING, JobState.DELIVERING]


def test_what_has_cost_a_worker_is_done_alone(crowd: Site) -> None:
    """It stands beside nobody, and nobody beside it."""
    taken = crowd.stores.jobs.claim("worker 2")
    assert taken is not None
    assert taken.series_uid == SIDE_BY_SIDE[0]
    assert crowd.stores.jobs.strike(taken.job_id, taken.token, "supervisor", "SIGSEGV", step="predict")
    run_together(crowd)
    assert crowd.predictor.together == []
    assert ends(crowd) == [JobState.DELIVERING, JobState.WAITING, JobState.WAITING]
    put(crowd, "jobs", "strikes", THIRD)
    run_together(crowd)
    assert crowd.predictor.together == []
    assert ends(crowd) == [JobState.DELIVERING, JobState.DELIVERING, JobState.WAITING]


def test_an_urgent_case_waits_for_nobody(crowd: Site) -> None:
    """It is not kept until others are ready too."""
    put(crowd, "series", "urgency", THIRD)
    run_together(crowd)
    assert crowd.predictor.together == []
    assert ends(crowd) == [JobState.WAITING, JobState.WAITING, JobState.DELIVERING]


def test_an_urgent_case_beside_others_is_reported_first(crowd: Site) -> None:
    """And nobody else is taken beside it."""
    claim = crowd.stores.jobs.claim("worker 1")
    assert claim is not None
    put(crowd, "series", "urgency", SECOND)
    crowd.analysis.run(claim, lambda: crowd.stores.jobs.claim("worker 1", is_beside=True))
    assert [report.series.uid for report in crowd.writer.reports] == [SECOND, SIDE_BY_SIDE[0]]
    assert ends(crowd) == [JobState.DELIVERING, JobState.DELIVERING, JobState.WAITING]


def test_a_database_that_is_away_for_a_moment_costs_no_case(crowd: Site) -> None:
    """What is at hand is brought to its end."""
    claim = crowd.stores.jobs.claim("worker 1")
    assert claim is not None
    crowd.analysis.run(claim, raising(Retryable("the link is cut")))
    assert ends(crowd) == [JobState.DELIVERING, JobState.WAITING, JobState.WAITING]


def test_what_breaks_a_batch_is_the_fault_of_one(crowd: Site) -> None:
    """The others have their results, and it says what is wrong with it."""
    crowd.predictor.hook_of_many = raising(ZeroDivisionError())
    hooks = iter((nothing, raising(ZeroDivisionError()), nothing))

    def break_at_the_second() -> None:
        next(hooks)()

    crowd.predictor.hook = break_at_the_second
    run_together(crowd)
    assert ends(crowd) == [JobState.DELIVERING, JobState.QUARANTINED, JobState.DELIVERING]
    assert crowd.version(1, SECOND).reason == ReasonCode.INTERNAL.name
