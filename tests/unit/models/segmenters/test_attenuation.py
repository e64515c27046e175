"""Mean attenuation of what was segmented: of the core, where edges do not mix in."""

import numpy as np
import pytest

from models.segmenters.attenuation import core, means_hu
from node.domain.parts import Part


def block() -> tuple[np.ndarray, np.ndarray]:
    """A liver of 110 HU whose outer shell is mixed with fat, and two kidneys under one name."""
    labels = np.zeros((20, 20, 20), np.uint8)
    hu = np.full(labels.shape, -100.0, np.float32)
    labels[2:12, 2:12, 2:12], hu[2:12, 2:12, 2:12] = 1, 20.0
    hu[3:11, 3:11, 3:11] = 110.0
    labels[14:18, 14:18, 2:6], hu[14:18, 14:18, 2:6] = 2, 200.0
    labels[14:18, 14:18, 12:16], hu[14:18, 14:18, 12:16] = 3, 180.0
    return hu, labels


MEANING = {1: Part.LIVER, 2: Part.KIDNEY, 3: Part.KIDNEY, 4: Part.AORTA}


def test_an_organ_is_measured_in_its_core() -> None:
    """Its edge is mixed with what lies beside it."""
    assert means_hu(*block(), MEANING)[Part.LIVER] == pytest.approx(110.0)


def test_a_vessel_too_thin_to_have_a_core_is_read_where_it_is_unmixed() -> None:
    """Two voxels wide, drawn half a voxel beside it: most of what is marked is half fat, and some is calcium."""
    labels, hu = np.zeros((40, 12, 12), np.uint8), np.full((40, 12, 12), -100.0, np.float32)
    labels[:, 4:6, 4:6] = 4
    hu[:, 4:6, 4], hu[:, 4:6, 5] = 160.0, 30.0
    hu[::20, 4, 4] = 700.0
    assert float(hu[labels == 4].mean()) < 110.0
    assert means_hu(hu, labels, MEANING)[Part.AORTA] == pytest.approx(160.0)


def test_labels_of_one_part_are_measured_together() -> None:
    """Both kidneys are one part; what is not there has no mean."""
    found = means_hu(*block(), MEANING)
    assert found[Part.KIDNEY] == pytest.approx(190.0, abs=10.0)
    assert Part.AORTA not in found


def test_a_few_voxels_say_nothing() -> None:
    """An organ of a handful of voxels is a mistake of the network."""
    hu, labels = block()
    labels[0, 0, :5] = 4
    assert Part.AORTA not in means_hu(hu, labels, MEANING)


def test_the_core_is_the_deeper_half() -> None:
    """At least one voxel of anything; nothing of nothing."""
    cube = np.zeros((12, 12, 12), np.bool_)
    cube[1:11, 1:11, 1:11] = True
    inside = core(cube)
    assert 0 < inside.sum() <= cube.sum()
    assert not inside[1].any()
    assert core(np.pad(np.ones((1, 1, 1), np.bool_), 2)).sum() == 1
    assert core(np.zeros((3, 3, 3), np.bool_)).sum() == 0
