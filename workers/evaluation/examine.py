"""One case of a cohort through the steps of an analysis: the functions that ``workers.analysis`` runs, in its order.

What differs is around them: there is no archive to wait for, and nothing is composed or delivered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.evaluation.overlap import overlap
from models.preprocessing.diameter import longest_diameter_mm
from models.segmenters.dicom_seg import ArchiveSegmenter
from node.clinical.dicom_header import DicomHeaderSource
from node.dicom.sandbox import Decoder
from node.domain.clinical import ClinicalRecord, Findings
from node.domain.coding import Anatomy
from node.domain.imaging import Annotation, BoolArray, Roi, Series, Volume
from node.domain.phase import PhaseVerdict
from node.domain.ports import Predictor, Segmenter
from node.domain.prediction import Case, Prediction
from node.domain.reasons import Reason
from node.errors import Rejected
from node.triage import contract
from workers.evaluation.inputs import open_case
from workers.evaluation.manifest import CohortCase
from workers.steps.find_lesion import find_lesion
from workers.steps.gather_clinical import gather_clinical
from workers.steps.judge_phase import judge_phase
from workers.steps.triage import triage


@dataclass(frozen=True, slots=True)
class Bench:
    """What cases are examined with."""

    predictor: Predictor
    segmenters: Sequence[tuple[Segmenter, Sequence[Anatomy]]]
    decoder: Decoder
    ignores_masks: bool
    """Whether a segmenter finds the lesion even where a mask is given, to be compared with it."""


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """What the steps found."""

    volume: Volume
    roi: Roi
    phase: PhaseVerdict
    prediction: Prediction
    remarks: tuple[Reason, ...]
    overlap: Mapping[str, float]
    observers: Mapping[str, Mapping[str, float]]


@dataclass(slots=True)
class RowSource:
    """The clinical values of a manifest's row; implements ``node.domain.ports.ClinicalSource``."""

    record: ClinicalRecord
    name: str = "cohort"

    def gather(self, series: Series) -> Findings:  # noqa: ARG002 — the port's signature
        """The row's values: whose they are, the manifest says."""
        return Findings(self.record.values)


def examine(case: CohortCase, bench: Bench) -> Examined:
    """The answer for a case.

    Raises:
        Refused, Quarantined: there is none, and why.
    """
    inputs = open_case(case, bench.predictor.anatomy, bench.decoder)
    stack = triage(inputs.series)
    series = Series(inputs.series.uid, inputs.series.study_uid, inputs.series.patient, "CT", stack.instances)
    volume = inputs.assemble(stack)
    drawn = inputs.annotations()
    roi = find_lesion(series, volume, () if bench.ignores_masks else drawn, bench.segmenters)
    phase = judge_phase(series, volume, roi.means_hu, [segmenter for segmenter, _ in bench.segmenters])
    clinical = gather_clinical(series, (RowSource(case.clinical), DicomHeaderSource()))
    prediction = bench.predictor.predict(Case(volume, roi, clinical))
    reference = _placed(volume, drawn, roi.anatomy) if bench.ignores_masks else None
    return Examined(
        volume=volume,
        roi=roi,
        phase=phase,
        prediction=prediction,
        remarks=contract.notes(series, stack),
        overlap=_overlap(reference, roi),
        observers={name: _observed(volume, one, roi) for name, one in inputs.observers().items()},
    )


def _placed(volume: Volume, annotations: Sequence[Annotation], anatomy: Anatomy) -> BoolArray | None:
    """A mask that was given, on the volume's grid; None where there is none, or none that fits."""
    try:
        found = ArchiveSegmenter().locate(volume, annotations, (anatomy,))
    except Rejected:
        return None
    return found[0].mask if found else None


def _overlap(mask: BoolArray | None, roi: Roi) -> dict[str, float]:
    if mask is None:
        return {}
    x, y, z = roi.geometry.spacing_xyz_mm
    found = overlap(roi.mask, mask, (z, y, x))
    return {
        "dice": found.dice,
        "mean_surface_mm": found.mean_surface_mm,
        "hausdorff_mm": found.hausdorff_mm,
        "hausdorff_95_mm": found.hausdorff_95_mm,
    }


def _observed(volume: Volume, annotation: Annotation, roi: Roi) -> dict[str, float]:
    """An observer's mask beside the region, and what is measured of it."""
    mask = _placed(volume, (annotation,), roi.anatomy)
    if mask is None:
        return {}
    millilitres = float(mask.sum()) * volume.geometry.voxel_volume_mm3 / 1000
    return {
        **_overlap(mask, roi),
        "volume_ml": millilitres,
        "diameter_mm": longest_diameter_mm(mask, volume.geometry),
    }
