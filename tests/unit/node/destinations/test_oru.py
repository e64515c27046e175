"""The report as an HL7 message: read by another parser, with the numbers and codes of the DICOM objects."""

from dataclasses import replace
from datetime import UTC, datetime

import hl7
import pytest

from node.destinations.oru import MessageWriter, escaped, take_back
from node.domain.reporting import ObjectKind, Report
from node.reports.codes import QUANTITIES
from node.reports.wording import percent
from tests.unit.node.reports.conftest import ReportFactory, make_report
from tests.unit.node.reports.factory import CtSpec, gtrnet, porcelain

__all__ = ["make_report"]


def written(report: Report) -> hl7.Message:
    """The message as the parser sees it."""
    (made,) = MessageWriter().write(report)
    return hl7.parse(made.content.decode())


def observations(message: hl7.Message) -> dict[str, tuple[str, str]]:
    """Code of OBX-3 to value and unit."""
    return {str(one[3][0][0]): (str(one[5]), str(one[6]) if len(one) > 6 else "") for one in message.segments("OBX")}


@pytest.mark.parametrize("prediction", [gtrnet(), porcelain()], ids=["gtrnet", "porcelain"])
def test_every_probability_is_there_with_its_code(make_report: ReportFactory, prediction: object) -> None:
    """As per cent, with the decimals that the objects show."""
    report = make_report(prediction)
    found = observations(written(report))
    for score in report.prediction.scores:
        code = QUANTITIES[score.quantity]
        assert found[code.value] == (str(percent(score.probability)), "%^%^UCUM")
    assert found["113014"][0] == report.series.study_uid
    assert found["111001"][0] == report.prediction.algorithm.name


def test_the_patient_and_the_order_are_those_of_the_images(make_report: ReportFactory) -> None:
    """Names with their letters, whatever character set they came in."""
    message = written(make_report(spec=CtSpec()))
    assert str(message.segment("PID")[5]).startswith("Müller^Jörg")
    assert message.segment("MSH")[18] == ["UNICODE UTF-8"]
    assert str(message.segment("MSH")[9]) == "ORU^R01^ORU_R01"


def test_a_name_in_several_scripts_has_a_repetition_for_each(make_report: ReportFactory) -> None:
    """Alphabetic, ideographic, phonetic."""
    spec = CtSpec(character_set="ISO_IR 192", name="Wang^XiaoDong=王^小东".encode())
    name = str(written(make_report(spec=spec)).segment("PID")[5])
    assert name == "Wang^XiaoDong^^^^^L^A~王^小东^^^^^L^I"


def test_a_correction_of_the_archive_is_in_the_message(make_report: ReportFactory) -> None:
    """As in the objects."""
    report = replace(make_report(), correction={"PatientID": "RIGHT", "AccessionNumber": "A-2"})
    message = written(report)
    assert str(message.segment("PID")[3]).startswith("RIGHT")
    assert str(message.segment("OBR")[18]) == "A-2"


def test_nothing_in_it_is_final(make_report: ReportFactory) -> None:
    """Preliminary at first, corrected where it replaces an earlier version."""
    report = make_report()
    for version, status in ((1, "P"), (2, "C")):
        message = written(replace(report, version=version))
        assert str(message.segment("OBR")[25]) == status
        assert {str(one[11]) for one in message.segments("OBX")} == {status}


def test_the_same_report_gives_the_same_message(make_report: ReportFactory) -> None:
    """Byte for byte, with the same control id."""
    report = make_report()
    (one,), (other,) = MessageWriter().write(report), MessageWriter().write(report)
    assert one == other
    assert (one.kind, len(str(hl7.parse(one.content.decode()).segment("MSH")[10])) <= 20) == (ObjectKind.MESSAGE, True)


def test_separators_in_text_are_escaped() -> None:
    """A name with a bar in it ends no field."""
    assert escaped("a|b^c&d~e\\f\rg") == "a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f g"


def test_what_was_sent_is_taken_back_by_another_message(make_report: ReportFactory) -> None:
    """The same observations, marked as wrong, under a control ID of its own, and why."""
    (sent,) = MessageWriter().write(make_report())
    at = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    made = take_back(sent.content.decode(), sent.uid, sent.series_uid, "Wrong contour | left", at)
    first, second = hl7.parse(sent.content.decode()), hl7.parse(made.content.decode())
    *before, last = second.segments("OBX")
    assert [(str(one[3]), str(one[5])) for one in before] == [
        (str(one[3]), str(one[5])) for one in first.segments("OBX")
    ]
    assert {str(one[11]) for one in before} == {"W"}
    assert (str(last[1]), str(last[11]), str(last[5])) == (
        str(len(before) + 1), "C", r"AI RESULT WITHDRAWN. Wrong contour \F\ left"
    )  # fmt: skip
    assert str(second.segment("PID")) == str(first.segment("PID"))
    assert str(second.segment("OBR")[25]) == "C"
    assert str(second.segment("MSH")[7]) == "20240506070809+0000"
    assert str(second.segment("MSH")[10]) != str(first.segment("MSH")[10])
    assert (made.kind, made.uid) != (sent.kind, sent.uid)
