"""Which annotation speaks, and what becomes of its lesions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.segmenters.dicom_seg import ArchiveSegmenter
from node.domain.coding import Anatomy
from node.domain.identifiers import InstanceUID
from node.domain.imaging import Annotation, BoolArray, Volume
from node.domain.reasons import ReasonCode
from node.errors import Refused

Make = Callable[..., Any]
SHAPE = (10, 48, 48)
BOTH = (Anatomy.PANCREAS, Anatomy.STOMACH)


@pytest.fixture
def volume(make_volume: Make) -> Volume:
    """A textured volume."""
    result: Volume = make_volume(SHAPE)
    return result


@pytest.fixture
def large(make_ball: Make) -> BoolArray:
    """A large lesion."""
    mask: BoolArray = make_ball(SHAPE, (5, 14, 14), (3, 8, 8))
    return mask


@pytest.fixture
def small(make_ball: Make) -> BoolArray:
    """A small lesion elsewhere."""
    mask: BoolArray = make_ball(SHAPE, (4, 34, 34), (2, 4, 4))
    return mask


def refusal(volume: Volume, *annotations: Annotation) -> ReasonCode:
    """Why the annotations are refused."""
    with pytest.raises(Refused) as refused:
        ArchiveSegmenter().locate(volume, annotations, BOTH)
    return refused.value.reason.code


def test_without_annotations_it_has_nothing_to_say(volume: Volume) -> None:
    """No annotation is no refusal: another segmenter may know."""
    assert ArchiveSegmenter().locate(volume, (), BOTH) == ()


def test_a_lesion_becomes_a_region_with_its_source(
    volume: Volume, large: BoolArray, make_planes: Make, make_region: Make, make_annotation: Make
) -> None:
    """The mask lies on the volume's grid; organ, label, how the organ was known and the object are kept."""
    planes = make_planes(volume.geometry, large)
    lesion = make_region(3, label="Tumour", anatomy_is_coded=False, planes=planes)
    (roi,) = ArchiveSegmenter().locate(volume, (make_annotation(lesion),), BOTH)
    assert np.array_equal(roi.mask, large)
    assert roi.geometry == volume.geometry
    assert (roi.anatomy, roi.label, roi.source) == (Anatomy.PANCREAS, "Tumour", "dicom-seg")
    assert (roi.source_instance_uid, roi.anatomy_is_coded, roi.others) == (InstanceUID("2.25.900"), False, ())


@pytest.mark.parametrize(
    ("manufacturer", "created_at", "told"),
    [
        ("Workstation ", "20240506080000", "SEG by Workstation, 2024-05-06"),
        ("", "20240506", "SEG by an unnamed maker, 2024-05-06"),
        ("Workstation", "", "SEG by Workstation"),
        ("Workstation", "yesterday", "SEG by Workstation"),
    ],
)
def test_whose_contour_it_is_is_told(
    volume: Volume,
    large: BoolArray,
    make_planes: Make,
    make_region: Make,
    make_annotation: Make,
    manufacturer: str,
    created_at: str,
    told: str,
) -> None:
    """The kind of object, its maker and its day, as far as it says."""
    annotation = make_annotation(make_region(planes=make_planes(volume.geometry, large)))
    made = replace(annotation, manufacturer=manufacturer, created_at=created_at)
    (roi,) = ArchiveSegmenter().locate(volume, (made,), BOTH)
    assert roi.made_by == told


def test_several_lesions_come_largest_first(
    volume: Volume,
    large: BoolArray,
    small: BoolArray,
    make_planes: Make,
    make_region: Make,
    make_annotation: Make,
) -> None:
    """Each lesion is a region of its own and names the others."""
    annotation = make_annotation(
        make_region(1, planes=make_planes(volume.geometry, small)),
        make_region(2, Anatomy.STOMACH, planes=make_planes(volume.geometry, large)),
    )
    rois = ArchiveSegmenter().locate(volume, (annotation,), BOTH)
    told = [(roi.label, [(other.label, other.anatomy) for other in roi.others]) for roi in rois]
    assert told == [("lesion 2", [("lesion 1", Anatomy.PANCREAS)]), ("lesion 1", [("lesion 2", Anatomy.STOMACH)])]
    assert rois[0].others[0].volume_ml == pytest.approx(rois[1].volume_ml)


