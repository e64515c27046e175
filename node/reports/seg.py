"""The segmentation: the region of interest on the CT's own grid (PS3.3 section A.51)."""

from typing import Final

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from node.domain.reporting import ObjectKind, Report, ReportedNumber, ReportObject
from node.errors import Fatal
from node.reports.codes import ABNORMAL_STRUCTURE, LESION, concept
from node.reports.envelope import arguments, seal
from node.reports.evidence import Evidence, gather, slices_of
from node.reports.identity import region_algorithm
from node.reports.naming import dimension_uid, series_description, tracking_identifier, tracking_uid

SOP_CLASS: Final = SegmentationStorage
SEGMENT_NUMBER: Final = 1
_COLOUR: Final = CIELabColor(l_star=87.0, a_star=-50.0, b_star=50.0)
_LABEL_CHARACTERS: Final = 64


class SegmentationWriter:
    """Writes one binary SEG with one segment.

    Slices without a voxel of the region are left out; within a slice the whole image is kept, because viewers refuse
    segmentations whose rows and columns differ from those of the source images.
    """

    kind = ObjectKind.SEGMENTATION

    def write(self, report: Report) -> tuple[ReportObject, ...]:
        """One object; raises Fatal when the region is empty or not on the grid of the volume."""
        slices = slices_of(report)
        if not slices or report.roi.mask.shape != report.volume.geometry.shape_zyx:
            raise Fatal("the region of interest is empty or not on the grid of its volume")
        evidence = gather(report, slices)
        dataset = Segmentation(
            source_images=[evidence.images[k] for k in slices],
            pixel_array=report.roi.mask[list(slices)].astype(np.uint8),
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[_description(report, evidence)],
            content_label="AI_REGION",
            content_description=series_description(report, self.kind),
            omit_empty_frames=False,
            **arguments(report, self.kind),
        )
        _fix_dimensions(dataset, report)
        numbers = (
            ReportedNumber("Region volume", round(report.roi.volume_ml, 2), "mL"),
            ReportedNumber("Slices", len(slices)),
        )
        return (seal(dataset, report, evidence, self.kind, numbers),)


def _description(report: Report, evidence: Evidence) -> SegmentDescription:
    roi = report.roi
    received = roi.source_instance_uid is not None
    description = SegmentDescription(
        segment_number=SEGMENT_NUMBER,
        segment_label=_label(report, evidence),
        segmented_property_category=concept(ABNORMAL_STRUCTURE),
        segmented_property_type=concept(LESION),
        algorithm_type=SegmentAlgorithmTypeValues.SEMIAUTOMATIC if received else SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=region_algorithm(report),
        tracking_uid=tracking_uid(report),
        tracking_id=tracking_identifier(report),
        anatomic_regions=[concept(roi.anatomy.code)],
        display_color=_COLOUR,
    )
    if received:
        description.SegmentDescription = f"As received in {roi.source_instance_uid}, placed on the grid of the CT"
    return description


def _label(report: Report, evidence: Evidence) -> str:
    """The region's own label as a Long String (PS3.5 section 6.2): a backslash would make it two values."""
    words = " ".join(report.roi.label.replace("\\", "/").split()) or tracking_identifier(report)
    return evidence.characters.fit(words)[:_LABEL_CHARACTERS]


def _fix_dimensions(dataset: Dataset, report: Report) -> None:
    """Replace the random Dimension Organization UID (0020,9164) by one that the report determines."""
    uid = dimension_uid(report, ObjectKind.SEGMENTATION)
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
