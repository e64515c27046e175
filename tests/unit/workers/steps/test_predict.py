"""Predict: the rules choose, the predictor says."""

import numpy as np
import pytest

from node.domain.clinical import ClinicalRecord
from node.domain.coding import Anatomy
from node.domain.identifiers import FrameOfReferenceUID
from node.domain.imaging import Geometry, Roi, Volume
from node.domain.reasons import ReasonCode
from node.errors import Refused, UsageError
from node.settings import RuleSettings
from tests.factories import ct_slices, series_of
from tests.fakes import FakePredictor
from workers.steps.predict import choose_predictor, predict

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


def test_the_predictor_is_given_the_case() -> None:
    """Volume, region and clinical record as they are."""
    predictor, record = FakePredictor(), ClinicalRecord()
    assert predict(predictor, VOLUME, ROI, record).algorithm is predictor.identity
    (case,) = predictor.cases
    assert (case.volume, case.roi, case.clinical) == (VOLUME, ROI, record)
