"""What a training found out."""

from typing import Any

import numpy as np

from models.training.facts import Facts
from tests.unit.models.training.toy import HYPER


def facts(**changes: Any) -> Facts:
    """Of four cases in two folds."""
    values: dict[str, Any] = {
        "seed": 0,
        "hyper": HYPER,
        "folds": np.array([0, 1, 0, 1]),
        "out_of_fold": np.array([[0.1], [0.2], [0.3], [0.4]]),
        "beside": np.empty((4, 0)),
        "fold_figures": ({"auc": 0.5}, {"auc": 0.6}),
        "best_epochs": (1, 2),
        "final_epochs": 2,
        "is_single": False,
        "searched": 0,
        "dropped": 0,
        "versions": {"python": "3", "torch": "2", "monai": "1", "numpy": "2"},
        "device": "cpu",
        "threads": 1,
    }
    return Facts(**values | changes)


def test_after_cross_validation_all_cases_are_judged_and_all_are_trained_on() -> None:
    """Judged by the folds' networks, trained on by the last one."""
    assert facts().judged.tolist() == facts().trained.tolist() == [0, 1, 2, 3]


def test_after_one_run_no_judged_case_was_trained_on() -> None:
    """The first fold judges, the others train."""
    found = facts(is_single=True, out_of_fold=np.array([[0.1], [np.nan], [0.3], [np.nan]]))
    assert found.judged.tolist() == [0, 2]
    assert found.trained.tolist() == [1, 3]