def test_contours_and_frames_agree(
    volume: Volume, make_planes: Make, make_contour: Make, make_region: Make, make_annotation: Make
) -> None:
    """The same square as RTSTRUCT and as SEG gives the same voxels."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[3:6, 10:20, 15:25] = True
    corners = ((14.5, 9.5), (24.5, 9.5), (24.5, 19.5), (14.5, 19.5))
    contours = tuple(make_contour(volume.geometry, [(x, y, z) for x, y in corners]) for z in (3, 4, 5))
    for region in (make_region(contours=contours), make_region(planes=make_planes(volume.geometry, mask))):
        (roi,) = ArchiveSegmenter().locate(volume, (make_annotation(region),), BOTH)
        assert np.array_equal(roi.mask, mask)


@pytest.mark.parametrize("changes", [{"is_lesion": False}, {"anatomy": None}])
def test_organs_are_not_lesions(
    volume: Volume,
    large: BoolArray,
    make_planes: Make,
    make_region: Make,
    make_annotation: Make,
    changes: dict[str, Any],
) -> None:
    """Whole organs, and lesions in an unknown place, are no lesion in the organs asked for."""
    region = make_region(planes=make_planes(volume.geometry, large), **changes)
    assert refusal(volume, make_annotation(region)) is ReasonCode.ROI_NO_LESION


def test_lesions_in_other_organs_than_asked_for_do_not_count(
    volume: Volume, large: BoolArray, make_planes: Make, make_region: Make, make_annotation: Make
) -> None:
    """A lesion of the pancreas is none when the stomach is asked for; the refusal says how much was looked at."""
    annotation = make_annotation(make_region(planes=make_planes(volume.geometry, large)))
    with pytest.raises(Refused, match=r"1 annotation\(s\) with 1 region\(s\), none of a lesion in the stomach"):
        ArchiveSegmenter().locate(volume, (annotation,), (Anatomy.STOMACH,))


def test_the_newest_annotation_of_an_organ_wins(
    volume: Volume,
    large: BoolArray,
    small: BoolArray,
    make_planes: Make,
    make_region: Make,
    make_annotation: Make,
) -> None:
    """A newer annotation replaces the older one's lesions of the same organ, and leaves other organs to it."""
    old = make_annotation(
        make_region(1, planes=make_planes(volume.geometry, large)),
        make_region(2, Anatomy.STOMACH, planes=make_planes(volume.geometry, large)),
        created_at="",
        instance_uid=InstanceUID("2.25.999"),
    )
    new = make_annotation(make_region(7, planes=make_planes(volume.geometry, small)), created_at="20250101")
    for order in ((old, new), (new, old)):
        rois = ArchiveSegmenter().locate(volume, order, BOTH)
        assert [(roi.label, roi.source_instance_uid) for roi in rois] == [
            ("lesion 2", old.instance_uid),
            ("lesion 7", new.instance_uid),
        ]


def test_an_old_annotation_that_does_not_fit_does_not_matter(
    volume: Volume, large: BoolArray, make_planes: Make, make_region: Make, make_annotation: Make
) -> None:
    """What was replaced is not looked at."""
    region = make_region(planes=make_planes(volume.geometry, large))
    old = make_annotation(region, created_at="2020", frame_of_reference_uid="2.25.5")
    assert len(ArchiveSegmenter().locate(volume, (old, make_annotation(region)), BOTH)) == 1


def test_equally_new_annotations_must_agree(
    volume: Volume,
    large: BoolArray,
    small: BoolArray,
    make_planes: Make,
    make_region: Make,
    make_annotation: Make,
) -> None:
    """Two of the same time with other voxels are refused; with the same voxels always the same one is taken."""
    first = make_annotation(make_region(planes=make_planes(volume.geometry, large)))
    other = make_annotation(
        make_region(planes=make_planes(volume.geometry, small)), instance_uid=InstanceUID("2.25.901")
    )
    same = make_annotation(
        make_region(planes=make_planes(volume.geometry, large, (0, 40, 0, 40))), instance_uid=InstanceUID("2.25.902")
    )
    assert refusal(volume, first, other) is ReasonCode.ROI_AMBIGUOUS
    for order in ((first, same), (same, first)):
        (roi,) = ArchiveSegmenter().locate(volume, order, BOTH)
        assert roi.source_instance_uid == first.instance_uid


def test_another_frame_of_reference_is_refused(
    volume: Volume, large: BoolArray, make_planes: Make, make_region: Make, make_annotation: Make
) -> None:
    """Positions in another frame of reference say nothing about this volume; an absent one is taken on trust."""
    region = make_region(planes=make_planes(volume.geometry, large))
    assert refusal(volume, make_annotation(region, frame_of_reference_uid="2.25.5")) is ReasonCode.ROI_GEOMETRY
    assert ArchiveSegmenter().locate(volume, (make_annotation(region, frame_of_reference_uid=""),), BOTH)


def test_lesions_without_a_voxel_are_empty(
    volume: Volume, large: BoolArray, make_planes: Make, make_region: Make, make_annotation: Make
) -> None:
    """An empty region beside a drawn one is left out; when all are empty, that is the reason."""
    empty, drawn = make_region(1), make_region(2, planes=make_planes(volume.geometry, large))
    (roi,) = ArchiveSegmenter().locate(volume, (make_annotation(empty, drawn),), BOTH)
    assert (roi.label, roi.others) == ("lesion 2", ())
    assert refusal(volume, make_annotation(empty)) is ReasonCode.ROI_EMPTY
