"""The envelope that every object shares."""

from collections.abc import Callable

from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from node.domain.reporting import ObjectKind, Report
from node.reports.envelope import arguments, seal
from node.reports.evidence import gather

MakeReport = Callable[..., Report]


def _bare(report: Report) -> Dataset:
    dataset = Dataset()
    shared = arguments(report, ObjectKind.SUMMARY)
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, shared["sop_instance_uid"]
    dataset.InstanceNumber, dataset.SeriesDescription = 1, shared["series_description"]
    return dataset


def test_what_the_source_leaves_blank_stays_blank(make_report: MakeReport) -> None:
    """A type 2 attribute is always there; the node invents nothing for it."""
    report = make_report()
    dataset = _bare(report)
    seal(dataset, report, gather(report, [0]), ObjectKind.SUMMARY)
    assert "ReferringPhysicianName" in dataset
    assert dataset.ReferringPhysicianName == ""
    assert "PatientWeight" not in dataset


def test_a_patient_that_the_library_wrote_is_overwritten(make_report: MakeReport) -> None:
    """Whatever was in the dataset before, the source's patient is in it after."""
    report = make_report()
    dataset = _bare(report)
    dataset.PatientID = "SOMEBODY-ELSE"
    seal(dataset, report, gather(report, [0]), ObjectKind.SUMMARY)
    assert dataset.PatientID == "PAT-7"


def test_without_a_declared_zone_the_times_are_in_that_of_the_claim(make_report: MakeReport) -> None:
    """The offset of the content times is declared, so that they cannot be misread."""
    report = make_report()
    dataset = _bare(report)
    seal(dataset, report, gather(report, [0]), ObjectKind.SUMMARY)
    assert (str(dataset.ContentTime), dataset.TimezoneOffsetFromUTC) == ("070809", "+0000")
