"""Rules: which predictor a region goes to."""

import numpy as np
import pytest

from node.domain.coding import Anatomy
from node.domain.identifiers import FrameOfReferenceUID
from node.domain.imaging import Geometry, Roi, Series
from node.domain.reasons import ReasonCode
from node.errors import Refused
from node.settings import RuleSettings, Settings
from node.triage.rules import choose
from tests.factories import ct_slices, series_of

AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def roi(anatomy: Anatomy = Anatomy.PANCREAS, label: str = "Tumour") -> Roi:
    """A region in an organ."""
    geometry = Geometry((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), AXES, FrameOfReferenceUID("2.25.1"))
    return Roi(np.ones((1, 1, 1), dtype=np.bool_), geometry, anatomy, label, "dicom-seg")


def rule(predictor: str, **when: str) -> RuleSettings:
    """A rule of the settings."""
    return RuleSettings(predictor=predictor, when=when)


@pytest.fixture
def series() -> Series:
    """A CT series with a description."""
    return series_of(ct_slices(3, SeriesDescription="Abdomen PV 3.0", Manufacturer="SIEMENS"))


@pytest.mark.parametrize(("anatomy", "expected"), [(Anatomy.PANCREAS, "porcelain"), (Anatomy.STOMACH, "gtrnet")])
def test_by_default_the_organ_decides(series: Series, anatomy: Anatomy, expected: str) -> None:
    """The pancreas goes to PORCELAIN, the stomach to GTRNet, without any settings."""
    assert choose(Settings().rules, series, roi(anatomy)).predictor == expected


def test_the_first_rule_that_matches_wins(series: Series) -> None:
    """Later rules are not asked."""
    rules = [rule("a", Manufacturer="GE*"), rule("b", RoiAnatomy="pancreas"), rule("c", RoiAnatomy="pancreas")]
    assert choose(rules, series, roi()).predictor == "b"


def test_all_conditions_of_a_rule_must_hold(series: Series) -> None:
    """One condition that fails is enough to pass a rule over."""
    rules = [rule("a", RoiAnatomy="pancreas", Manufacturer="GE*"), rule("b", RoiAnatomy="pancreas", Modality="CT")]
    assert choose(rules, series, roi()).predictor == "b"


def test_a_rule_without_conditions_matches_everything(series: Series) -> None:
    """It can stand last as a fallback."""
    assert choose([rule("a", RoiAnatomy="stomach"), rule("b")], series, roi()).predictor == "b"


@pytest.mark.parametrize(
    ("name", "pattern", "matches"),
    [
        ("SeriesDescription", "*PV*", True),
        ("SeriesDescription", "*pv*", True),
        ("SeriesDescription", "Abdomen", False),
        ("SeriesDescription", "abdomen ?? 3.0", True),
        ("Manufacturer", "siemens", True),
        ("Manufacturer", "[gs]*", True),
        ("RoiLabel", "tum*", True),
        ("RoiLabel", "cyst", False),
        ("Modality", "CT", True),
        ("Modality", "MR", False),
        ("ProtocolName", "*", True),
        ("ProtocolName", "?*", False),
    ],
)
def test_conditions_are_shell_patterns_that_ignore_case(
    series: Series, name: str, pattern: str, *, matches: bool
) -> None:
    """They match a whole value; an attribute that is absent is an empty value."""
    rules = [rule("yes", **{name: pattern}), rule("no")]
    assert choose(rules, series, roi()).predictor == ("yes" if matches else "no")


def test_without_a_matching_rule_the_region_is_refused(series: Series) -> None:
    """NO_RULE names the organ that no rule sends anywhere."""
    with pytest.raises(Refused) as refused:
        choose([rule("a", RoiAnatomy="stomach")], series, roi())
    assert refused.value.reason.code is ReasonCode.NO_RULE
    assert "pancreas" in refused.value.reason.detail
