"""Stacking: single images make a volume only when they are parallel, evenly spaced, complete and of one kind."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from node.domain.identifiers import InstanceUID, SeriesUID, StudyUID
from node.domain.imaging import Instance, PatientIdentity, Vector
from node.domain.reasons import Reason, ReasonCode
from node.domain.stacking import FEWEST_SLICES, Stack, stack

Orientation = tuple[float, float, float, float, float, float]

AXIAL: Orientation = (1, 0, 0, 0, 1, 0)
CORONAL: Orientation = (1, 0, 0, 0, 0, -1)
SAGITTAL: Orientation = (0, 1, 0, 0, 0, -1)
# Image Orientation of axial slices by Patient Position (PS3.3 section C.7.3.1.1.2).
PRONE: Orientation = (-1, 0, 0, 0, -1, 0)
FEET_FIRST: Orientation = (-1, 0, 0, 0, 1, 0)
TILTED: Orientation = (1, 0, 0, 0, 0.9848, 0.1736)


def image(number: int, position: Vector, orientation: Orientation = AXIAL, **changes: Any) -> Instance:
    """One image at a position."""
    made = Instance(
        uid=InstanceUID(f"1.2.{number}"),
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        series_uid=SeriesUID("1.3"),
        study_uid=StudyUID("1.4"),
        patient=PatientIdentity("P"),
        modality="CT",
        frame_of_reference_uid="1.5",
        image_position_mm=position,
        image_orientation=orientation,
        pixel_spacing_mm=(0.7, 0.8),
        rows=10,
        columns=12,
    )
    return replace(made, **changes)


def normal_of(orientation: Orientation) -> np.ndarray[Any, Any]:
    """The direction in which slices are stacked."""
    return np.cross(orientation[:3], orientation[3:])


def images(
    heights: Iterable[float] = (0, 2, 4, 6, 8, 10), orientation: Orientation = AXIAL, **changes: Any
) -> list[Instance]:
    """Images at ``heights`` along their normal."""
    start = np.array([-100.0, -120.0, 30.0])
    positions = [start + height * normal_of(orientation) for height in heights]
    return [
        image(number, (float(at[0]), float(at[1]), float(at[2])), orientation, **changes)
        for number, at in enumerate(positions)
    ]


def changed(index: int = 2, **changes: Any) -> list[Instance]:
    """A good series, but for one image."""
    made = images()
    made[index] = replace(made[index], **changes)
    return made


def stacked(instances: Sequence[Instance]) -> Stack:
    """The stack, which there must be."""
    made = stack(instances)
    assert isinstance(made, Stack), made
    return made


def reason_of(instances: Sequence[Instance]) -> ReasonCode:
    """Why there is no stack."""
    made = stack(instances)
    assert isinstance(made, Reason)
    return made.code


ORIENTATIONS = pytest.mark.parametrize(
    "orientation",
    [AXIAL, PRONE, FEET_FIRST, CORONAL, SAGITTAL, TILTED],
    ids=["axial", "prone", "feet first", "coronal", "sagittal", "tilted"],
)


@ORIENTATIONS
def test_slices_are_ordered_by_place_however_they_came(orientation: Orientation) -> None:
    """Along their own normal, whatever their order of arrival or their numbers say."""
    ordered = images(orientation=orientation)
    generator = np.random.default_rng(1)
    for _ in range(3):
        shuffled = [ordered[index] for index in generator.permutation(len(ordered))]
        assert stacked(shuffled).instances == tuple(ordered)
    assert stacked(ordered[::-1]).instances == tuple(ordered)


@ORIENTATIONS
def test_the_grid_lies_where_the_slices_say(orientation: Orientation) -> None:
    """Voxel [k, 0, 0] is at the position of slice k, and columns, rows and slices run along their directions."""
    made = stacked(images(orientation=orientation))
    geometry = made.geometry
    assert geometry.shape_zyx == (6, 10, 12)
    assert geometry.spacing_xyz_mm == pytest.approx((0.8, 0.7, 2.0), abs=1e-3)
    corners = geometry.to_lps_mm(np.array([[0, 0, k] for k in range(6)], dtype=float))
    np.testing.assert_allclose(corners, [one.image_position_mm for one in made.instances], atol=1e-3)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    start = np.array(made.instances[0].image_position_mm)
    along = geometry.to_lps_mm(np.array([[3.0, 0, 0], [0, 4.0, 0]]))
    np.testing.assert_allclose(along, [start + 3 * 0.8 * row, start + 4 * 0.7 * column], atol=1e-9)


@ORIENTATIONS
def test_the_directions_of_the_grid_are_right_handed(orientation: Orientation) -> None:
    """No volume is mirrored: left stays left, prone or feet first."""
    directions = np.array(stacked(images(orientation=orientation)).geometry.direction)
    assert np.linalg.det(directions) == pytest.approx(1.0, abs=1e-3)


def test_a_missing_slice_is_noticed() -> None:
    """With its place, wherever it was."""
    made = stack(images((0, 2, 4, 8, 10)))
    assert made == Reason(ReasonCode.MISSING_SLICE, "4.00 mm after slice 3 of 5, elsewhere 2.00 mm")


def test_a_slice_that_is_there_twice_is_noticed() -> None:
    """Two images at one position leave open which is meant."""
    made = stack(images((0, 2, 4, 4, 6)))
    assert made == Reason(ReasonCode.DUPLICATE_POSITION, "slice 3 of 5")


def test_two_passes_over_the_same_region_are_noticed() -> None:
    """A second series of slices between those of the first is no finer volume unless it is even."""
    assert reason_of(images((0, 2, 4, 6, 0.5, 2.5, 4.5, 6.5))) is ReasonCode.MISSING_SLICE


def test_slices_that_shift_in_their_plane_are_refused() -> None:
    """A tilted gantry gives a leaning stack, not a box."""
    leaning = [image(k, (0.0, 0.4 * k, 2.0 * k)) for k in range(6)]
    assert reason_of(leaning) is ReasonCode.MIXED_ORIENTATION


def test_a_lean_too_small_between_neighbours_is_seen_over_the_whole() -> None:
    """0.09 mm a slice is 18 mm over two hundred: voxels would lie far from where the grid says."""
    leaning = [image(k, (0.0, 0.09 * k, 2.0 * k)) for k in range(200)]
    assert stack(leaning) == Reason(ReasonCode.MIXED_ORIENTATION, "the stack leans by 17.91 mm from end to end")


def test_a_spacing_that_drifts_is_seen_over_the_whole() -> None:
    """Distances that each pass, but put slices nearer to a neighbour's place than to their own, are refused."""
    heights = np.cumsum([0.0, *[2.0] * 50, *[2.15] * 50])
    made = stack(images(heights))
    assert isinstance(made, Reason)
    assert made.code is ReasonCode.MISSING_SLICE
    assert "off its place on an even grid" in made.detail


