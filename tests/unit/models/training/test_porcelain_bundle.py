"""The finished bundle of PORCELAIN."""

import csv

import numpy as np
import pytest
from safetensors.numpy import load_file

from models.predictors.porcelain import Porcelain
from models.preprocessing.clinical_fit import PORCELAIN
from models.training.cohort import NTR, FileSource
from models.training.images import read_mask, read_volume
from models.training.manifest import read_manifest
from node.domain.coding import Anatomy
from node.domain.imaging import Roi
from node.domain.prediction import Case, TrainingStatus
from tests.unit.models.training.conftest import Trained


def test_it_says_that_it_is_not_validated(porcelain_training: Trained) -> None:
    """In its status, its disclaimer and its card."""
    bundle = porcelain_training.bundle
    assert bundle.status is TrainingStatus.UNVALIDATED
    assert bundle.disclaimer == "not validated: for research only"
    assert "**Not validated: for research only.**" in porcelain_training.card


def test_it_predicts_what_the_learner_predicted(porcelain_training: Trained) -> None:
    """Each judged case through the predictor, from its files: the probability that the training wrote down."""
    predictor = Porcelain(porcelain_training.bundle)
    assert porcelain_training.wish.cohort is not None
    cohort = read_manifest(porcelain_training.wish.cohort, NTR)
    with (porcelain_training.wish.out / "predictions.csv").open(encoding="utf-8") as stream:
        said = {row["id"]: float(row["output_0"]) for row in csv.DictReader(stream)}
    assert len(said) == 4
    for case in cohort.cases:
        if case.id not in said:
            continue
        assert isinstance(case.source, FileSource)
        volume, mask = read_volume(case.source.image), read_mask(case.source.mask)
        roi = Roi(mask, volume.geometry, Anatomy.PANCREAS, "", "cohort")
        prediction = predictor.predict(Case(volume, roi, case.clinical))
        assert prediction.scores[0].probability == pytest.approx(said[case.id], abs=1e-5)


def test_clinical_statistics_are_in_it(porcelain_training: Trained) -> None:
    """Of the variables of the cohort, in their order, with the ratios that they give."""
    entries = porcelain_training.bundle.celadon.children("clinical")
    names = [entry.text("variable") for entry in entries]
    assert names == [what.variable.value for what in PORCELAIN if what.variable.value in names]
    assert {"age", "sex", "clinical_n", "ca19_9", "haemoglobin"} == set(names)


def test_the_background_is_of_training_cases(porcelain_training: Trained) -> None:
    """Four of them, embeddings and columns, and nobody's name."""
    background = load_file(porcelain_training.wish.out / "bundle" / "models" / "background.safetensors")
    assert background["embeddings"].shape == (4, 256)
    assert background["columns"].shape[0] == 4
    assert np.isfinite(background["embeddings"]).all()


def test_the_card_has_the_figures_that_were_measured(porcelain_training: Trained) -> None:
    """The AUC of the summary, through rough masks too, and how it was trained."""
    card = porcelain_training.card
    auc = porcelain_training.summary["held_out"]["auc"]
    assert f"| auc | {auc:.3f} (" in card
    assert "AUC through a rough mask" in card
    assert "One run on 4 cases" in card
    assert "Seed 4;" in card
