"""The case of nobody."""

import numpy as np
import pytest

from models.predictors.practice import practice_case
from node.domain.coding import Anatomy


@pytest.mark.parametrize("anatomy", Anatomy)
def test_it_is_a_lesion_in_a_body(anatomy: Anatomy) -> None:
    """The lesion lies in tissue, away from the faces of the volume, and is of the organ asked for."""
    case = practice_case(anatomy)
    assert case.roi.anatomy is anatomy
    assert case.roi.geometry == case.volume.geometry
    assert len(case.volume.instance_uids) == case.volume.hu.shape[0]
    assert 0 < case.roi.mask.sum() < 0.1 * case.roi.mask.size
    assert not case.roi.mask[[0, -1]].any()
    assert case.volume.hu[case.roi.mask].mean() > 50
    assert case.volume.hu.min() == -1000
    assert case.volume.hu.dtype == np.float32