def test_rounded_positions_are_tolerated() -> None:
    """Scanners write decimal text: jitter of a few hundredths of a millimetre is not a missing slice."""
    heights = 1.25 * np.arange(300) + np.random.default_rng(1).uniform(-0.04, 0.04, 300)
    assert stacked(images(heights)).geometry.spacing_xyz_mm[2] == pytest.approx(1.25, abs=0.001)


def test_rounded_cosines_are_tolerated() -> None:
    """Orientations that differ in the fourth place are the same, and those of three places are unit vectors."""
    rounded: Orientation = (1, 0.0001, 0, 0, 0.985, 0.174)
    made = images(orientation=TILTED)
    made[3] = replace(made[3], image_orientation=rounded)
    assert stacked(made).geometry.shape_zyx[0] == 6


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_slices_are_no_volume(count: int) -> None:
    """A key slice needs its neighbours; three make a volume."""
    made = stack(images()[:count])
    assert made == Reason(ReasonCode.TOO_FEW_SLICES, f"{count} of at least {FEWEST_SLICES}")
    assert stacked(images()[:FEWEST_SLICES]).geometry.shape_zyx[0] == 3


def test_no_slices_are_no_volume() -> None:
    """An empty series is told as too few."""
    assert reason_of([]) is ReasonCode.TOO_FEW_SLICES


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"image_position_mm": None}, ReasonCode.NO_GEOMETRY),
        ({"image_orientation": None}, ReasonCode.NO_GEOMETRY),
        ({"pixel_spacing_mm": None}, ReasonCode.NO_GEOMETRY),
        ({"image_orientation": CORONAL}, ReasonCode.MIXED_ORIENTATION),
        ({"image_orientation": (1, 0, 0, 0, 0.9998, 0.02)}, ReasonCode.MIXED_ORIENTATION),
        ({"rows": 11}, ReasonCode.MIXED_GEOMETRY),
        ({"columns": 11}, ReasonCode.MIXED_GEOMETRY),
        ({"pixel_spacing_mm": (0.7, 0.9)}, ReasonCode.MIXED_GEOMETRY),
        ({"frame_of_reference_uid": "1.6"}, ReasonCode.MIXED_GEOMETRY),
        ({"frame_of_reference_uid": ""}, ReasonCode.MIXED_GEOMETRY),
    ],
)
@pytest.mark.parametrize("index", [0, 3])
def test_one_odd_slice_spoils_the_stack(changes: dict[str, Any], code: ReasonCode, index: int) -> None:
    """Wherever it is, the reason says what differs."""
    assert reason_of(changed(index, **changes)) is code


@pytest.mark.parametrize(
    "changes",
    [
        {"image_orientation": (0, 0, 0, 0, 0, 0)},
        {"image_orientation": (1, 0, 0, 1, 0, 0)},
        {"image_orientation": (1, 0, 0, 0, 2, 0)},
        {"pixel_spacing_mm": (0.0, 0.8)},
        {"pixel_spacing_mm": (0.7, -0.8)},
    ],
    ids=["null", "parallel", "not a unit", "no size", "negative size"],
)
def test_a_geometry_that_cannot_be_is_none(changes: dict[str, Any]) -> None:
    """Values that describe no grid in space are refused, whichever slice has them."""
    assert reason_of(images(**changes)) is ReasonCode.NO_GEOMETRY
    assert reason_of(changed(**changes)) is ReasonCode.NO_GEOMETRY


@pytest.mark.parametrize("uid", ["", "1.02", "not a uid", "1." * 40 + "1"])
def test_a_frame_of_reference_that_is_no_uid_is_a_reason_not_an_error(uid: str) -> None:
    """Such headers exist: the series is refused, and who asked lives on."""
    assert reason_of(images(frame_of_reference_uid=uid)) is ReasonCode.MIXED_GEOMETRY
