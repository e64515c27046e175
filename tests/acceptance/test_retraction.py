"""A result that was wrong: delivered to a real Orthanc, committed to, and withdrawn by a person."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    EnhancedSRStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
)

from node.demo.pacs import DemoPacs, orthanc_program, start_pacs
from node.demo.private_node import PrivateNode
from node.demo.series import DemoCase, make_case
from node.dicom.query import fetch, find_series
from node.domain.audit import AuditAction
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.reporting import NOTICE_KINDS
from node.store.jobs import JobRecord
from tests.engine import start_node
from tests.servers import require
from tests.waiting import wait_ended, wait_until

ME = "ACCEPTANCE"
WHY = "The contour was drawn around the wrong lesion."
COMMITMENT = "commitment = true\ncommitment_wait_s = 0.0\n"
"""Ends the archive's table in the settings of the node."""


@dataclass(frozen=True)
class Withdrawn:
    """A case before and after the withdrawal, as Orthanc has it."""

    case: DemoCase
    job: JobRecord
    before: dict[str, Dataset]
    """SOP Instance UID to each result."""
    added: dict[str, Dataset]
    files: list[Path]
    """Those of ``added``."""
    after: set[str]
    """SOP Instance UIDs of everything that is not of the case."""
    node: PrivateNode
    said: str


def _results(pacs: DemoPacs, case: DemoCase, folder: Path) -> dict[str, Path]:
    sent = {case.series_uid, dcmread(case.seg_path).SeriesInstanceUID}
    series = [one.series_uid for one in find_series(pacs.peer, ME, case.study_uid) if one.series_uid not in sent]
    paths = [path for uid in series for path in fetch(pacs.peer, ME, folder / uid, case.study_uid, uid)]
    return {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in paths}


def _celadon(node: PrivateNode, *words: str) -> str:
    command = [sys.executable, "-m", "node", *words, "--config", str(node.config)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "250"}, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def withdrawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Withdrawn]:
    """One pancreas: analysed, delivered, committed to, withdrawn."""
    require("Orthanc", orthanc_program())
    folder = tmp_path_factory.mktemp("withdrawn")
    case = make_case("pancreas", folder / "case", "withdrawn")
    with start_pacs() as pacs, start_node(folder / "node", pacs=pacs.peer, extra=COMMITMENT) as node:
        pacs.route_to(node.peer)
        pacs.store([case.seg_path])
        pacs.store(case.ct_paths)
        job = wait_ended(node.stores, case.series_uid, seconds=120)
        before = _results(pacs, case, folder / "before")
        said = _celadon(node, "retract", job.job_id, "--reason", WHY, "--by", "Dr Roe")

        def told() -> bool | None:
            notices = {one.uid for one in node.stores.results.of(job.job_id) if one.kind in NOTICE_KINDS}
            states = [state for uid, _, state, _ in node.stores.outbox.of(job.job_id) if uid in notices]
            return True if states and set(states) == {DeliveryState.COMMITTED} else None

        wait_until(told, "the archive has committed to the rejection note and the notices", 120)
        after = _results(pacs, case, folder / "after")
        added = {uid: path for uid, path in after.items() if uid not in before}
        yield Withdrawn(
            case, job, {uid: dcmread(path) for uid, path in before.items()},
            {uid: dcmread(path) for uid, path in added.items()}, list(added.values()), set(after), node, said,
        )  # fmt: skip


def test_the_result_had_arrived(withdrawn: Withdrawn) -> None:
    """Delivered and committed to, with one form of the structured report."""
    assert withdrawn.job.state is JobState.DONE
    classes = [one.SOPClassUID for one in withdrawn.before.values()]
    assert classes.count(Comprehensive3DSRStorage) == 1
    assert EnhancedSRStorage not in classes


def test_three_objects_follow(withdrawn: Withdrawn) -> None:
    """A rejection note, a page and a document, in the same study, of the same patient."""
    assert {one.SOPClassUID for one in withdrawn.added.values()} == {
        KeyObjectSelectionDocumentStorage, SecondaryCaptureImageStorage, EnhancedSRStorage,
    }  # fmt: skip
    assert len(withdrawn.added) == 3
    source = dcmread(withdrawn.case.ct_paths[0])
    for one in withdrawn.added.values():
        for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"):
            assert one.get(keyword) == source.get(keyword), keyword


def test_the_rejection_note_names_exactly_what_the_archive_has(withdrawn: Withdrawn) -> None:
    """Every result, and not the form of the report that was never sent; its title is that of patient safety."""
    (note,) = [one for one in withdrawn.added.values() if one.SOPClassUID == KeyObjectSelectionDocumentStorage]
    (title,) = note.ConceptNameCodeSequence
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113037", "DCM")
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    named = {
        str(one.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert named == set(withdrawn.before)


def test_readers_are_told_why(withdrawn: Withdrawn) -> None:
    """In the page and in the document, which cites the report that it takes the place of; nowhere by whom."""
    (page,) = [one for one in withdrawn.added.values() if one.SOPClassUID == SecondaryCaptureImageStorage]
    (document,) = [one for one in withdrawn.added.values() if one.SOPClassUID == EnhancedSRStorage]
    assert WHY in page.ImageComments
    assert any(WHY in str(item.get("TextValue")) for item in document.ContentSequence)
    (report,) = [uid for uid, one in withdrawn.before.items() if one.SOPClassUID == Comprehensive3DSRStorage]
    (cited,) = document.PredecessorDocumentsSequence
    assert cited.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == report
    assert not any(b"Roe" in path.read_bytes() for path in withdrawn.files)


def test_a_validator_finds_no_error(withdrawn: Withdrawn) -> None:
    """As they lie in the archive."""
    validator = require("dciodvfy", shutil.which("dciodvfy"))
    for path in withdrawn.files:
        run = subprocess.run([validator, str(path)], capture_output=True, text=True, check=False)
        assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == [], path


def test_orthanc_goes_on_showing_what_was_withdrawn(withdrawn: Withdrawn) -> None:
    """It does not evaluate rejection notes: the notice stands beside the results, as the page on retraction says."""
    assert withdrawn.after == set(withdrawn.before) | set(withdrawn.added)


def test_it_is_on_record(withdrawn: Withdrawn) -> None:
    """The job is retracted, the trail says who and why, the command where it went; the chain is whole."""
    node, job = withdrawn.node, withdrawn.job
    listed = json.loads(_celadon(node, "jobs", "--json", "--state", "retracted"))
    assert job.job_id in json.dumps(listed)
    (told,) = [one for one in node.stores.audit.events(job_id=job.job_id) if one.action is AuditAction.JOB_RETRACTED]
    assert (told.actor, told.details["why"], told.details["objects"]) == ("Dr Roe", WHY, len(withdrawn.before))
    assert f"{len(withdrawn.before)} objects" in withdrawn.said
    assert "archive" in withdrawn.said
    _celadon(node, "audit", "verify")
