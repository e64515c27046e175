"""Predictions: which algorithm said it, and where its explanation lies in the volume."""

from dataclasses import replace

import numpy as np
import pytest

from node.domain.prediction import AlgorithmIdentity, Explanation, ExplanationMethod, TrainingStatus

IDENTITY = AlgorithmIdentity("a", "1", "m", "f", "0" * 64, TrainingStatus.UNTRAINED, "untrained")
SHAPE = (6, 8)


@pytest.fixture
def explanation() -> Explanation:
    """A box of 2 x 3 x 4 voxels that begins at slice 5, row 1, column 2."""
    saliency = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    return Explanation(ExplanationMethod.GRAD_CAM, "evidence", saliency, (5, 1, 2), (5,))


def test_the_same_bundle_is_the_same_device() -> None:
    """Its UID follows from name, version and digest, whatever is said about it."""
    assert replace(IDENTITY, disclaimer="other").device_uid == IDENTITY.device_uid
    assert replace(IDENTITY, digest="1" * 64).device_uid != IDENTITY.device_uid


def test_a_map_is_placed_on_its_slice(explanation: Explanation) -> None:
    """The box's plane at its rows and columns, zero around it."""
    plane = explanation.on_slice(6, SHAPE)
    np.testing.assert_array_equal(plane[1:4, 2:6], explanation.saliency[1])
    plane[1:4, 2:6] = 0
    assert not plane.any()


@pytest.mark.parametrize("index", [0, 4, 7])
def test_slices_beside_the_box_have_no_evidence(explanation: Explanation, index: int) -> None:
    """Before its first and after its last slice the map is zero."""
    assert not explanation.on_slice(index, SHAPE).any()
    assert explanation.on_slice(index, SHAPE).shape == SHAPE


def test_a_map_without_evidence_is_empty(explanation: Explanation) -> None:
    """All zero says that nothing speaks for it."""
    assert not explanation.is_empty
    assert replace(explanation, saliency=np.zeros((1, 1, 1), dtype=np.float32)).is_empty
