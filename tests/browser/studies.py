"""Studies for the viewers: the bundled real CT with every object that Celadon writes, without running a model."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydicom import dcmread

from models.segmenters.dicom_seg import ArchiveSegmenter
from node.demo.series import DemoCase, Organ, make_case
from node.dicom.annotations import read_annotation
from node.dicom.reading import read_hounsfield
from node.domain.clinical import ClinicalRecord
from node.domain.identifiers import JobId
from node.domain.imaging import Series, Volume
from node.domain.phase import Finding, Phase, PhaseVerdict
from node.domain.prediction import Prediction
from node.domain.reporting import Notice, NoticeKind, ObjectReference, Report, ReportObject
from node.domain.stacking import Stack, stack
from node.reports.registry import NOTICE_WRITERS, resolve_notice, wanted_writers
from node.settings import ReportsSettings
from tests.factories import instance
from tests.unit.node.reports.factory import attribution, gtrnet, nomogram, porcelain

FIXED_AT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Study:
    """A case on disk and the objects about it."""

    case: DemoCase
    report: Report
    objects: tuple[ReportObject, ...]


def result(organ: Organ, folder: Path, name: str) -> Study:
    """A study with every kind of result, the PDF and the Enhanced SR among them."""
    report = report_about(organ, folder, name)
    settings = ReportsSettings(pdf=True, enhanced_sr=True)
    return Study(
        _case(organ, folder, name), report, tuple(one for w in wanted_writers(settings) for one in w.write(report))
    )


def without_result(organ: Organ, folder: Path, name: str) -> Study:
    """A study that says why there is no result."""
    report = report_about(organ, folder, name)
    notice = replace(_notice(report), reason="A slice is missing: the distances between slices are not equal.")
    return Study(_case(organ, folder, name), report, _written(notice))


def withdrawn(organ: Organ, folder: Path, name: str) -> Study:
    """A study whose results were delivered and then withdrawn."""
    done = result(organ, folder, name)
    document = next(one for one in done.objects if one.kind.key == "structured-report")
    path = folder / name / "withdrawn.dcm"
    path.write_bytes(document.content)
    notice = replace(
        _notice(done.report),
        kind=NoticeKind.WITHDRAWN,
        reason="The contour was drawn around the wrong lesion.",
        source=path,
        predecessor_paths=(path,),
        withdrawn=tuple(ObjectReference(one.sop_class_uid, one.uid, one.series_uid) for one in done.objects),
    )
    return replace(done, objects=(*done.objects, *_written(notice)))


def report_about(organ: Organ, folder: Path, name: str) -> Report:
    """A report with made-up numbers about the stand-in region, the evidence map on the region."""
    case = _case(organ, folder, name)
    series, ordered, volume = _volume(case)
    annotation = read_annotation(case.seg_path)
    roi = ArchiveSegmenter().locate(volume, [annotation], [case.organ])[0]
    made = replace(porcelain(), attribution=attribution()) if organ == "pancreas" else _with_nomogram()
    return Report(
        job_id=JobId.of(case.series_uid, 1),
        version=1,
        manifest="0" * 64,
        fixed_at=FIXED_AT,
        node_version="0.1.0",
        series=replace(series, instances=ordered.instances),
        volume=volume,
        roi=roi,
        clinical=ClinicalRecord(),
        prediction=replace(made, explanation=_on_region(made, roi.mask)),
        phase=PhaseVerdict(Phase.PORTAL_VENOUS, Finding(Phase.PORTAL_VENOUS, "70 s after the injection began")),
    )


def _with_nomogram() -> Prediction:
    return replace(gtrnet(), nomogram=nomogram())


def _case(organ: Organ, folder: Path, name: str) -> DemoCase:
    return make_case(organ, folder / name, name)


def _volume(case: DemoCase) -> tuple[Series, Stack, Volume]:
    headers = [(dcmread(path, stop_before_pixels=True), path) for path in case.ct_paths]
    instances = tuple(instance(header, path=path) for header, path in headers)
    ordered = stack(instances)
    assert isinstance(ordered, Stack)
    hu = np.stack([read_hounsfield(one.path) for one in ordered.instances if one.path])
    series = Series(case.series_uid, case.study_uid, instances[0].patient, "CT", instances)
    return series, ordered, Volume(hu, ordered.geometry, tuple(one.uid for one in ordered.instances))


def _on_region(made: Prediction, mask: np.ndarray) -> object:
    """The map: 1 on the region, falling off to the edge of its box."""
    z, y, x = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    box = tuple(slice(max(0, int(one[0]) - 6), int(one[-1]) + 7) for one in (y, x))
    part = mask[z[0] : z[-1] + 1, box[0], box[1]].astype(np.float32)
    blurred = sum(np.roll(part, (dy, dx), axis=(1, 2)) for dy in range(-4, 5) for dx in range(-4, 5)) / 81
    saliency = np.maximum(part, blurred).astype(np.float32)
    largest = int(np.argmax(mask.sum(axis=(1, 2))))
    start = (int(z[0]), box[0].start, box[1].start)
    return replace(made.explanation, saliency=saliency, start_zyx=start, key_slices=(largest,), roi_dice=0.8)


def _notice(report: Report) -> Notice:
    source = report.series.instances[0].path
    assert source is not None
    return Notice(
        kind=NoticeKind.NOT_ANALYSED,
        job_id=report.job_id,
        version=report.version,
        manifest=report.manifest,
        fixed_at=report.fixed_at,
        node_version=report.node_version,
        series=report.series,
        source=source,
        reason="",
    )


def _written(notice: Notice) -> tuple[ReportObject, ...]:
    return tuple(one for name in NOTICE_WRITERS for one in resolve_notice(name).write(notice))
