"""Twelve held-out phantoms by a PACS through a whole node: a sample of ``make phantom-trial``.

It holds the chain to account: every study ends, nothing is mixed up, what is said is about the right organ and phase.
How well the shipped bundles find and judge lesions is measured by the whole trial, and stands on their cards.
"""

import shutil

import pytest

from models.phantoms import Kind, Phase
from node.demo.pacs import orthanc_program
from node.domain.lifecycle import JobState
from node.domain.reasons import ReasonCode
from tests.servers import require
from tests.trial.rows import Row
from tests.trial.running import Trial, csv_file, run
from tests.trial.scoring import FOUND_FROM, phase_said

THICKNESS_MM = 5.0
"""Of every series: thinner ones take longer to render, and are in the whole trial."""
WITHIN_S = 60.0
"""From the last slice to the last result, of every single study, on a busy machine."""


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Twelve studies of which five are pancreatic, five gastric, one is normal and one arterial without bolus times."""
    require("Orthanc", orthanc_program())
    require("storescu", shutil.which("storescu"))
    return Trial(12, 0, tmp_path_factory.mktemp("trial"), thickness_mm=THICKNESS_MM, niceness=0)


@pytest.fixture(scope="module")
def rows(trial: Trial) -> tuple[Row, ...]:
    """What came of them."""
    return run(trial, lambda _: None)


def of(rows: tuple[Row, ...], kind: Kind) -> list[Row]:
    """The studies of a kind in the portal venous phase."""
    return [row for row in rows if row.truth.kind == kind and row.truth.phase == Phase.PORTAL_VENOUS]


@pytest.mark.timeout(600)
def test_every_study_comes_to_an_end(rows: tuple[Row, ...]) -> None:
    """With results or with a coded reason; none is held for a person, and none takes long."""
    assert len(rows) == 12
    assert {row.state for row in rows} <= {JobState.DONE.value, JobState.NOT_ANALYSED.value}
    assert all(row.reason in ReasonCode.__members__ for row in rows if row.state != JobState.DONE)
    assert all(row.seconds is not None and row.seconds < WITHIN_S for row in rows if row.state == JobState.DONE)


def test_what_is_found_is_where_it_is(rows: tuple[Row, ...]) -> None:
    """In the right organ and over the lesion, as far as anything is found: how much of it is for the whole trial."""
    lesions = [*of(rows, Kind.PANCREATIC), *of(rows, Kind.GASTRIC)]
    done = [row for row in lesions if row.state == JobState.DONE]
    assert done
    organs = {Kind.PANCREATIC.value: "pancreas", Kind.GASTRIC.value: "stomach"}
    found = [row for row in done if row.dice is not None and row.dice >= FOUND_FROM]
    assert len(found) >= len(done) / 2
    assert all(row.organ == organs[row.truth.kind] for row in found)


def test_a_result_has_its_numbers(rows: tuple[Row, ...]) -> None:
    """Each done study has its own predictor's answer, and none the other's."""
    for row in rows:
        if row.state == JobState.DONE:
            assert (row.p_ntr_high is not None) == (row.organ == "pancreas")
            assert (row.t_stage is not None) == (row.organ == "stomach")


def test_the_phase_is_told_without_a_word_in_the_header(rows: tuple[Row, ...]) -> None:
    """The arterial study ends for its phase; at most one of the others is mistaken."""
    (arterial,) = [row for row in rows if row.truth.phase == Phase.ARTERIAL]
    assert not arterial.truth.timed
    assert (arterial.state, arterial.reason) == (JobState.NOT_ANALYSED, ReasonCode.PHASE_NOT_PORTAL_VENOUS.name)
    portal = [said for row in rows if row is not arterial and (said := phase_said(row)) is not None]
    assert len(portal) >= 8
    assert sum(said != Phase.PORTAL_VENOUS for said in portal) <= 1


def test_without_a_lesion_there_is_no_result(rows: tuple[Row, ...]) -> None:
    """A patient without a tumour gets no probability."""
    (normal,) = of(rows, Kind.NORMAL)
    assert normal.state == JobState.NOT_ANALYSED


def test_the_report_says_who_drew(rows: tuple[Row, ...]) -> None:
    """Not the archive: no contour was sent."""
    sources = {row.region_source for row in rows if row.state == JobState.DONE}
    assert sources
    assert all(source and not source.startswith("dicom-seg") for source in sources)


def test_a_trial_that_was_stopped_goes_on_where_it_was(trial: Trial, rows: tuple[Row, ...]) -> None:
    """What is known is not sent again; the table is beside it."""
    said: list[str] = []
    assert run(trial, said.append) == rows
    assert said == []
    table = csv_file(trial, rows[0].weights).read_text(encoding="utf-8").splitlines()
    assert len(table) == 13
