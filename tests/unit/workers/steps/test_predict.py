"""Predict: the rules choose, the predictor says, of several at once where there are several."""

from dataclasses import replace

import numpy as np
import pytest

from node.domain.clinical import ClinicalRecord
from node.domain.coding import Anatomy
from node.domain.identifiers import FrameOfReferenceUID
from node.domain.imaging import Geometry, Roi, Series, Volume
from node.domain.prediction import Case
from node.domain.reasons import ReasonCode
from node.errors import DeviceFull, Refused, UsageError
from node.settings import RuleSettings
from tests.factories import ct_slices, series_of
from tests.fakes import FakePredictor, raising
from workers.steps.predict import Together, choose_predictor

AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
GEOMETRY = Geometry((2, 3, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), AXES, FrameOfReferenceUID("2.25.1"))
VOLUME = Volume(np.zeros((2, 3, 4), dtype=np.float32), GEOMETRY, ())
ROI = Roi(np.ones((2, 3, 4), dtype=np.bool_), GEOMETRY, Anatomy.STOMACH, "Tumour", "dicom-seg")
SERIES = series_of(ct_slices(3))


def test_the_predictor_of_the_matching_rule_is_chosen() -> None:
    """With its registered name."""
    known = {"a": FakePredictor(), "b": FakePredictor()}
    rules = [RuleSettings(predictor="a", when={"RoiAnatomy": "pancreas"}), RuleSettings(predictor="b")]
    assert choose_predictor(rules, known, SERIES, ROI) == ("b", known["b"])


def test_without_a_matching_rule_the_region_is_refused() -> None:
    """NO_RULE."""
    rules = [RuleSettings(predictor="a", when={"RoiAnatomy": "pancreas"})]
    with pytest.raises(Refused) as refused:
        choose_predictor(rules, {"a": FakePredictor()}, SERIES, ROI)
    assert refused.value.reason.code is ReasonCode.NO_RULE


def test_a_rule_for_a_predictor_that_does_not_exist_is_wrong_usage() -> None:
    """The message says which one and what there is."""
    with pytest.raises(UsageError, match="no predictor 'b'; known: a"):
        choose_predictor([RuleSettings(predictor="b")], {"a": FakePredictor()}, SERIES, ROI)


def case(anatomy: Anatomy = Anatomy.STOMACH) -> tuple[Series, Case]:
    """Another one."""
    return SERIES, Case(VOLUME, replace(ROI, anatomy=anatomy), ClinicalRecord())


def test_one_alone_is_predicted_as_it_is() -> None:
    """Volume, region and clinical record; nobody speaks of several."""
    predictor, (series, one) = FakePredictor(), case()
    together = Together([RuleSettings(predictor="a")], {"a": predictor}, [(series, one)])
    name, prediction = together.predict(series, one)
    assert (name, prediction.algorithm) == ("a", predictor.identity)
    assert predictor.cases == [one]
    assert predictor.together == []


def test_several_are_predicted_at_once_when_the_first_is_asked_for() -> None:
    """Those of the same predictor: each predictor once, and no case twice."""
    known = {"a": FakePredictor(), "b": FakePredictor()}
    rules = [RuleSettings(predictor="a", when={"RoiAnatomy": "pancreas"}), RuleSettings(predictor="b")]
    cases = [case(anatomy) for anatomy in (Anatomy.STOMACH, Anatomy.PANCREAS, Anatomy.STOMACH, Anatomy.PANCREAS)]
    together = Together(rules, known, cases)
    assert [together.predict(series, one)[0] for series, one in cases] == ["b", "a", "b", "a"]
    for name, mine in (("a", cases[1::2]), ("b", cases[::2])):
        assert known[name].together == [2]
        assert known[name].cases == [one for _, one in mine]


def test_one_that_is_refused_leaves_the_others_their_predictions() -> None:
    """It is told why when it is asked for; nobody is predicted again."""
    cases = [case(), case(), case()]
    predictor = FakePredictor(refuses=(cases[1][1],))
    together = Together([RuleSettings(predictor="a")], {"a": predictor}, cases)
    together.predict(*cases[0])
    with pytest.raises(Refused, match="unfit"):
        together.predict(*cases[1])
    together.predict(*cases[2])
    assert len(predictor.cases) == 2


def test_one_without_a_rule_is_left_out() -> None:
    """And says so when it is asked for."""
    predictor, cases = FakePredictor(), [case(Anatomy.PANCREAS), case(), case(Anatomy.PANCREAS)]
    together = Together([RuleSettings(predictor="a", when={"RoiAnatomy": "pancreas"})], {"a": predictor}, cases)
    together.predict(*cases[0])
    with pytest.raises(Refused):
        together.predict(*cases[1])
    together.predict(*cases[2])
    assert predictor.together == [2]


@pytest.mark.parametrize("error", [DeviceFull("no memory"), ZeroDivisionError()], ids=repr)
def test_what_fails_with_several_is_tried_with_each_alone(error: Exception) -> None:
    """Once: a GPU that is too small for all, or one case that breaks a predictor, is nobody else's fault."""
    predictor, cases = FakePredictor(hook_of_many=raising(error)), [case(), case()]
    together = Together([RuleSettings(predictor="a")], {"a": predictor}, cases)
    for series, one in cases:
        assert together.predict(series, one)[1].algorithm is predictor.identity
    assert predictor.together == [2]
    assert predictor.cases == [one for _, one in cases]
