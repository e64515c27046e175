"""A phantom as the DICOM series that a scanner would have sent, and its lesions as a SEG.

It stands in this room because it knows both sides: the phantoms of ``models`` and the files of ``node.dicom``, which
may not know each other. Patient's name and ID cannot be mistaken for a person's. The series description is as useless
as in real archives; what tells the phase is the bolus timing (PS3.3 section C.7.6.4), and in some studies not even
that.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code as CodedEntry
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from models.phantoms.enhancement import Phase
from models.phantoms.render import Phantom
from models.phantoms.spec import Kind, PhantomSpec, Stream
from node.domain.clinical import ClinicalVariable
from node.domain.coding import Anatomy
from node.domain.identifiers import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    FrameOfReferenceUID,
    InstanceUID,
    SeriesUID,
    StudyUID,
    Uid,
)

ISSUER: Final = "CELADON-PHANTOMS"
STUDY_DATE: Final = "20240101"
UNTIMED_SHARE: Final = 0.25
"""The share of studies whose scanner was not told when the injection began."""
_DESCRIPTIONS: Final = ("CT Body 3.0", "Axial", "Recon 2", "Body", "ABD", "Thick Axial", "Series 3")
_INTERCEPT: Final = -1024
_TABLE_MM: Final = 160.0
_SECONDS_OF_DAY: Final = 86_400
_ABNORMAL: Final = CodedEntry("49755003", "SCT", "Morphologically abnormal structure")
_ORGANS: Final = {Kind.PANCREATIC: Anatomy.PANCREAS, Kind.GASTRIC: Anatomy.STOMACH}


@dataclass(frozen=True, slots=True)
class PhantomStudy:
    """A phantom on disk, ready to be sent."""

    spec: PhantomSpec
    patient_id: str
    study_uid: StudyUID
    series_uid: SeriesUID
    """The CT series."""
    ct_paths: tuple[Path, ...]
    """From the lowest slice up."""
    seg_path: Path | None
    """The SEG of all lesions, where one was asked for and there is a lesion."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Everything, images first."""
        return self.ct_paths if self.seg_path is None else (*self.ct_paths, self.seg_path)


def write_study(
    phantom: Phantom,
    folder: Path,
    *,
    transfer_syntax: str = ExplicitVRLittleEndian,
    timed: bool | None = None,
    with_seg: bool = False,
) -> PhantomStudy:
    """Write a phantom into ``folder``; the same phantom and arguments give the same UIDs and images.

    Args:
        phantom: the study, or a part of its slices; rows and columns must be whole.
        folder: made when it is not there.
        transfer_syntax: any that pydicom can write; lossless ones keep every value.
        timed: whether the bolus times are in the header; None leaves it to the seed.
        with_seg: whether a SEG of the lesions is written beside the images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header = _Header.of(phantom, timed=timed)
    images, paths = [], []
    for k in range(phantom.hu.shape[0]):
        image = header.image(phantom, k)
        images.append(image)
        paths.append(folder / f"{k:04d}.dcm")
        _save(image, paths[-1], transfer_syntax)
    seg_path = None
    if with_seg and phantom.lesions.any():
        seg_path = folder / "lesions-seg.dcm"
        _segmentation(phantom, images).save_as(seg_path)
    return PhantomStudy(phantom.spec, header.patient_id, header.study_uid, header.series_uid, tuple(paths), seg_path)


@dataclass(frozen=True, slots=True)
class _Header:
    """What all images of a study share."""

    key: str
    patient_id: str
    study_uid: StudyUID
    series_uid: SeriesUID
    frame_uid: FrameOfReferenceUID
    description: str
    scan_second: float
    timed: bool

    @classmethod
    def of(cls, phantom: Phantom, *, timed: bool | None) -> "_Header":
        spec = phantom.spec
        key = hashlib.sha256(repr((spec, phantom.box)).encode()).hexdigest()[:16]
        rng = spec.stream(Stream.HEADER)
        description = _DESCRIPTIONS[int(rng.integers(len(_DESCRIPTIONS)))]
        drawn = bool(rng.random() >= UNTIMED_SHARE)
        return cls(
            key=key,
            patient_id=f"PHANTOM-{spec.seed:06d}-{key[:6].upper()}",
            study_uid=StudyUID.derived("phantom", key, "study"),
            series_uid=SeriesUID.derived("phantom", key, "series"),
            frame_uid=FrameOfReferenceUID.derived("phantom", key, "frame"),
            description=description,
            scan_second=float(rng.integers(7 * 3600, 19 * 3600)),
            timed=drawn if timed is None else timed,
        )

    def image(self, phantom: Phantom, k: int) -> Dataset:
        """Slice ``k`` of the phantom's arrays."""
        dataset = Dataset()
        self._identify(dataset, phantom.spec, k)
        self._acquire(dataset, phantom.spec)
        self._place(dataset, phantom, k)
        _fill(dataset, phantom.hu[k])
        return dataset

    def _identify(self, dataset: Dataset, spec: PhantomSpec, k: int) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = InstanceUID.derived("phantom", self.key, "image", str(k))
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = self.study_uid, self.series_uid
        dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = self.frame_uid, ""
        dataset.PatientName = f"Phantom^Synthetic^{spec.seed}"
        dataset.PatientID, dataset.IssuerOfPatientID = self.patient_id, ISSUER
        sex, age = spec.clinical.get(ClinicalVariable.SEX), spec.clinical.get(ClinicalVariable.AGE)
        dataset.PatientSex = str(sex.value) if sex else ""
        years = int(float(age.value)) if age else 0
        dataset.PatientBirthDate = f"{int(STUDY_DATE[:4]) - years:04d}0101" if age else ""
        if age:
            dataset.PatientAge = f"{years:03d}Y"
        dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = STUDY_DATE
        dataset.StudyTime = _time(self.scan_second - 600.0)
        dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = _time(self.scan_second)
        dataset.StudyID, dataset.AccessionNumber = "1", f"PHT{int(self.key[:7], 16):09d}"
        dataset.ReferringPhysicianName = ""
        dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = 3, 1, k + 1
        dataset.SeriesDescription, dataset.StudyDescription = self.description, "CT ABDOMEN"

    def _acquire(self, dataset: Dataset, spec: PhantomSpec) -> None:
        scanner = spec.scanner
        dataset.Modality = "CT"
        dataset.Manufacturer, dataset.ManufacturerModelName = scanner.manufacturer, scanner.model
        dataset.KVP, dataset.XRayTubeCurrent = scanner.kilovolts, scanner.tube_current_ma
        dataset.ConvolutionKernel = scanner.kernel.name
        dataset.SliceThickness = scanner.thickness_mm
        dataset.SpacingBetweenSlices = scanner.slice_spacing_mm
        dataset.GantryDetectorTilt, dataset.PatientPosition = 0, "HFS"
        dataset.ReconstructionDiameter = round(scanner.pixel_spacing_mm * phantom_width(spec), 2)
        if spec.phase is Phase.NON_CONTRAST:
            return
        dataset.ContrastBolusAgent = scanner.agent
        dataset.ContrastBolusVolume, dataset.ContrastFlowRate = scanner.dose_ml, scanner.rate_ml_s
        if self.timed:
            start = self.scan_second - spec.bolus.delay_s
            dataset.ContrastBolusStartTime = _time(start)
            dataset.ContrastBolusStopTime = _time(start + scanner.dose_ml / scanner.rate_ml_s)

    def _place(self, dataset: Dataset, phantom: Phantom, k: int) -> None:
        grid = phantom.spec.grid
        z, y, x = (
            first + step * (offset + start)
            for first, step, offset, start in zip(
                grid.first_zyx_mm,
                grid.spacing_zyx_mm,
                (k, 0, 0),
                (phantom.box.slices[0], phantom.box.rows[0], phantom.box.columns[0]),
                strict=True,
            )
        )
        position = [f"{value:.4f}" for value in (x, y - _TABLE_MM, z - 1000.0)]
        dataset.ImagePositionPatient = position
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.SliceLocation = position[2]
        dataset.PixelSpacing = [f"{grid.spacing_zyx_mm[1]:.4f}", f"{grid.spacing_zyx_mm[2]:.4f}"]


