"""Stacks with holes."""

import pytest

from models.segmenters.spacing import refuse_gaps
from node.domain.reasons import ReasonCode
from node.errors import Refused


@pytest.mark.parametrize("slices", [[], [4], [4, 5, 6], [2, 9], [3, 4, 8, 9], [3, 4, 8]])
def test_whole_stacks_and_separate_parts_pass(slices: list[int]) -> None:
    """Neighbouring slices pass, also in several parts, and so do one or two single slices."""
    refuse_gaps(slices)


@pytest.mark.parametrize("slices", [[1, 3, 5], [10, 5, 0], [0, 2, 7]])
def test_a_rhythm_of_gaps_is_refused(slices: list[int]) -> None:
    """Three slices of which no two are neighbours were drawn on another spacing."""
    with pytest.raises(Refused) as refused:
        refuse_gaps(slices)
    assert refused.value.reason.code is ReasonCode.ROI_GEOMETRY
