"""The parametric map: the evidence map as float32 on the CT's own grid (PS3.3 section A.75)."""

from typing import Any, Final

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import DerivedPixelContrastValues, ImageFlavorValues, ParametricMap, RealWorldValueMapping
from pydicom import Dataset
from pydicom.uid import ParametricMapStorage

from node.domain.imaging import FloatArray
from node.domain.reporting import ObjectKind, Report, ReportedNumber, ReportObject
from node.reports import codes
from node.reports.codes import concept
from node.reports.envelope import arguments, seal
from node.reports.evidence import gather
from node.reports.naming import dimension_uid, series_description

SOP_CLASS: Final = ParametricMapStorage


class ParametricMapWriter:
    """Writes one float32 map with a frame for each slice that holds evidence; nothing where there is none.

    32 bits float because viewers and dcmqi fail on 16 bits integer.
    """

    kind = ObjectKind.PARAMETRIC_MAP

    def write(self, report: Report) -> tuple[ReportObject, ...]:
        """One object, or none when the map is empty: a picture of nothing would be taken for a finding."""
        explanation = report.prediction.explanation
        if explanation.is_empty:
            return ()
        slices = _slices(report)
        evidence = gather(report, slices)
        dataset = ParametricMap(
            source_images=[evidence.images[k] for k in slices],
            pixel_array=_frames(report, slices),
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[_mapping(report)],
            voi_lut_transformations=[VOILUTTransformation(window_center=0.5, window_width=1.0)],
            derived_pixel_contrast=DerivedPixelContrastValues.QUANTITY,
            image_flavor=ImageFlavorValues.VOLUME,
            content_label="AI_EVIDENCE",
            content_description=series_description(report, self.kind),
            **_arguments(report),
        )
        _order_frames(dataset, report)
        _name_the_anatomy(dataset, report)
        _fix_dimensions(dataset, report)
        numbers = (ReportedNumber("Slices with evidence", len(slices)),)
        return (seal(dataset, report, evidence, self.kind, numbers),)


def _arguments(report: Report) -> dict[str, Any]:
    return arguments(report, ParametricMapWriter.kind)


def _slices(report: Report) -> tuple[int, ...]:
    """The slices of the volume that hold evidence, in order."""
    explanation = report.prediction.explanation
    held = np.flatnonzero((explanation.saliency > 0).any(axis=(1, 2)))
    return tuple(int(k) + explanation.start_zyx[0] for k in held)


def _frames(report: Report, slices: tuple[int, ...]) -> FloatArray:
    """The map [slice, row, column] in [0, 1] on the whole slices, zero outside the map's box."""
    _, rows, columns = report.volume.geometry.shape_zyx
    explanation = report.prediction.explanation
    return np.stack([explanation.on_slice(k, (rows, columns)) for k in slices]).astype(np.float32)


def _mapping(report: Report) -> RealWorldValueMapping:
    """What a value means: the share of the strongest evidence, by the method of PS3.16 CID 217."""
    explanation = report.prediction.explanation
    return RealWorldValueMapping(
        lut_label="EVIDENCE",
        lut_explanation=f"{explanation.method.value}, {explanation.target}"[:64],
        unit=concept(codes.NO_UNITS),
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=concept(codes.EXPLANATIONS[explanation.method]),
    )


def _order_frames(dataset: Dataset, report: Report) -> None:
    """Put the frames in the order of the volume's slices.

    highdicom sorts them the other way round; dcmqi ignores their positions and would show the map upside down.
    """
    frames = sorted(dataset.PerFrameFunctionalGroupsSequence, key=lambda frame: _height_mm(frame, report))
    for number, frame in enumerate(frames, start=1):
        (content,) = frame.FrameContentSequence
        content.DimensionIndexValues = number  # one dimension: the position
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.FloatPixelData = _frames(report, _slices(report)).astype("<f4").tobytes()


def _height_mm(frame: Dataset, report: Report) -> float:
    """How far along the normal of the slices a frame lies."""
    position = [float(value) for value in frame.PlanePositionSequence[0].ImagePositionPatient]
    return float(np.dot(position, report.volume.geometry.direction[2]))


def _name_the_anatomy(dataset: Dataset, report: Report) -> None:
    """Add the Frame Anatomy functional group (PS3.3 section C.7.6.16.2.8), without which dcmqi crashes."""
    region, laterality = Dataset(), Dataset()
    region.AnatomicRegionSequence = [concept(report.roi.anatomy.code)]
    region.FrameLaterality = "U"
    laterality.FrameAnatomySequence = [region]
    dataset.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = laterality.FrameAnatomySequence


def _fix_dimensions(dataset: Dataset, report: Report) -> None:
    """Replace the random Dimension Organization UID (0020,9164) by one that the report determines."""
    uid = dimension_uid(report, ObjectKind.PARAMETRIC_MAP)
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
