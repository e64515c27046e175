"""Volumes to SimpleITK and back."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from models.preprocessing.itk import from_itk, to_itk
from node.domain.imaging import Volume


def tilted(volume: Volume) -> Volume:
    """The volume with a direction matrix that is not symmetric."""
    c, s = float(np.cos(0.3)), float(np.sin(0.3))
    return replace(volume, geometry=replace(volume.geometry, direction=((c, s, 0.0), (-s, c, 0.0), (0.0, 0.0, 1.0))))


def test_a_voxel_lies_at_the_same_place_on_both_sides(make_volume: Callable[..., Volume]) -> None:
    """The physical point of an index is the same for ITK and for our geometry, also when the grid is turned."""
    volume = tilted(make_volume((3, 5, 7)))
    image = to_itk(volume)
    index = (6, 2, 1)
    ours = volume.geometry.to_lps_mm(np.array([index], dtype=np.float64))[0]
    assert np.allclose(image.TransformIndexToPhysicalPoint(index), ours)
    assert image[index] == volume.hu[1, 2, 6]


def test_there_and_back_is_the_same_volume(make_volume: Callable[..., Volume]) -> None:
    """Values and geometry survive the round trip."""
    volume = tilted(make_volume((3, 5, 7)))
    back = from_itk(to_itk(volume), volume.geometry.frame_of_reference_uid, volume.instance_uids)
    assert np.array_equal(back.hu, volume.hu)
    assert back.geometry == volume.geometry
    assert back.instance_uids == volume.instance_uids
