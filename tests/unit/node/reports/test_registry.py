"""What every registered writer promises: valid, repeatable objects in the right study, which say what they are."""

import io
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime as real_datetime
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import highdicom.base
import highdicom.sc.sop
import highdicom.sr.sop
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from node.domain.ports import ReportWriter
from node.domain.prediction import Prediction, TrainingStatus
from node.domain.reporting import MESSAGE_KINDS, Notice, NoticeKind, ObjectKind, Report, ReportObject
from node.errors import UsageError
from node.reports.evidence import COPIED
from node.reports.registry import NOTICE_WRITERS, WRITERS, resolve, resolve_notice, wanted_writers
from node.settings import ReportsSettings
from tests.unit.node.reports.factory import CtSpec, gtrnet, porcelain

MakeReport = Callable[..., Report]
writers = pytest.mark.parametrize("name", list(WRITERS))
specs = pytest.mark.parametrize(
    "spec",
    [
        CtSpec(),
        CtSpec(character_set=None, name=b"Plain^Name"),
        CtSpec(character_set="GB18030", name=b"\xcd\xf5^\xd0\xa1"),
    ],
    ids=["latin", "undeclared", "gb18030"],
)
"""Series in several character sets."""
notices = pytest.mark.parametrize("kind", list(NoticeKind))
predictions = pytest.mark.parametrize("prediction", [gtrnet(), porcelain()], ids=["gtrnet", "porcelain"])
needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")


def _read(result: ReportObject) -> Dataset:
    return dcmread(io.BytesIO(result.content))


def _errors(path: Path) -> list[str]:
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


@writers
def test_each_name_gives_a_writer(name: str) -> None:
    """Every registered name resolves to something that fits the port."""
    assert isinstance(resolve(name), ReportWriter)


def test_an_unknown_name_is_a_usage_error() -> None:
    """A name that is not registered is answered with the names that are."""
    with pytest.raises(UsageError, match="summary"):
        resolve("hologram")


def test_every_kind_has_one_writer() -> None:
    """The registries cover each kind of object exactly once, the page that people see first before the others."""
    kinds = [*(resolve(name).kind for name in WRITERS), *(resolve_notice(name).kind for name in NOTICE_WRITERS)]
    assert kinds == [kind for kind in ObjectKind if kind not in MESSAGE_KINDS]


def test_what_is_optional_is_written_when_it_is_asked_for() -> None:
    """The PDF by those that want it, the Enhanced SR unless somebody does not."""

    def written(*, pdf: bool, enhanced_sr: bool) -> set[ObjectKind]:
        return {writer.kind for writer in wanted_writers(ReportsSettings(pdf=pdf, enhanced_sr=enhanced_sr))}

    every = {resolve(name).kind for name in WRITERS}
    assert written(pdf=True, enhanced_sr=True) == every
    assert written(pdf=False, enhanced_sr=True) == every - {ObjectKind.DOCUMENT}
    assert written(pdf=True, enhanced_sr=False) == every - {ObjectKind.ENHANCED_REPORT}
    assert {writer.kind for writer in wanted_writers(ReportsSettings())} == every - {ObjectKind.DOCUMENT}


def _notice_objects(notice: Notice) -> list[ReportObject]:
    return [made for name in NOTICE_WRITERS for made in resolve_notice(name).write(notice)]


@needs_dciodvfy
@notices
def test_notices_are_valid(kind: NoticeKind, make_notice: Callable[..., Notice], tmp_path: Path) -> None:
    """The validator finds no error in a page, a document or a rejection note."""
    for number, result in enumerate(_notice_objects(make_notice(kind))):
        path = tmp_path / f"notice-{number}.dcm"
        path.write_bytes(result.content)
        assert _errors(path) == []


@notices
@specs
def test_a_notice_is_in_the_right_study(kind: NoticeKind, spec: CtSpec, make_notice: Callable[..., Notice]) -> None:
    """Patient and study have the bytes of the source, in a series of its own, with the times of the claim."""
    notice = make_notice(kind, spec)
    source = dcmread(notice.series.instances[0].path)
    for result in _notice_objects(notice):
        written = _read(result)
        for keyword in ("SpecificCharacterSet", *COPIED):
            if keyword != "TimezoneOffsetFromUTC" and keyword in source:
                assert written.get_item(keyword).value == source.get_item(keyword).value, keyword
        assert written.SeriesInstanceUID == result.series_uid != notice.series.uid
        assert (written.SOPInstanceUID, written.SOPClassUID) == (result.uid, result.sop_class_uid)
        assert written.SeriesNumber == 9001 + 100 * result.kind.value
        assert (written.ContentDate, written.Manufacturer) == ("20240506", "Celadon")


