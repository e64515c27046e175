"""The table of PORCELAIN's models."""

from pathlib import Path
from typing import Any

import pytest

from models.fields import Fields
from models.predictors.variants import VARIANTS, Variant, window_hu
from node.errors import BundleError


def fields(**values: Any) -> Fields:
    """The parameters of a bundle."""
    return Fields(Path("metadata.json"), values, "parameters.")


@pytest.mark.parametrize(
    ("name", "is_masked", "dilation_mm", "is_multimodal"),
    [
        ("cuboid", False, None, False),
        ("roi", True, None, False),
        ("roiex-3mm", True, 3.0, False),
        ("roiex-5mm", True, 5.0, False),
        ("multimodal-cuboid", False, None, True),
        ("multimodal-roiex", True, 3.0, True),
        ("multimodal-roi", True, None, True),
    ],
)
def test_each_of_the_seven_reads_what_the_paper_says(
    name: str, is_masked: bool, dilation_mm: float | None, is_multimodal: bool
) -> None:
    """Table 2; the multimodal ROIex with the 3 mm that the paper chose for it (results)."""
    variant = Variant.read(fields(variant=name))
    assert (variant.name, variant.is_multimodal) == (name, is_multimodal)
    assert (variant.region.is_masked, variant.region.dilation_mm) == (is_masked, dilation_mm)


def test_there_are_seven() -> None:
    """As many as the paper has."""
    assert len(VARIANTS) == 7


def test_another_distance_is_a_parameter() -> None:
    """A bundle may dilate by another distance than the paper; the table stays as it is."""
    assert Variant.read(fields(variant="multimodal-roiex", dilation_mm=5)).region.dilation_mm == 5.0
    assert VARIANTS["multimodal-roiex"].region.dilation_mm == 3.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"variant": "best"}, r"parameters\.variant is 'best', not one of cuboid, roi"),
        ({}, r"parameters\.variant is missing"),
        (
            {"variant": "roi", "dilation_mm": 3},
            r"parameters\.dilation_mm is given, but the variant 'roi' dilates nothing",
        ),
        ({"variant": "roiex-3mm", "dilation_mm": 0}, r"parameters\.dilation_mm is 0"),
        ({"variant": "roiex-3mm", "dilation_mm": 200}, r"parameters\.dilation_mm is 200"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], words: str) -> None:
    """With the file and the field."""
    with pytest.raises(BundleError, match=words):
        Variant.read(fields(**values))


def test_a_window_has_a_name_or_two_ends() -> None:
    """The paper's literal window and the abdominal one by name, any other by its ends."""
    assert window_hu(fields(window="paper")) == (40.0, 350.0)
    assert window_hu(fields(window="abdomen")) == (-135.0, 215.0)
    assert window_hu(fields(window_hu=[0, 100])) == (0.0, 100.0)
    with pytest.raises(BundleError, match="window is 'bone', not one of paper, abdomen"):
        window_hu(fields(window="bone"))
    with pytest.raises(BundleError, match="window_hu is missing"):
        window_hu(fields())
