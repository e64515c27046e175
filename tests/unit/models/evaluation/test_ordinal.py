"""Proportional odds: known coefficients are found, and GTRNet's table refits as R refits it, with its limits."""

import csv
from pathlib import Path

import numpy as np
import pytest

from models.evaluation.ordinal import fit
from node.errors import UsageError
from tests.unit.models.evaluation.references import said

FOLDER = Path(__file__).resolve().parents[5] / "shared" / "data" / "gtrnet"
published = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"GTRNet's published files are not in {FOLDER}")


def test_known_coefficients_are_found() -> None:
    """Within three standard errors, with thresholds in order."""
    generator = np.random.default_rng(7)
    size, mixed = generator.integers(0, 2, 3000).astype(float), generator.normal(0, 1, 3000)
    latent = 0.7 * size - 0.4 * mixed + generator.logistic(0, 1, 3000)
    labels = np.digitize(latent, [-1.0, 0.5, 2.0])
    found = fit({"size": size, "mixed": mixed}, labels)
    for term, truth in zip(found.terms, (0.7, -0.4), strict=True):
        assert abs(term.coefficient - truth) < 3 * term.error
        assert term.odds_ratio.value == pytest.approx(np.exp(term.coefficient))
    assert found.thresholds == pytest.approx((-1.0, 0.5, 2.0), abs=0.2)


def clinical() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """GTRNet's clinical table with the stages of its split, in the order of R's model."""
    with (FOLDER / "train.csv").open(encoding="utf-8", newline="") as stream:
        stages = {row["PatientID"]: int(row["PathT"]) for row in csv.DictReader(stream)}
    with (FOLDER / "clinic_sel.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = said()["nomogram"]["names"][1:]
    covariates = {"large": np.array([float(float(row["Tumor_size"]) >= 5) for row in rows])}
    covariates |= {name: np.array([float(row[name]) for row in rows]) for name in columns}
    return covariates, np.array([stages[row["image_name"]] for row in rows])


@published
def test_the_nomogram_refits_as_in_r() -> None:
    """As rms' lrm and MASS' polr: coefficients, errors, thresholds."""
    r = said()["nomogram"]
    found = fit(*clinical())
    assert [term.coefficient for term in found.terms] == pytest.approx(r["lrm"], abs=1e-4)
    assert [term.coefficient for term in found.terms] == pytest.approx(r["polr"], abs=1e-4)
    assert [term.error for term in found.terms] == pytest.approx(r["error"], rel=1e-3)
    assert found.thresholds == pytest.approx(r["thresholds"], abs=1e-4)


@published
def test_the_refit_is_not_the_published_nomogram() -> None:
    """Its table is not of patients and has no Rad-score: poor differentiation weighs double, diffuse type reverses."""
    found = {term.name: term.coefficient for term in fit(*clinical()).terms}
    assert found["Differentiation_status_poor"] > 1.5 * 1.15
    assert found["large"] > 1.5 * 0.69
    assert found["Lauren_diffuse"] < -0.5 < 1.06


def test_what_cannot_be_fitted_is_named() -> None:
    """A constant, or nothing to fit with."""
    with pytest.raises(UsageError, match="x is the same"):
        fit({"x": np.ones(20)}, np.arange(20) % 3)
    with pytest.raises(UsageError, match="no covariate"):
        fit({}, np.arange(20) % 3)


def test_a_covariate_that_separates_the_classes_is_named_as_no_fit() -> None:
    """Its odds ratio has no end."""
    labels = np.repeat((0, 1, 2), 20)
    with pytest.raises(UsageError, match=r"separates the classes|does not converge"):
        fit({"x": 100.0 * labels + np.tile(np.arange(20), 3)}, labels)