@notices
def test_the_same_notice_gives_the_same_bytes(
    kind: NoticeKind, make_notice: Callable[..., Notice], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notice that is written again a year later is byte for byte the same."""
    notice = make_notice(kind)
    first = _notice_objects(notice)
    for module in (highdicom.base, highdicom.sc.sop, highdicom.sr.sop):
        _in_a_year(module, monkeypatch)
    assert _notice_objects(notice) == first


@needs_dciodvfy
@writers
@predictions
def test_objects_are_valid(name: str, prediction: Prediction, make_report: MakeReport, tmp_path: Path) -> None:
    """The validator finds no error in any object, for one probability and for four."""
    for number, result in enumerate(resolve(name).write(make_report(prediction))):
        path = tmp_path / f"result-{number}.dcm"
        path.write_bytes(result.content)
        assert _errors(path) == []


@needs_dciodvfy
@writers
def test_a_validated_result_is_valid_too(name: str, make_report: MakeReport, tmp_path: Path) -> None:
    """Without disclaimer, without map and with one slice of lesion the objects are still valid."""
    report = make_report(gtrnet(empty=True, status=TrainingStatus.VALIDATED), CtSpec(slices=3))
    path = tmp_path / "result.dcm"
    for result in resolve(name).write(_with_key_slice(report, 1)):
        path.write_bytes(result.content)
        assert _errors(path) == []


def _with_key_slice(report: Report, index: int) -> Report:
    explanation = replace(report.prediction.explanation, key_slices=(index,))
    return replace(report, prediction=replace(report.prediction, explanation=explanation))


def _in_a_year(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(real_datetime):
        @classmethod
        def now(cls) -> "Later":
            return cls.fromtimestamp((real_datetime.now() + timedelta(days=400)).timestamp())  # noqa: DTZ005

    original = module.datetime
    fields = {name: getattr(original, name) for name in ("date", "time", "timedelta", "timezone")}
    monkeypatch.setattr(module, "datetime", SimpleNamespace(datetime=Later, **fields))


@writers
def test_the_same_report_gives_the_same_bytes(
    name: str, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in an object comes from the clock or from chance: written a year later it is byte for byte the same."""
    report = make_report()
    first = resolve(name).write(report)
    for module in (highdicom.base, highdicom.sc.sop, highdicom.sr.sop):
        _in_a_year(module, monkeypatch)
    assert resolve(name).write(report) == first


@writers
@specs
def test_patient_and_study_are_copied_byte_for_byte(name: str, spec: CtSpec, make_report: MakeReport) -> None:
    """The patient and study attributes of a result have the bytes of the source image."""
    report = make_report(None, spec)
    source = dcmread(report.series.instances[0].path)
    for result in resolve(name).write(report):
        written = _read(result)
        for keyword in ("SpecificCharacterSet", *COPIED):
            if keyword == "TimezoneOffsetFromUTC":
                continue
            assert (keyword in written) == (keyword in source), keyword
            if keyword in source:
                assert written.get_item(keyword).value == source.get_item(keyword).value, keyword


@writers
def test_the_series_is_new_and_numbered_by_kind_and_version(name: str, make_report: MakeReport) -> None:
    """Each kind is a series of its own in the source's study; its number grows with the version."""
    report = replace(make_report(), version=3)
    for result in resolve(name).write(report):
        written = _read(result)
        assert written.StudyInstanceUID == report.series.study_uid
        assert written.SeriesInstanceUID == result.series_uid != report.series.uid
        assert written.SOPInstanceUID == result.uid
        assert written.SOPClassUID == result.sop_class_uid
        assert written.SeriesNumber == 9003 + 100 * result.kind.value
        assert written.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


@writers
@predictions
def test_the_limits_stand_in_the_series_description(name: str, prediction: Prediction, make_report: MakeReport) -> None:
    """A series list alone tells that the result is unverified, not for clinical use, and why."""
    written = _read(resolve(name).write(make_report(prediction))[0])
    description = written.SeriesDescription
    assert description.startswith("AI ")
    assert description.endswith("(unverified)")
    assert "not for clinical use" in description
    assert prediction.algorithm.status.value in description
    assert len(description) <= 64
    assert written.ContentQualification == "RESEARCH"


@writers
def test_the_algorithm_is_contributing_equipment(name: str, make_report: MakeReport) -> None:
    """Every object names the algorithm with version and the device UID of its exact weights."""
    report = make_report()
    (item,) = _read(resolve(name).write(report)[0]).ContributingEquipmentSequence
    assert (item.ManufacturerModelName, item.SoftwareVersions) == ("GTRNet", "1.0.0")
    assert item.DeviceUID == report.prediction.algorithm.device_uid
    assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"


@writers
def test_times_are_those_of_the_claim_in_the_sources_time_zone(name: str, make_report: MakeReport) -> None:
    """The content time is when the analysis was claimed, in the zone that the source's own times are in."""
    written = _read(resolve(name).write(make_report(None, CtSpec(timezone="+0800")))[0])
    assert (written.ContentDate, written.ContentTime) == ("20240506", "150809")
    assert written.TimezoneOffsetFromUTC == "+0800"


@writers
def test_an_object_has_no_private_attributes(name: str, make_report: MakeReport) -> None:
    """Nothing is written that only this node could read."""
    written = _read(resolve(name).write(make_report())[0])
    assert not [element.tag for element in written.iterall() if element.tag.is_private]


@writers
def test_the_objects_carry_their_numbers(name: str, make_report: MakeReport) -> None:
    """What an object holds can be printed without opening it."""
    assert all(result.numbers for result in resolve(name).write(make_report()))
