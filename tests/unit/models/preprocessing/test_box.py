"""The smallest box."""

import numpy as np
import pytest

from models.preprocessing.box import cut, extent, grown, smallest_box
from node.domain.reasons import ReasonCode
from node.errors import Refused


def test_the_box_is_as_small_as_can_be() -> None:
    """Two voxels span the box, both ends included, also at the border of the volume."""
    mask = np.zeros((6, 7, 8), dtype=bool)
    mask[1, 6, 2] = mask[4, 0, 5] = True
    box = smallest_box(mask)
    assert box == (slice(1, 5), slice(0, 7), slice(2, 6))
    assert extent(box) == (4, 7, 4)


def test_an_empty_mask_has_no_box() -> None:
    """Without a voxel the region is refused as empty."""
    with pytest.raises(Refused) as refused:
        smallest_box(np.zeros((2, 2, 2), dtype=bool))
    assert refused.value.reason.code is ReasonCode.ROI_EMPTY


def test_a_box_grows_to_the_limits() -> None:
    """By the margin at each side, and no further than the limits."""
    box = (slice(1, 3), slice(4, 6), slice(0, 2))
    assert grown(box, 2) == (slice(-1, 5), slice(2, 8), slice(-2, 4))
    assert grown(box, 2, (slice(0, 4), slice(0, 9), slice(-1, 9))) == (slice(0, 4), slice(2, 8), slice(-1, 4))


def test_a_cut_has_zeros_where_there_is_nothing() -> None:
    """What lies on both is copied, the rest is zero; boxes that do not meet give zeros alone."""
    values = np.arange(1, 9).reshape(2, 2, 2)
    box = (slice(3, 5), slice(0, 2), slice(-1, 1))
    part = cut(values, box, (slice(4, 6), slice(0, 1), slice(0, 2)))
    assert part.tolist() == [[[6, 0]], [[0, 0]]]
    assert not cut(values, box, (slice(5, 6), slice(0, 2), slice(0, 1))).any()
