"""The patient's own axes: however a series is stored, indices grow to the head, the back and the left."""

from itertools import permutations, product

import numpy as np
import pytest

from models.segmenters.orientation import Turn
from node.domain.identifiers import FrameOfReferenceUID
from node.domain.imaging import Geometry
from node.domain.reasons import ReasonCode
from node.errors import Refused

WAYS = [
    (order, signs)
    for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3))
    # Right-handed: a mirrored patient is none.
    if np.linalg.det(np.diag(signs)[:, list(order)]) > 0
]


def geometry(direction: np.ndarray) -> Geometry:
    """4 slices, 5 rows, 6 columns; ``direction``: rows are the unit vectors of x, y, z."""
    rows = tuple(tuple(row) for row in direction.tolist())
    return Geometry((4, 5, 6), (0.7, 0.8, 3.0), (1.0, 2.0, 3.0), rows, FrameOfReferenceUID("2.25.1"))


@pytest.mark.parametrize(("order", "signs"), WAYS)
def test_indices_grow_to_head_back_and_left(order: tuple[int, int, int], signs: tuple[float, float, float]) -> None:
    """For all 24 ways to store a body: feet first, prone, decubitus, sagittal and coronal."""
    direction = np.eye(3)[list(order)] * np.array(signs)[:, None]
    stored = geometry(direction)
    points = np.stack(np.meshgrid(*(range(size) for size in stored.shape_zyx), indexing="ij"), axis=-1)
    where = stored.to_lps_mm(points.reshape(-1, 3)[:, ::-1].astype(np.float64)).reshape(*stored.shape_zyx, 3)
    turn = Turn.of(stored)
    axes = [turn.to_patient(where[..., axis]) for axis in (2, 1, 0)]
    for axis, positions in enumerate(axes):
        assert (np.diff(positions, axis=axis) > 0).all()
        assert np.allclose(np.diff(positions, axis=axis), turn.spacing_zyx_mm[axis])


def test_a_turned_volume_is_a_view() -> None:
    """Nothing is copied: what is written to it lands in the series' own voxels."""
    stored = geometry(np.diag([-1.0, 1.0, -1.0]))
    mask = np.zeros(stored.shape_zyx, np.bool_)
    Turn.of(stored).to_patient(mask)[0, 0, 0] = True
    assert mask[-1, 0, -1]


def test_a_tilt_of_a_few_degrees_is_turned_to_the_nearest() -> None:
    """As a gantry or an oblique patient makes it."""
    angle = np.deg2rad(12.0)
    tilted = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(angle), np.sin(angle)], [0.0, -np.sin(angle), np.cos(angle)]])
    assert Turn.of(geometry(tilted)).order == (0, 1, 2)


def test_an_askew_series_is_refused() -> None:
    """When two axes are nearest to the same one of the patient's, no turn is right."""
    askew = np.array([[0.9, 0.3, 0.316], [0.8, -0.6, 0.0], [0.19, 0.25, -0.95]])
    with pytest.raises(Refused) as refused:
        Turn.of(geometry(askew))
    assert refused.value.reason.code is ReasonCode.ROI_GEOMETRY
