"""``celadon evaluate --from-node``: what a node has said, joined with what turned out to be true."""

import csv
import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from node.domain.prediction import AlgorithmIdentity, TrainingStatus
from node.errors import UsageError
from node.evaluation_commands import Asked
from node.recorded_commands import Recorded, evaluate_recorded
from node.settings import Mode
from tests.factories import CONTOURS, SERIES, ct_slice, ct_slices, structure_set
from tests.fakes import FakePredictor
from tests.unit.workers.test_analysis import Site

COLUMNS = "study_uid,accession,patient_id,label,set,os_months,os_event,surname"
ASKED = Asked(None, None, Path("out"), "", "", "", "", 100, 0, from_node=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A silent node that has analysed twelve patients, and refused a scout."""
    site = Site(tmp_path_factory.mktemp("node"), mode=Mode.SILENT)
    for number in range(12):
        receive(site, number)
    site.receive(
        *(
            ct_slice(
                0,
                series="2.25.600",
                StudyInstanceUID="2.25.601",
                PatientID="P99",
                ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
            ),
        )
    )
    site.complete("2.25.600")  # type: ignore[arg-type]  # a UID
    site.run()
    return site


def receive(site: Site, number: int) -> None:
    """Patient ``number``'s series comes in and is analysed."""
    uid = f"2.25.5{number:03d}"
    changes = {"StudyInstanceUID": f"2.25.4{number:03d}", "PatientID": f"P{number}", "AccessionNumber": f"A{number}"}
    site.receive(*ct_slices(6, series=uid, **changes))
    site.complete(uid)  # type: ignore[arg-type]  # a UID
    site.run()


def outcomes(folder: Path, *lines: str) -> Path:
    """A file of these lines."""
    file = folder / "outcomes.csv"
    file.write_text("\n".join((COLUMNS, *lines)) + "\n", encoding="utf-8")
    return file


def whole(folder: Path) -> Path:
    """An outcome for each patient, by one identifier or another, and three that fit none."""
    by = ("2.25.4{0:03d},,", ",A{0},", ",,P{0}")
    lines = [
        f"{by[number % 3].format(number)},{('high', 'low')[number % 2]},s,{number + 1},1,Miller" for number in range(11)
    ]
    return outcomes(folder, *lines, ",A77,,high,s,,,x", ",A11,P3,low,s,,,x", ",,,low,s,,,x")


def run(site: Site, folder: Path, capsys: pytest.CaptureFixture[str], **changes: Any) -> dict[str, Any]:
    """The report as data; what is not an argument of ``Recorded`` is one of ``Asked``."""
    recorded = Recorded(None, None, changes.pop("outcomes", None) or whole(folder), changes.pop("predictor", ""))
    recorded = replace(recorded, **{name: changes.pop(name) for name in ("since", "until") if name in changes})
    asked = replace(ASKED, out=folder / "out", **changes)
    capsys.readouterr()  # what the node has logged
    assert evaluate_recorded(site.settings, asked, recorded, as_json=True) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_flow_accounts_for_every_series_and_every_outcome(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silent results count; what does not fit is counted by its reason."""
    found = run(site, tmp_path, capsys)
    assert found["provenance"]["flow"] == [
        ["CT series of that time in this node", 13],
        ["of them with a result of any model", 12],
        ["of them delivered to an archive", 0],
        ["of them with a result of this bundle", 12],
        ["outcomes in the file", 14],
        ["outcomes: matched", 11],
        ["outcomes: no recorded case has this identifier", 1],
        ["outcomes: its identifiers are not those of one case", 1],
        ["outcomes: it names no study, accession or patient", 1],
    ]
    assert found["analysis"]["found"] == 13
    reasons = {why.split(":")[0] for _, why in found["analysis"]["left_out"]}
    assert reasons == {"LOCALIZER", "no label"}
    assert found["analysis"]["sets"][0]["cases"] == 11


def test_the_files_say_what_became_of_each_line_and_hold_no_identifier_besides(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the file of matches has what the outcomes gave; an unknown column's content goes nowhere."""
    found = run(site, tmp_path, capsys)
    with (tmp_path / "out" / "matches.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["became"] for row in rows] == ["matched"] * 11 + ["unmatched", "contradicted", "nameless"]
    assert found["analysis"]["ignored_columns"] == ["surname"]
    for name in ("predictions.csv", "labels.csv", "report.json", "report.html"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert "Miller" not in text
        assert "2.25.4001" not in text
        assert "Made^Up" not in text


def test_what_the_node_knows_of_a_case_makes_subgroups(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sex, age, scanner and thickness come from the headers."""
    variant = run(site, tmp_path, capsys)["analysis"]["sets"][0]["variants"][0]
    assert {one["descriptor"] for one in variant["subgroups"]} == {"sex", "age_years", "scanner", "thickness_mm"}


def test_what_the_node_measured_of_the_images_is_compared_between_centres(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each case has a column of it; a model's scores may hide that a scanner is another one."""
    run(site, tmp_path, capsys)
    with (tmp_path / "out" / "labels.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert all(float(row["input_hu_sd"]) >= 0 and row["input_hu_mean"] for row in rows if row["label"])


def test_another_time_is_another_cohort(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``since`` and ``until`` are of the series' completion, in local time."""
    moments = sorted(job.completed_at for job in site.stores.jobs.jobs() if job.completed_at)
    middle = moments[6].astimezone().replace(tzinfo=None)
    later = run(site, tmp_path, capsys, since=middle)["provenance"]["flow"][0][1]
    earlier = run(site, tmp_path, capsys, until=middle)["provenance"]["flow"][0][1]
    assert (earlier, later) == (6, 7)
    with pytest.raises(UsageError, match="no series of that time"):
        run(site, tmp_path, capsys, since=datetime.now() + timedelta(days=1))  # noqa: DTZ005 — as a person types it


def test_results_of_two_bundles_are_not_mixed(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person chooses, by the bundle's digest where it is not here any more."""
    other = Site(tmp_path / "node", mode=Mode.SILENT)
    for number in range(3):
        receive(other, number)
    identity = AlgorithmIdentity("FAKE", "2", "Tests", "Constant", "e" * 64, TrainingStatus.UNTRAINED, "untrained")
    other = replace(other, predictor=FakePredictor(identity=identity))
    for number in range(3, 12):
        receive(other, number)
    with pytest.raises(UsageError, match=r"several bundles, sha256:eeee.* \(9 results\)"):
        run(other, tmp_path, capsys)
    found = run(other, tmp_path, capsys, bundle="sha256:eeee")
    assert dict(found["provenance"]["flow"])["of them with a result of this bundle"] == 9
    assert found["analysis"]["sets"][0]["variants"][0]["digest"] == "e" * 64


def test_the_newest_analysis_of_a_series_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A contour that came later has the series analysed again: one case, not two."""
    site = Site(tmp_path / "node", mode=Mode.SILENT)
    images = ct_slices(6)
    site.receive(*images)
    site.complete(SERIES)
    site.run()
    site.receive(structure_set(str(images[0].SeriesInstanceUID)))
    site.complete(CONTOURS)
    site.run()
    site.run()
    file = outcomes(tmp_path, ",ACC-1,,high,s,,,")
    found = run(site, tmp_path, capsys, outcomes=file)
    assert found["provenance"]["flow"][0] == ["CT series of that time in this node", 1]
    assert found["analysis"]["sets"][0]["cases"] == 1


@pytest.mark.parametrize(
    ("line", "changes", "why"),
    [
        (",A1,,perhaps,s,,,", {}, "line 2: column label: 'perhaps' is none of the classes low, high"),
        (",A1,,high,s,,,", {"predictor": "gtrnet"}, "--predictor gtrnet: has no result"),
        (",A1,,high,s,,,", {"bundle": "sha256:0000"}, "0 bundles with results"),
    ],
)
def test_what_is_wrong_is_said(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, changes: dict[str, str], why: str
) -> None:
    """In one line."""
    with pytest.raises(UsageError, match=why):
        run(site, tmp_path, capsys, outcomes=outcomes(tmp_path, line), **changes)


def test_outcomes_are_needed(site: Site) -> None:
    """Without them nothing can be measured."""
    with pytest.raises(UsageError, match="needs --outcomes"):
        evaluate_recorded(site.settings, ASKED, Recorded(None, None, None, ""), as_json=True)
