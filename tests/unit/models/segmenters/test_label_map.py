"""From a label map that some program made to lesions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.segmenters.label_map import rois_of
from node.domain.coding import Anatomy
from node.domain.parts import Part
from node.domain.reasons import ReasonCode
from node.errors import Refused

MEANING = {1: Part.PANCREAS, 2: Part.PANCREAS_LESION}
ORGANS = (Anatomy.PANCREAS,)


def test_each_lesion_is_listed_largest_first(make_scene: Callable[..., Any]) -> None:
    """With what was measured of the organ, and the names of the others."""
    scene = make_scene()
    first, second = rois_of(scene.labels, scene.volume, MEANING, ORGANS, "zoo", "some program")
    assert first.mask.sum() > second.mask.sum()
    assert np.array_equal(first.mask | second.mask, scene.labels == 2)
    assert [other.label for other in first.others] == [second.label]
    assert first.means_hu == {Part.PANCREAS: pytest.approx(60.0)}
    assert (first.source, first.made_by) == ("zoo", "some program")


def test_only_organs_that_were_asked_for_are_answered(make_scene: Callable[..., Any]) -> None:
    """And labels that the settings do not explain are nothing."""
    scene = make_scene()
    assert rois_of(scene.labels, scene.volume, MEANING, (Anatomy.STOMACH,), "zoo", "") == ()
    assert rois_of(scene.labels, scene.volume, {1: Part.PANCREAS}, ORGANS, "zoo", "") == ()


def test_a_lesion_far_from_its_organ_is_something_else(make_scene: Callable[..., Any]) -> None:
    """Where the program marks the organ too; where it does not, every piece counts."""
    scene = make_scene()
    scene.labels[35:39, 2:6, 38:42] = 2
    assert len(rois_of(scene.labels, scene.volume, MEANING, ORGANS, "zoo", "")) == 2
    assert len(rois_of(scene.labels, scene.volume, {2: Part.PANCREAS_LESION}, ORGANS, "zoo", "")) == 3


def test_specks_are_no_lesions(make_scene: Callable[..., Any]) -> None:
    """Below a tenth of a millilitre."""
    scene = make_scene()
    scene.labels[scene.labels == 2] = 1
    scene.labels[15:17, 18:20, 15:17] = 2
    assert rois_of(scene.labels, scene.volume, MEANING, ORGANS, "zoo", "") == ()


def test_a_lesion_at_the_edge_is_not_analysed(make_scene: Callable[..., Any]) -> None:
    """It may go on outside the images."""
    scene = make_scene()
    scene.labels[0:22, 16:26, 12:20] = 2
    with pytest.raises(Refused) as refused:
        rois_of(scene.labels, scene.volume, MEANING, ORGANS, "zoo", "")
    assert refused.value.reason.code is ReasonCode.ROI_UNCERTAIN
