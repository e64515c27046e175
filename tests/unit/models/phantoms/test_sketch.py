"""A phantom at a fraction of its cost: the same patient, coarser."""

import numpy as np
import pytest

from models.phantoms import Kind, Organ, Wanted, draw, render
from models.phantoms.sketch import PIXELS, sketch


@pytest.mark.parametrize(("thickness_mm", "slices", "together"), [(5.0, 3, 1), (1.0, 6, 2)])
def test_a_sketch_is_the_study_averaged(thickness_mm: float, slices: int, together: int) -> None:
    """Organs where the study has them, within a cell's edge; tissue and noise as an average has them."""
    spec = draw(11, Wanted(kind=Kind.PANCREATIC, thickness_mm=thickness_mm, slices=slices))
    coarse, study = sketch(spec), render(spec)
    shape = (slices // together, together, 512 // PIXELS, PIXELS, 512 // PIXELS, PIXELS)
    averaged = study.hu.astype(np.float32).reshape(shape).mean(axis=(1, 3, 5))
    assert coarse.hu.shape == averaged.shape
    assert coarse.spacing_zyx_mm == pytest.approx([together * thickness_mm] + [2 * spec.grid.spacing_zyx_mm[1]] * 2)
    same = study.organs[::together, ::PIXELS, ::PIXELS] == coarse.organs
    assert same.mean() > 0.97
    liver = coarse.organs == Organ.LIVER
    off = (averaged - coarse.hu)[liver]
    assert liver.sum() > 500
    assert abs(off.mean()) < 1.0
    assert off.std() < averaged[liver].std()


def test_a_sketch_is_the_same_each_time() -> None:
    """Seeded as everything of a phantom."""
    spec = draw(5, Wanted(kind=Kind.GASTRIC, thickness_mm=5.0, slices=2))
    first, second = sketch(spec), sketch(spec)
    assert np.array_equal(first.hu, second.hu)
    assert np.array_equal(first.lesions, second.lesions)
