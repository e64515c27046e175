"""The full real CT series, where it lies beside the project, with regions from its organ map as stand-in contours."""

from pathlib import Path
from typing import Final

import highdicom as hd
import numpy as np
import SimpleITK
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code

from node.demo.series import DemoCase
from node.domain.coding import Anatomy
from node.domain.identifiers import InstanceUID, SeriesUID, StudyUID

_BESIDE: Final = Path(__file__).resolve().parents[2] / "shared" / "data"
FULL_SERIES: Final = _BESIDE / "ct-abdomen-pv" if (_BESIDE / "ct-abdomen-pv").is_dir() else None
_ORGANS: Final = _BESIDE / "ct-abdomen-pv-organs.nii.gz"
_LABELS: Final = {"stomach": 6, "pancreas": 7}
_LESION: Final = Code("49755003", "SCT", "Morphologically abnormal structure")


def full_case(organ: str, folder: Path) -> DemoCase:
    """The series under UIDs of its own for each organ, and a SEG of a stand-in region in that organ."""
    assert FULL_SERIES is not None
    folder.mkdir(parents=True, exist_ok=True)
    slices = sorted(
        (dcmread(path) for path in FULL_SERIES.glob("*.dcm")), key=lambda one: float(one.ImagePositionPatient[2])
    )
    paths = []
    for number, image in enumerate(slices):
        _renumber(image, organ)
        paths.append(folder / f"{number:03d}.dcm")
        image.save_as(paths[-1], enforce_file_format=True)
    seg = _segmentation(slices, organ)
    seg_path = folder / "stand-in.dcm"
    seg.save_as(seg_path)
    first = slices[0]
    return DemoCase(
        organ=Anatomy[organ.upper()],
        patient_id=first.PatientID,
        accession_number=first.AccessionNumber,
        study_uid=StudyUID(first.StudyInstanceUID),
        series_uid=SeriesUID(first.SeriesInstanceUID),
        ct_paths=tuple(paths),
        seg_path=seg_path,
        seg_uid=InstanceUID(seg.SOPInstanceUID),
    )


def _renumber(image: Dataset, organ: str) -> None:
    image.StudyInstanceUID = StudyUID.derived("full", organ, image.StudyInstanceUID)
    image.SeriesInstanceUID = SeriesUID.derived("full", organ, image.SeriesInstanceUID)
    image.SOPInstanceUID = InstanceUID.derived("full", organ, image.SOPInstanceUID)
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID


def _segmentation(slices: list[Dataset], organ: str) -> Dataset:
    """A region of the organ as a SEG; a stand-in, since there is no tumour contour in these data."""
    labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(_ORGANS)))
    mask = labels == _LABELS[organ]
    columns = np.flatnonzero(mask.any(axis=(0, 1)))
    mask[:, :, : int(np.quantile(columns, 0.4))] = False  # a piece, not the organ
    anatomy = Anatomy[organ.upper()].code
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=f"{anatomy.meaning} region (stand-in, not a lesion finding)",
        segmented_property_category=_LESION,
        segmented_property_type=_LESION,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        anatomic_regions=[Code(anatomy.value, anatomy.scheme, anatomy.meaning)],
    )
    return hd.seg.Segmentation(
        source_images=slices,
        pixel_array=mask.astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=SeriesUID.derived("full", organ, "seg"),
        series_number=100,
        sop_instance_uid=InstanceUID.derived("full", organ, "seg"),
        instance_number=1,
        manufacturer="Tests",
        manufacturer_model_name="Stand-in",
        software_versions="1",
        device_serial_number="1",
    )
