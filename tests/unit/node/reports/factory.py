"""A small CT series with a lesion, and the two reports that the writers are asked to write."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.coding import Anatomy
from node.domain.identifiers import FrameOfReferenceUID, InstanceUID, JobId, SeriesUID, StudyUID
from node.domain.imaging import Geometry, Instance, PatientIdentity, Roi, Series, Volume
from node.domain.phase import Finding, Phase, PhaseVerdict
from node.domain.prediction import (
    AlgorithmIdentity,
    Attribution,
    Conclusion,
    Contribution,
    Explanation,
    ExplanationMethod,
    Interval,
    Nomogram,
    NomogramItem,
    Note,
    Prediction,
    Quantity,
    Score,
    TrainingStatus,
)
from node.domain.reporting import Report

STUDY = StudyUID("2.25.1001")
SERIES = SeriesUID("2.25.1002")
FRAME = FrameOfReferenceUID("2.25.1003")
SPACING_XYZ_MM = (0.8, 0.8, 3.0)
ORIGIN = (-50.0, -40.0, 100.0)
FIXED_AT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@dataclass(frozen=True)
class CtSpec:
    """What the made-up series looks like; every field can be varied by a test."""

    slices: int = 6
    rows: int = 64
    columns: int = 80
    character_set: str | list[str] | None = "ISO_IR 100"
    name: bytes = "Müller^Jörg".encode("latin-1")
    timezone: str = ""
    study_description: str = "CT ABDOMEN"


def write_slice(folder: Path, spec: CtSpec, index: int, hu: np.ndarray) -> Instance:
    """One CT image file (PS3.3 section A.3) and the instance that describes it."""
    uid = InstanceUID(f"2.25.2{index:04d}")
    header = Dataset()
    if spec.character_set is not None:
        header.SpecificCharacterSet = spec.character_set
    header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, uid
    header.StudyInstanceUID, header.SeriesInstanceUID = STUDY, SERIES
    header.FrameOfReferenceUID = FRAME
    header.PositionReferenceIndicator = ""
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.Modality, header.Manufacturer = "CT", "Scanner"
    header.add_new(0x00100010, "PN", spec.name)
    header.PatientID, header.IssuerOfPatientID = "PAT-7", "HOSPITAL"
    header.PatientBirthDate, header.PatientSex, header.PatientAge = "19580612", "M", "065Y"
    header.StudyDate, header.StudyTime, header.StudyID = "20240506", "070000", "S1"
    header.AccessionNumber, header.ReferringPhysicianName = "ACC-1", ""
    header.StudyDescription = spec.study_description
    if spec.timezone:
        header.TimezoneOffsetFromUTC = spec.timezone
    header.AcquisitionDate, header.AcquisitionTime = "20240506", "070100"
    header.ImagePositionPatient = [ORIGIN[0], ORIGIN[1], ORIGIN[2] + SPACING_XYZ_MM[2] * index]
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.PixelSpacing, header.SliceThickness = [SPACING_XYZ_MM[1], SPACING_XYZ_MM[0]], SPACING_XYZ_MM[2]
    header.Rows, header.Columns = spec.rows, spec.columns
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 1
    header.RescaleIntercept, header.RescaleSlope = 0, 1
    header.PixelData = hu.astype("<i2").tobytes()
    header.InstanceNumber = index + 1
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, UID(uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta = meta
    path = folder / f"{index:04d}.dcm"
    header.save_as(path, enforce_file_format=True)
    return Instance(
        uid, CTImageStorage, ExplicitVRLittleEndian, SERIES, STUDY, PatientIdentity("PAT-7"), "CT", path=path
    )


def build_report(folder: Path, prediction: Prediction, spec: CtSpec | None = None) -> Report:
    """A series on disk with a box-shaped lesion in its middle slices, and the report about it."""
    spec = spec or CtSpec()
    shape = (spec.slices, spec.rows, spec.columns)
    hu = np.full(shape, 40, dtype=np.float32)
    mask = np.zeros(shape, dtype=bool)
    middle = slice(spec.slices // 3, 2 * spec.slices // 3)
    mask[middle, spec.rows // 4 : spec.rows // 2, spec.columns // 4 : spec.columns // 2] = True
    hu[mask] = 110
    instances = tuple(write_slice(folder, spec, index, hu[index]) for index in range(spec.slices))
    axes = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    geometry = Geometry(shape, SPACING_XYZ_MM, ORIGIN, axes, FRAME)
    return Report(
        job_id=JobId.of(SERIES, 1),
        version=1,
        manifest=hashlib.sha256(b"manifest").hexdigest(),
        fixed_at=FIXED_AT,
        node_version="0.1.0",
        series=Series(SERIES, STUDY, PatientIdentity("PAT-7"), "CT", instances),
        volume=Volume(hu, geometry, tuple(instance.uid for instance in instances)),
        roi=Roi(mask, geometry, Anatomy.STOMACH, "Tumour", "dicom-seg", InstanceUID("2.25.42")),
        clinical=ClinicalRecord(
            (
                ClinicalValue(ClinicalVariable.AGE, 65.0, "a", "dicom-header", FIXED_AT),
                ClinicalValue(ClinicalVariable.SEX, "M", "", "dicom-header"),
            )
        ),
        prediction=prediction,
        phase=PhaseVerdict(Phase.PORTAL_VENOUS, Finding(Phase.PORTAL_VENOUS, "70 s after the injection began")),
    )


def _explanation(shape: tuple[int, int, int], target: str, *, empty: bool = False) -> Explanation:
    saliency = np.zeros(shape, dtype=np.float32)
    if not empty:
        saliency[:, shape[1] // 4 :, shape[2] // 4 :] = 0.4
        saliency[:, shape[1] // 2 :, shape[2] // 2 :] = 1.0
    return Explanation(ExplanationMethod.GRAD_CAM, target, saliency, (2, 16, 20), (2, 3))


def gtrnet(*, empty: bool = False, status: TrainingStatus = TrainingStatus.UNTRAINED) -> Prediction:
    """Four probabilities, a vote of three slices and no threshold."""
    return Prediction(
        algorithm=AlgorithmIdentity(
            "GTRNet",
            "1.0.0",
            "Celadon",
            "Deep neural network",
            hashlib.sha256(b"gtrnet").hexdigest(),
            status,
            "" if status is TrainingStatus.VALIDATED else "untrained, for plumbing only",
            ("profile=published",),
        ),
        title="Predicted cT category",
        scores=tuple(
            Score(quantity, p)
            for quantity, p in zip(
                (Quantity.T1, Quantity.T2, Quantity.T3, Quantity.T4), (0.057, 0.142, 0.621, 0.18), strict=True
            )
        ),
        conclusion=Conclusion.CT3,
        threshold=None,
        votes=(Conclusion.CT3, Conclusion.CT3, Conclusion.CT4),
        explanation=_explanation((2, 16, 20), "evidence for cT3", empty=empty),
        notes=(Note("FEWER_SLICES", "Two of three slices could be read."),),
        clinical_used=("age", "sex"),
    )


def porcelain(*, empty: bool = False, status: TrainingStatus = TrainingStatus.PHANTOM) -> Prediction:
    """One probability with a decision threshold, and clinical variables that were imputed."""
    return Prediction(
        algorithm=AlgorithmIdentity(
            "PORCELAIN",
            "1.0.0",
            "Celadon",
            "Deep neural network",
            hashlib.sha256(b"porcelain").hexdigest(),
            status,
            "trained on phantoms, not on patients",
            ("variant=roi", "window=40..350 HU"),
        ),
        title="Predicted NTR class",
        scores=(Score(Quantity.NTR_HIGH, 0.734),),
        conclusion=Conclusion.NTR_HIGH,
        threshold=0.52,
        votes=(),
        explanation=_explanation((2, 16, 20), "evidence for high NTR", empty=empty),
        notes=(Note("CROP", "12 % of the lesion lie outside the box that the model sees."),),
        clinical_used=("age",),
        clinical_imputed=("CA19-9", "CEA"),
    )


def attribution() -> Attribution:
    """Shapley values of five inputs, one of them imputed, the strongest first."""
    rows = (
        Contribution("ca19_9", 1.25, "820 U/mL"),
        Contribution("image", -0.62),
        Contribution("clinical_n", 0.4, "N1"),
        Contribution("cea", 0.05, "3.1 ug/L", is_imputed=True),
        Contribution("age", -0.02, "65 years"),
    )
    return Attribution(-0.045, -0.045 + sum(row.logits for row in rows), rows)


def nomogram() -> Nomogram:
    """A nomogram's reading with one unknown item."""
    items = (
        NomogramItem(
            "Rad-score", "0.80", Interval(63.0, 63.0), tuple((f"{s}", 50.0 + s * 50 / 3) for s in range(-3, 4))
        ),
        NomogramItem("Tumour size", "6.1 cm", Interval(13.0, 13.0), (("< 5 cm", 0.0), (">= 5 cm", 13.0))),
        NomogramItem("Differentiation", None, Interval(0.0, 22.0), (("well", 0.0), ("moderate", 4.0), ("poor", 22.0))),
        NomogramItem(
            "Lauren type", "diffuse", Interval(22.0, 22.0), (("mixed", 0.0), ("intestinal", 2.0), ("diffuse", 22.0))
        ),
    )
    probabilities = (
        (Quantity.T1, Interval(0.02, 0.05)),
        (Quantity.T2, Interval(0.07, 0.15)),
        (Quantity.T3, Interval(0.31, 0.38)),
        (Quantity.T4, Interval(0.42, 0.6)),
    )
    total = Interval(98.0, 120.0)
    return Nomogram(
        items, total, probabilities, ("The published intercepts fit centred covariates: not recalibrated here.",)
    )
