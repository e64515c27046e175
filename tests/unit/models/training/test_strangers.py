"""Strange images made of familiar ones."""

import numpy as np
import pytest

from models.training.strangers import STRANGERS, strange


def study() -> np.ndarray:
    """Fat, muscle and bone, each in a corner, as whole HU."""
    hu = np.full((6, 16, 16), -1000, np.int16)
    hu[:3, :8, :8], hu[:3, :8, 8:], hu[3:, 8:, :8] = -100, 60, 700
    return hu


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_has_the_study_s_shape_and_not_its_content(name: str) -> None:
    """And leaves the study as it was; the same each time."""
    hu = study()
    made = strange(name, hu)
    assert (made.shape, made.dtype) == (hu.shape, np.float32)
    assert np.isfinite(made).all()
    assert not np.array_equal(made, hu)
    assert np.array_equal(hu, study())
    assert np.array_equal(made, strange(name, hu))


def test_mr_has_bright_fat_and_dark_bone() -> None:
    """The order of tissues is another than in CT."""
    made = strange("contrasts of T1-weighted MR", study())
    fat, muscle, bone = made[0, 0, 0], made[0, 0, 15], made[5, 15, 0]
    assert fat > muscle > bone
