"""A case turned to the patient's axes, and what was said of it turned back."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from models.predictors.porcelain import Porcelain
from models.predictors.posture import flips_of, turned
from node.domain.clinical import ClinicalRecord
from node.domain.coding import Anatomy
from node.domain.imaging import BoolArray, Geometry, Roi, Volume
from node.domain.prediction import Case

SHAPE = (12, 64, 64)
BALL = ((4, 20, 40), (3, 9, 9))
"""Centre and radii of the region."""


def test_a_turned_case_is_in_the_same_place(
    make_volume: Callable[..., Volume], make_roi: Callable[..., Roi], make_ball: Callable[..., BoolArray]
) -> None:
    """Each voxel where it was in the patient; twice turned it is as it was."""
    volume = make_volume(SHAPE)
    case = Case(
        volume, make_roi(volume, Anatomy.PANCREAS, make_ball(SHAPE, (4, 20, 40), (3, 9, 9))), ClinicalRecord(())
    )
    flips = (True, False, True)
    other = turned(case, flips)
    index = np.array([[40.0, 20.0, 4.0]])
    mirrored = np.array([[63.0 - 40.0, 20.0, 11.0 - 4.0]])
    np.testing.assert_allclose(other.volume.geometry.to_lps_mm(mirrored), volume.geometry.to_lps_mm(index))
    assert other.volume.hu[7, 20, 23] == volume.hu[4, 20, 40]
    assert flips_of(other.volume.geometry) == flips
    back = turned(other, flips)
    np.testing.assert_array_equal(back.volume.hu, volume.hu)
    np.testing.assert_allclose(back.volume.geometry.origin_lps_mm, volume.geometry.origin_lps_mm)
    assert back.volume.instance_uids == volume.instance_uids


def test_the_answer_does_not_depend_on_how_a_series_is_stored(
    porcelain: Porcelain,
    make_volume: Callable[..., Volume],
    make_roi: Callable[..., Roi],
    make_ball: Callable[..., BoolArray],
) -> None:
    """The same number, and the map at the same place of the patient."""
    volume = make_volume(SHAPE)
    case = Case(
        volume, make_roi(volume, Anatomy.PANCREAS, make_ball(SHAPE, (4, 20, 40), (3, 9, 9))), ClinicalRecord(())
    )
    stored = turned(case, (True, True, False))
    one, other = porcelain.predict(case), porcelain.predict(stored)
    assert other.scores == one.scores
    assert other.explanation.key_slices == tuple(11 - key for key in one.explanation.key_slices)
    shown = [one.explanation.on_slice(key, (64, 64)) for key in one.explanation.key_slices]
    again = [other.explanation.on_slice(11 - key, (64, 64))[::-1] for key in one.explanation.key_slices]
    np.testing.assert_array_equal(np.stack(shown), np.stack(again))


def test_what_is_not_axial_is_left_as_it_is(make_grid: Callable[..., Geometry]) -> None:
    """A reformat has no such axes; whether it is analysed is decided elsewhere."""
    sagittal = replace(make_grid(), direction=((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0)))
    assert flips_of(sagittal) == (False, False, False)
