"""Three centres, silently: a node analyses, outcomes come later, one command reports, and the odd centre is told.

The models are stand-ins that go by brightness, so that dozens of cases take seconds; what stores, joins, measures and
reports is what a site runs. With phantoms, the shipped bundles and a node of processes: ``make cohort-trial``.
"""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from node.__main__ import app
from node.domain.prediction import Case, Conclusion, Prediction, Quantity, Score
from node.settings import Mode
from tests.engine import fresh_url
from tests.factories import ct_slices
from tests.fakes import FakePredictor
from tests.unit.workers.test_analysis import Site

CASES = 36
CENTRES = ("Alder", "Birch", "Cedar")
ODD = "Cedar"
OFFSET_HU = 60
"""What the odd centre's scanner adds to everything."""


@dataclass
class BrightPredictor(FakePredictor):
    """Says high of lesions that are brighter than 90 HU."""

    def predict(self, case: Case) -> Prediction:
        """By the lesion's mean."""
        high = 1 / (1 + math.exp(-(float(case.volume.hu[case.roi.mask].mean()) - 90) / 25))
        conclusion = Conclusion.NTR_HIGH if high >= 0.5 else Conclusion.NTR_LOW
        return replace(super().predict(case), scores=(Score(Quantity.NTR_HIGH, high),), conclusion=conclusion)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node that was silent for 36 patients, and a file of what became of all but one of them, and of a stranger."""
    folder = tmp_path_factory.mktemp("cohort")
    url = fresh_url(folder)
    (folder / "celadon.toml").write_text(f'database_url = "{url}"\n', encoding="utf-8")
    site = Site(folder / "data", mode=Mode.SILENT, predictor=BrightPredictor(), database_url=url)
    generator = np.random.default_rng(11)
    lines = ["accession,patient_id,label,os_months,os_event"]
    for number in range(CASES):
        centre, is_high = CENTRES[number % 3], generator.random() < 0.5
        hu = generator.normal(110 if is_high else 70, 15)
        offset = OFFSET_HU if centre == ODD else 0
        _arrives(site, number, centre, hu + offset, generator)
        months = generator.exponential(12 if is_high else 36)
        end = generator.uniform(12, 60)
        if number:
            outcome = f"{min(months, end):.2f},{int(months <= end)}"
            lines.append(f"A{number},P{number},{('low', 'high')[is_high]},{outcome}")
    lines.append("A900,P900,high,3,1")
    (folder / "outcomes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _arrives(site: Site, number: int, centre: str, hu: float, generator: np.random.Generator) -> None:
    uid = f"2.25.8{number:03d}"
    changes = {"StudyInstanceUID": f"2.25.9{number:03d}", "PatientID": f"P{number}", "AccessionNumber": f"A{number}"}
    images = ct_slices(6, series=uid, InstitutionName=centre, **changes)
    for image in images:
        pixels = np.clip(generator.normal(1024 + hu, 20, (16, 20)), 0, 4095).astype(np.uint16)
        image.PixelData = pixels.tobytes()
        image["PixelData"].VR = "OW"
    site.receive(*images)
    site.complete(uid)  # type: ignore[arg-type]  # a UID
    site.run()


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    """What ``celadon evaluate --from-node`` prints."""
    words = ["evaluate", "--from-node", "--since", "2020-01-01", "--outcomes", str(folder / "outcomes.csv")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELADON_DATA_DIR", str(folder / "data"))
        patch.chdir(folder)
        done = CliRunner().invoke(app, [*words, "--out", str(folder / "out"), "--draws", "200", "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_case_is_accounted_for(report: dict[str, Any]) -> None:
    """Those with an outcome are measured; the one without and the outcome without a case are told."""
    flow = dict(report["provenance"]["flow"])
    assert flow["of them with a result of any model"] == CASES
    assert flow["of them delivered to an archive"] == 0
    assert flow["outcomes: matched"] == CASES - 1
    assert flow["outcomes: no recorded case has this identifier"] == 1
    assert [why for _, why in report["analysis"]["left_out"]] == ["no label"]


def test_the_model_is_measured_with_intervals(report: dict[str, Any]) -> None:
    """It sees a difference that is there, and survival goes by it."""
    (part,) = report["analysis"]["sets"]
    auc = part["variants"][0]["positive"]["auc"]
    assert auc["low"] > 0.5
    assert part["survival"][0]["follow_up"] == "os"


def test_the_odd_centre_is_told_and_no_other(report: dict[str, Any], folder: Path) -> None:
    """By what was predicted there, in the data, in a warning and on the page."""
    shifted = [
        (one["centre"], one["quantity"])
        for one in report["analysis"]["shifts"]
        if one["psi"] > 0.25 and one["p"] < 0.05
    ]
    assert [centre for centre, quantity in shifted if quantity.startswith("probability")] == [ODD]
    assert any(f"Centre {ODD}" in warning for warning in report["warnings"])
    assert "Shift between centres" in (folder / "out" / "report.html").read_text(encoding="utf-8")


def test_the_odd_centres_calls_are_wrong_and_the_subgroups_show_it(report: dict[str, Any]) -> None:
    """Everything is bright there: nobody is called low."""
    subgroups = report["analysis"]["sets"][0]["variants"][0]["subgroups"]
    (by_centre,) = [one for one in subgroups if one["descriptor"] == "centre"]
    specificity = {group["value"]: group["positive"]["specificity"]["value"] for group in by_centre["groups"]}
    assert specificity[ODD] < min(value for centre, value in specificity.items() if centre != ODD) - 0.3


def test_no_patient_stands_in_the_report(folder: Path, report: dict[str, Any]) -> None:
    """Neither by ID nor by name, accession number or study."""
    for name in ("report.html", "report.json", "predictions.csv", "labels.csv"):
        text = (folder / "out" / name).read_text(encoding="utf-8")
        assert not any(word in text for word in ("Made^Up", "2.25.9", "A900", "P900", '"P1"'))
