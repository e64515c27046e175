"""Measurements of structured reports: found wherever they stand, with unit and time; what is broken has a reason."""

from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from node.dicom.documents import DEEPEST
from node.dicom.measurements import read_measurements
from node.dicom.sandbox_wire import BadMessage, Message, document_from, document_message
from node.domain.clinical_intake import Measurement
from node.domain.coding import Code
from node.domain.reasons import ReasonCode
from node.errors import Refused, Retryable
from tests.factories import PATIENT, ct_slice, vital_signs, write

HEIGHT = ("8302-2", "LN", "172", "cm")


def test_a_measurement_has_name_number_unit_and_time(tmp_path: Path) -> None:
    """The time is that of the item above it that has one, else the document's."""
    (path,) = write([vital_signs(HEIGHT, moment="20240505120000")], tmp_path)
    found = read_measurements(path)
    assert found.patient == PATIENT
    assert found.is_final
    assert found.measurements == (Measurement(Code("8302-2", "LN", "Meaning"), "172", "cm", "20240505120000"),)
    (path,) = write([vital_signs(HEIGHT)], tmp_path)
    assert read_measurements(path).measurements[0].observed_at == "20240506080000"


@pytest.mark.parametrize("changes", [{"CompletionFlag": "PARTIAL"}, {"PreliminaryFlag": "PRELIMINARY"}])
def test_what_is_not_complete_is_not_final(tmp_path: Path, changes: dict[str, str]) -> None:
    """As the document says of itself."""
    (path,) = write([vital_signs(HEIGHT, **changes)], tmp_path)
    assert not read_measurements(path).is_final


def test_a_number_without_ucum_has_no_unit(tmp_path: Path) -> None:
    """Units of other schemes are not guessed at."""
    report = vital_signs(HEIGHT)
    unit = report.ContentSequence[0].ContentSequence[0].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0]
    unit.CodingSchemeDesignator = "99LOCAL"
    (path,) = write([report], tmp_path)
    assert read_measurements(path).measurements[0].unit == ""


def test_items_that_measure_nothing_are_left_out(tmp_path: Path) -> None:
    """No value, no name, another type."""
    report = vital_signs(HEIGHT, HEIGHT, HEIGHT)
    items = report.ContentSequence[0].ContentSequence
    items[0].MeasuredValueSequence = Items([])
    items[1].ConceptNameCodeSequence = Items([])
    items[2].ValueType = "TEXT"
    (path,) = write([report], tmp_path)
    assert read_measurements(path).measurements == ()


def test_a_tree_without_end_is_read_to_a_depth(tmp_path: Path) -> None:
    """A hostile document costs no stack."""
    report = vital_signs(HEIGHT)
    for _ in range(DEEPEST + 2):
        above = Dataset()
        above.ValueType, above.ContentSequence = "CONTAINER", report.ContentSequence
        report.ContentSequence = Items([above])
    (path,) = write([report], tmp_path)
    assert read_measurements(path).measurements == ()


def test_an_object_without_content_measures_nothing(tmp_path: Path) -> None:
    """An image, for example."""
    (path,) = write([ct_slice()], tmp_path)
    assert read_measurements(path).measurements == ()


def test_what_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    """Broken content refuses the document, a file that is away is tried again."""
    (tmp_path / "broken").write_bytes(b"nothing" * 40)
    with pytest.raises(Refused) as raised:
        read_measurements(tmp_path / "broken")
    assert raised.value.reason.code is ReasonCode.DOCUMENT_UNREADABLE
    with pytest.raises(Retryable):
        read_measurements(tmp_path / "absent")


def test_a_document_crosses_the_sandbox_unchanged(tmp_path: Path) -> None:
    """And a reply that is none does not become one."""
    (path,) = write([vital_signs(HEIGHT, ("29463-7", "LN", "80", "kg"))], tmp_path)
    document = read_measurements(path)
    message = document_message(document)
    assert document_from(message) == document
    for change in ({"measurements": [["too", "few"]]}, {"patient": []}, {"instance_uid": "no uid"}):
        with pytest.raises(BadMessage):
            document_from(Message(message.header | change))
