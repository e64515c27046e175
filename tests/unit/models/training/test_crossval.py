"""Cross-validation, one run alone, and the final model."""

from pathlib import Path

import numpy as np
import pytest

from models.training.crossval import Setting, cross_validate, final, once
from models.training.journal import Journal
from tests.unit.models.training.toy import HYPER, ToyTask

SETTING = Setting(0, "cpu", 60.0)
FOLDS = np.arange(24) // 2 % 3


def test_each_case_is_judged_by_a_network_that_has_not_seen_it(tmp_path: Path) -> None:
    """Three networks, each without the cases that it judges; every case has a prediction."""
    task = ToyTask()
    with Journal(quiet=True) as journal:
        validated = cross_validate(task, FOLDS, HYPER, SETTING, tmp_path, journal)
    assert np.isfinite(validated.predictions).all()
    for fold, learner in enumerate(task.learners):
        seen = {index for indices in learner.seen for index in indices}
        assert seen == set(np.flatnonzero(fold != FOLDS).tolist())
    assert len(validated.figures) == len(validated.best_epochs) == 3


def test_predictions_stand_in_the_cohorts_order(tmp_path: Path) -> None:
    """Row for row what the fold's network says of the case."""
    task = ToyTask()
    with Journal(quiet=True) as journal:
        validated = cross_validate(task, FOLDS, HYPER, SETTING, tmp_path, journal)
    said = task.learners[1].predict([2]).item()
    assert validated.predictions[2, 0] == pytest.approx(said)


def test_the_final_model_sees_all_cases_for_the_median_of_epochs(tmp_path: Path) -> None:
    """No case is held out, and the number of epochs is the folds'."""
    task = ToyTask()
    with Journal(quiet=True) as journal:
        validated = cross_validate(task, FOLDS, HYPER, SETTING, tmp_path / "folds", journal)
        fitted, epochs = final(task, validated, HYPER, SETTING, tmp_path / "final", journal)
    assert epochs == int(np.median(validated.best_epochs))
    seen = [index for indices in task.learners[-1].seen for index in indices]
    assert sorted(seen) == sorted(list(range(24)) * epochs)
    assert fitted.figures == {}


def test_one_run_is_judged_by_the_first_fold(tmp_path: Path) -> None:
    """The other cases have no prediction."""
    task = ToyTask()
    with Journal(quiet=True) as journal:
        validated, fitted = once(task, FOLDS, HYPER, SETTING, tmp_path, journal)
    assert (np.isfinite(validated.predictions[:, 0]) == (FOLDS == 0)).all()
    assert validated.best_epochs == (fitted.best_epoch,)
    assert len(task.learners) == 1
