"""The smallest box."""

import numpy as np
import pytest

from models.preprocessing.box import extent, smallest_box
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