def phantom_width(spec: PhantomSpec) -> int:
    """Columns of the whole matrix."""
    return spec.grid.shape_zyx[2]


def _fill(dataset: Dataset, hu: npt.NDArray[np.int16]) -> None:
    """The pixels as most scanners store them: 12 bits, unsigned, HU + 1024."""
    stored = np.clip(hu.astype(np.int32) - _INTERCEPT, 0, 4095).astype("<u2")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = hu.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = _INTERCEPT, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 50, 350
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"


def _save(image: Dataset, path: Path, transfer_syntax: str) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta = meta
    if not UID(transfer_syntax).is_encapsulated:
        meta.TransferSyntaxUID = UID(transfer_syntax)
        image.save_as(path, enforce_file_format=True)
        return
    compressed = Dataset(image)
    compressed.file_meta = meta
    compressed.compress(UID(transfer_syntax), generate_instance_uid=False)
    compressed.save_as(path, enforce_file_format=True)


def _segmentation(phantom: Phantom, images: list[Dataset]) -> hd.seg.Segmentation:
    """One segment a lesion; the truth, not anybody's drawing."""
    for image in images:
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    numbers = [int(number) for number in np.unique(phantom.lesions) if number]
    organ = _ORGANS[phantom.spec.kind].code
    kept = [k for k in range(len(images)) if phantom.lesions[k].any()]
    mask = np.stack([phantom.lesions[kept] == number for number in numbers], axis=-1).astype(np.uint8)
    uid = str(images[0].SeriesInstanceUID)
    return hd.seg.Segmentation(
        source_images=[images[k] for k in kept],
        pixel_array=mask,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            hd.seg.SegmentDescription(
                segment_number=place,
                segment_label=f"Phantom lesion {number}",
                segmented_property_category=_ABNORMAL,
                segmented_property_type=CodedEntry("52988006", "SCT", "Lesion"),
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
                anatomic_regions=[CodedEntry(organ.value, organ.scheme, organ.meaning)],
            )
            for place, number in enumerate(numbers, 1)
        ],
        series_instance_uid=Uid.derived("phantom", uid, "seg series"),
        series_number=300,
        sop_instance_uid=Uid.derived("phantom", uid, "seg"),
        instance_number=1,
        manufacturer="Phantom workstation",
        manufacturer_model_name="models.phantoms",
        software_versions="1",
        device_serial_number="0",
        content_label="LESION",
        omit_empty_frames=True,
    )


def _time(second: float) -> str:
    """Seconds of the day as TM (PS3.5 section 6.2)."""
    whole = second % _SECONDS_OF_DAY
    hours, rest = divmod(whole, 3600.0)
    minutes, seconds = divmod(rest, 60.0)
    return f"{int(hours):02d}{int(minutes):02d}{seconds:09.6f}"
