"""Annotations as readers give them, made from masks."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from node.domain.coding import Anatomy
from node.domain.identifiers import InstanceUID, StudyUID
from node.domain.imaging import (
    AnnotatedRegion,
    Annotation,
    AnnotationKind,
    BoolArray,
    Contour,
    Geometry,
    MaskPlane,
    PatientIdentity,
)


def planes_of(geometry: Geometry, mask: BoolArray, crop: tuple[int, int, int, int] | None = None) -> Any:
    """One frame for each slice with set voxels; ``crop`` (first row, end row, first column, end column) cuts each."""
    top, bottom, left, right = crop or (0, mask.shape[1], 0, mask.shape[2])
    column, row, _ = geometry.direction
    frames = []
    for index in np.flatnonzero(mask.any(axis=(1, 2))):
        position = geometry.to_lps_mm(np.array([[left, top, index]], dtype=np.float64))[0]
        frames.append(
            MaskPlane(
                mask=mask[index, top:bottom, left:right],
                position_lps_mm=tuple(position.tolist()),
                orientation=(*column, *row),
                spacing_mm=(geometry.spacing_xyz_mm[1], geometry.spacing_xyz_mm[0]),
            )
        )
    return tuple(frames)


def contour_of(geometry: Geometry, points: Sequence[tuple[float, float, float]]) -> Contour:
    """A contour through points given as indices x, y, z."""
    return Contour(geometry.to_lps_mm(np.array(points, dtype=np.float64)))


def region_of(number: int = 1, anatomy: Anatomy | None = Anatomy.PANCREAS, **changes: Any) -> AnnotatedRegion:
    """A lesion in the pancreas, unless said otherwise."""
    values: dict[str, Any] = {"label": f"lesion {number}", "anatomy_is_coded": True, "is_lesion": True} | changes
    return AnnotatedRegion(number=number, anatomy=anatomy, **values)


def annotation_of(*regions: AnnotatedRegion, **changes: Any) -> Annotation:
    """A segmentation in the frame of reference of the test grids, unless said otherwise."""
    values: dict[str, Any] = {
        "instance_uid": InstanceUID("2.25.900"),
        "kind": AnnotationKind.SEG,
        "study_uid": StudyUID("2.25.1"),
        "patient": PatientIdentity("p"),
        "referenced_series": (),
        "frame_of_reference_uid": "2.25.11",
        "manufacturer": "",
        "created_at": "20250101120000",
    } | changes
    return Annotation(regions=regions, **values)


@pytest.fixture
def make_planes() -> Callable[..., Any]:
    """``planes_of``."""
    return planes_of


@pytest.fixture
def make_contour() -> Callable[..., Contour]:
    """``contour_of``."""
    return contour_of


@pytest.fixture
def make_region() -> Callable[..., AnnotatedRegion]:
    """``region_of``."""
    return region_of


@pytest.fixture
def make_annotation() -> Callable[..., Annotation]:
    """``annotation_of``."""
    return annotation_of
