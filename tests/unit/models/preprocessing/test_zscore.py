"""The z-score over a mask (PORCELAIN, eq. 1)."""

import numpy as np
import pytest

from models.preprocessing.zscore import zscore
from node.domain.reasons import ReasonCode
from node.errors import Refused


def test_statistics_are_those_of_the_mask_alone() -> None:
    """Inside the mask the mean is 0 and the deviation 1; outside all is 0, whatever was there."""
    generator = np.random.default_rng(0)
    values = generator.normal(150, 30, (4, 5, 6)).astype(np.float32)
    mask = generator.random((4, 5, 6)) > 0.5
    result = zscore(values, mask)
    assert abs(result[mask].mean()) < 1e-6
    assert abs(result[mask].std() - 1) < 1e-6
    assert not result[~mask].any()


def test_a_voxel_of_value_zero_counts() -> None:
    """Zeros inside the mask are values like others: the mask is explicit."""
    result = zscore(np.array([0.0, 2.0, 9.0], dtype=np.float32), np.array([True, True, False]))
    assert result.tolist() == [-1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("mask", "code"), [([False, False], ReasonCode.ROI_EMPTY), ([True, True], ReasonCode.INPUT_CONTRACT)]
)
def test_what_has_no_deviation_is_refused(mask: list[bool], code: ReasonCode) -> None:
    """No voxel is an empty region; equal values do not meet the input contract."""
    with pytest.raises(Refused) as refused:
        zscore(np.array([350.0, 350.0], dtype=np.float32), np.array(mask))
    assert refused.value.reason.code is code
