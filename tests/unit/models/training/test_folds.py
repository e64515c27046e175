"""The folds: grouped by patient, stratified by class."""

import numpy as np
import pytest

from models.training.folds import assign
from node.errors import UsageError
from tests.unit.models.training.toy import case


def cases(patients: int = 36, each: int = 3) -> list:  # type: ignore[type-arg]
    """Several cases a patient; a third of the patients is of class 1."""
    return [
        case(patient * each + number, int(patient % 3 == 0), patient=f"p{patient}")
        for patient in range(patients)
        for number in range(each)
    ]


def test_a_patient_is_in_one_fold() -> None:
    """Whatever number of cases it has."""
    every = cases()
    folds = assign(every, 0, 3)
    for patient in {each.patient for each in every}:
        assert len({int(fold) for fold, each in zip(folds, every, strict=True) if each.patient == patient}) == 1


def test_each_fold_has_the_classes_in_proportion() -> None:
    """A third of each fold is of the rarer class, as in the whole."""
    every = cases()
    folds = assign(every, 0, 3)
    labels = np.array([each.label for each in every])
    for fold in range(3):
        assert labels[folds == fold].mean() == pytest.approx(1 / 3, abs=0.05)
        assert (folds == fold).sum() == pytest.approx(36, abs=3)


def test_the_seed_decides() -> None:
    """The same seed the same folds, another seed others."""
    assert (assign(cases(), 5) == assign(cases(), 5)).all()
    assert (assign(cases(), 5) != assign(cases(), 6)).any()


def test_given_folds_are_taken() -> None:
    """As the manifest has them."""
    every = [case(index, index % 2, fold=(index // 2) % 2) for index in range(8)]
    assert assign(every, 0).tolist() == [0, 0, 1, 1, 0, 0, 1, 1]


def test_a_patient_given_in_two_folds_is_refused() -> None:
    """It would be judged by a network that has learnt from it."""
    every = [case(index, index % 2, fold=index // 2, patient="same") for index in range(4)]
    with pytest.raises(UsageError, match="case c2: its patient is in folds 0 and 1"):
        assign(every, 0)


def test_a_fold_without_a_class_is_refused() -> None:
    """Nothing could be judged there."""
    every = [case(index, index % 2, fold=index % 2) for index in range(8)]
    with pytest.raises(UsageError, match="fold 0 has no case of class"):
        assign(every, 0)


def test_a_left_out_number_is_refused() -> None:
    """Folds are 0, 1, … without a gap."""
    every = [case(index, index % 2, fold=2 * (index // 4)) for index in range(8)]
    with pytest.raises(UsageError, match=r"the folds are \[0, 2\]"):
        assign(every, 0)


def test_fewer_patients_than_folds_are_refused() -> None:
    """Two patients make no three folds."""
    with pytest.raises(UsageError, match="3 folds need at least as many patients"):
        assign(cases(patients=2), 0, 3)
