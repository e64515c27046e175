"""Images and regions: places in space, and what is measured of a region."""

from dataclasses import replace

import numpy as np
import pytest

from node.domain.coding import Anatomy
from node.domain.identifiers import FrameOfReferenceUID
from node.domain.imaging import Geometry, PatientIdentity, Roi, Series, each_with_others
from tests.factories import PATIENT, SERIES, STUDY, ct_slice, instance, series_of

TURN = 0.6
GEOMETRIES = pytest.mark.parametrize(
    "geometry",
    [
        Geometry(
            (4, 5, 6), (0.8, 0.7, 2.5), (-100.0, -120.0, 30.0), ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
            FrameOfReferenceUID("1.5"),
        ),
        Geometry(
            (4, 5, 6), (0.8, 0.7, 2.5), (10.0, 20.0, -30.0),
            ((-np.cos(TURN), -np.sin(TURN), 0), (np.sin(TURN), -np.cos(TURN), 0), (0, 0, 1)),
            FrameOfReferenceUID("1.5"),
        ),
    ],
    ids=["supine", "turned"],
)  # fmt: skip


def roi(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], geometry: Geometry) -> Roi:
    """A region on a grid."""
    return Roi(mask, geometry, Anatomy.PANCREAS, "lesion", "test")


@pytest.fixture
def grid() -> Geometry:
    """A small axial grid of 0.8 x 0.5 x 2.5 mm voxels."""
    directions = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    return Geometry((3, 4, 5), (0.8, 0.5, 2.5), (0.0, 0.0, 0.0), directions, FrameOfReferenceUID("1.5"))


@GEOMETRIES
def test_index_and_place_are_inverse(geometry: Geometry) -> None:
    """From voxels to millimetres and back, between voxels too."""
    indices = np.array([[0, 0, 0], [5, 4, 3], [1.5, 2.25, 0.75], [-2, 9, 7]])
    np.testing.assert_allclose(geometry.to_index(geometry.to_lps_mm(indices)), indices, atol=1e-9)


@GEOMETRIES
def test_the_origin_is_the_centre_of_the_first_voxel(geometry: Geometry) -> None:
    """And one column on is one column spacing along the row direction."""
    places = geometry.to_lps_mm(np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1]]))
    np.testing.assert_allclose(places[0], geometry.origin_lps_mm)
    np.testing.assert_allclose(places[1] - places[0], 0.8 * np.array(geometry.direction[0]))
    np.testing.assert_allclose(places[2] - places[0], 2.5 * np.array(geometry.direction[2]))


@GEOMETRIES
def test_a_voxel_has_the_volume_of_its_spacings(geometry: Geometry) -> None:
    """However the grid is turned."""
    assert geometry.voxel_volume_mm3 == pytest.approx(0.8 * 0.7 * 2.5)


def test_the_volume_of_a_region_is_that_of_its_voxels(grid: Geometry) -> None:
    """Seven voxels of 1 mm³ are 0.007 mL; no voxel is none."""
    mask = np.zeros((3, 4, 5), dtype=bool)
    assert roi(mask, grid).volume_ml == 0
    mask.ravel()[:7] = True
    assert roi(mask, grid).volume_ml == pytest.approx(0.007)


def test_each_of_several_lesions_is_told_of_the_others(grid: Geometry) -> None:
    """With organ and volume, in the same order; one alone of none."""
    masks = [np.zeros((3, 4, 5), dtype=bool) for _ in range(3)]
    for size, mask in zip((9, 7, 2), masks, strict=True):
        mask.ravel()[:size] = True
    first, second, third = each_with_others([replace(roi(mask, grid), label=str(k)) for k, mask in enumerate(masks)])
    assert [(other.label, other.anatomy) for other in first.others] == [("1", first.anatomy), ("2", first.anatomy)]
    assert [other.label for other in second.others] == ["0", "2"]
    assert third.others[1].volume_ml == pytest.approx(0.007)
    (alone,) = each_with_others([roi(masks[0], grid)])
    assert alone.others == ()


def test_the_largest_slice_is_the_one_with_most_voxels(grid: Geometry) -> None:
    """The first of several that are equal."""
    mask = np.zeros((3, 4, 5), dtype=bool)
    mask[0, 0, :2] = True
    mask[1, 1:3, :2] = True
    mask[2, :2, 2:4] = True
    assert roi(mask, grid).largest_slice == 1


def test_a_patient_is_known_by_id_and_issuer() -> None:
    """Name, birth date and padding make no other patient; another issuer does."""
    same = PatientIdentity("PAT-1 ", " HOSPITAL", "Other^Name", "", "M")
    assert same.key() == PATIENT.key()
    assert PatientIdentity("PAT-1", "ELSEWHERE").key() != PATIENT.key()


def test_an_attribute_of_a_series_is_that_of_its_first_instance() -> None:
    """Empty when it has none, and of an empty series."""
    made = series_of([ct_slice(0), ct_slice(1, Manufacturer="Other")])
    assert made.attribute("Manufacturer") == "Scanner"
    assert made.attribute("ProtocolName") == ""
    assert Series(SERIES, STUDY, PATIENT, "CT", ()).attribute("Manufacturer") == ""


def test_equal_instances_are_equal() -> None:
    """Domain values compare by what they say."""
    assert instance(ct_slice(3)) == instance(ct_slice(3))
    assert instance(ct_slice(3)) != instance(ct_slice(4))
