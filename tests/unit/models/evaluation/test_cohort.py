"""Cohorts: parts keep their rows together, and two classes are made of several."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.evaluation.cohort import Cohort
from models.evaluation.cohort_file import read_cohort
from tests.unit.models.evaluation.cohorts import write_cohort


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Ninety cases."""
    return read_cohort(*write_cohort(tmp_path))


def test_a_set_has_its_own_rows(cohort: Cohort) -> None:
    """Every array and word is that of the case."""
    part = cohort.of_set("external")
    rows = [index for index, name in enumerate(cohort.sets) if name == "external"]
    assert part.cases == tuple(f"c{index}" for index in rows)
    assert (part.labels == cohort.labels[rows]).all()
    assert (part.variant("B").probabilities == cohort.variant("B").probabilities[rows]).all()
    assert (part.readers[0].called == cohort.readers[0].called[rows]).all()
    assert (part.follow_ups[0].months == cohort.follow_ups[0].months[rows]).all()
    assert part.descriptors["centre"] == tuple(cohort.descriptors["centre"][index] for index in rows)
    assert (part.covariates["cea"] == cohort.covariates["cea"][rows]).all()
    assert cohort.set_names() == ("external", "internal")


def test_classes_become_two(cohort: Cohort) -> None:
    """From a class on they are positive: probabilities add up, calls and labels follow."""
    two = cohort.dichotomised(2)
    before = cohort.variant("A")
    assert two.classes == ("T1 or T2", "T3 or T4")
    assert two.variant("A").probabilities[:, 1] == pytest.approx(before.probabilities[:, 2:].sum(axis=1))
    assert (two.variant("A").called == (before.called >= 2)).all()
    assert (two.labels == (cohort.labels >= 2)).all()
    unread = replace(cohort.readers[0], called=np.full(len(cohort.cases), -1))
    assert set(replace(cohort, readers=(unread,)).dichotomised(2).readers[0].called.tolist()) == {-1}


def test_patients_are_numbered_without_gaps(cohort: Cohort) -> None:
    """In a part as well."""
    several = replace(cohort, patients=tuple(f"p{index // 2}" for index in range(len(cohort.cases))))
    assert sorted(set(several.groups.tolist())) == list(range(45))
    part = several.of_set("external")
    assert sorted(set(part.groups.tolist())) == list(range(len(set(part.patients))))


def test_what_was_left_out_counts_among_what_was_found(cohort: Cohort) -> None:
    """One had no portal-venous phase."""
    assert [(one.reason, one.cases) for one in cohort.exclusions] == [("no portal-venous phase", 1)]
    assert cohort.found == 91
