"""The analysis: every set and variant, on its own cases, with choices that are checked."""

from dataclasses import replace

import numpy as np
import pytest

from models.evaluation.analysis import Analysis, Choices, analyse
from models.evaluation.cohort import Cohort
from models.evaluation.cutoff import youden
from models.evaluation.metrics import evaluate
from models.evaluation.resampling import Resamples
from node.errors import UsageError


def test_every_set_and_variant_is_measured_on_its_own_cases(cohort: Cohort, analysis: Analysis) -> None:
    """With the figures of ``metrics``; readers and follow-up beside them."""
    assert [one.name for one in analysis.sets] == ["external", "internal"]
    for one in analysis.sets:
        part = cohort.of_set(one.name)
        assert (one.cases, sum(cases for _, cases in one.classes)) == (len(part.cases), len(part.cases))
        for variant in one.variants:
            plain = evaluate(part.labels, part.variant(variant.name).probabilities, part.classes)
            assert variant.figures.accuracy.value == plain.accuracy
            assert variant.figures.macro_auc.value == plain.macro_auc
        assert [reader.name for reader in one.readers] == ["EUS"]
        assert one.readers[0].accuracy.value == (part.readers[0].called == part.labels).mean()
        assert [(found.follow_up, found.variant) for found in one.survival] == [("os", "A"), ("os", "B")]
        assert len(one.comparisons) == 1
    assert analysis.positive == ("T3", "T4")
    assert analysis.exclusions == (("no portal-venous phase", 1),)


def test_the_cut_of_one_set_is_carried_to_the_others(cohort: Cohort, analysis: Analysis) -> None:
    """Chosen once, among the internal cases."""
    part = cohort.of_set("internal").dichotomised(2)
    cut = youden(part.labels == 1, part.variant("A").probabilities[:, 1], Resamples.of(part.groups, 100, 4))
    for one in analysis.sets:
        transfer = one.variants[0].transfer
        assert transfer is not None
        assert (transfer.cut.value, transfer.chosen_in) == (cut.value, "internal")
        here = cohort.of_set(one.name).dichotomised(2)
        called = here.variant("A").probabilities[:, 1] >= cut.value.value
        assert transfer.here.sensitivity.value == pytest.approx(called[here.labels == 1].mean())


def test_the_same_choices_give_the_same_figures(cohort: Cohort) -> None:
    """To the last digit; another seed moves an interval."""
    small = replace(cohort.of_set("external"), follow_ups=(), variants=cohort.of_set("external").variants[:1])
    once, again, other = (analyse(small, Choices(draws=100, seed=seed)).sets[0].variants[0] for seed in (1, 1, 2))
    assert once == again
    assert once.figures.macro_auc != other.figures.macro_auc


def test_a_person_may_choose_what_is_positive(cohort: Cohort) -> None:
    """From a class on; the first cannot be, for then none is negative."""
    small = replace(cohort.of_set("external"), follow_ups=(), descriptors={})
    found = analyse(small, Choices(positive_from="T2", draws=100))
    assert found.positive == ("T2", "T3", "T4")
    assert found.sets[0].positives == (small.labels >= 1).sum()
    for wrong in ("T1", "T9"):
        with pytest.raises(UsageError, match="positive classes cannot begin"):
            analyse(small, Choices(positive_from=wrong))
    with pytest.raises(UsageError, match="no case is of the set 'training'"):
        analyse(small, Choices(cut_from="training"))


def test_patients_in_two_sets_are_counted(cohort: Cohort) -> None:
    """One who is in both makes neither a test of the other."""
    small = replace(cohort, follow_ups=(), descriptors={}, patients=("same", "same", *cohort.patients[2:]))
    small = small.take(np.arange(len(cohort.cases)) < 40)
    assert analyse(small, Choices(draws=100)).shared_patients == (("external", "internal", 1),)


def test_progress_is_said(cohort: Cohort) -> None:
    """Set and variant, before each."""
    small = replace(cohort.of_set("external"), follow_ups=(), descriptors={})
    said: list[str] = []
    analyse(small, Choices(draws=100), said.append)
    assert said == ["external: A", "external: B"]


def test_a_reader_who_called_no_case_of_a_set_is_left_out_there(cohort: Cohort) -> None:
    """The other sets keep them, and the analysis goes on."""
    inside = np.array([one == "internal" for one in cohort.sets])
    some = replace(cohort.readers[0], called=np.where(inside, cohort.readers[0].called, -1))
    small = replace(cohort, readers=(some,), variants=cohort.variants[:1])
    found = {one.name: one for one in analyse(small, Choices(draws=20)).sets}
    assert [reader.name for reader in found["internal"].readers] == ["EUS"]
    assert found["external"].readers == ()
