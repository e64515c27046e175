"""Documents of others: read whole, or refused with a reason; what a reader makes of one is its own."""

from pathlib import Path

import pytest
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from node.dicom.documents import items, patient_of, read_document, text
from node.dicom.files import write_dicom_file
from node.domain.reasons import ReasonCode
from node.errors import Refused, Retryable
from tests.factories import PATIENT, ct_slice, vital_signs, write


def test_a_reader_is_given_the_document(tmp_path: Path) -> None:
    """With its patient and every content item, whatever it stands in."""
    (path,) = write([vital_signs(("8302-2", "LN", "172", "cm"))], tmp_path)
    found = read_document(path, lambda dataset: (patient_of(dataset), [one for one, _ in items(dataset, "", 0)]))
    assert found[0] == PATIENT
    assert "NUM" in {text(item, "ValueType") for item in found[1]}


def test_what_is_broken_is_refused(tmp_path: Path) -> None:
    """No DICOM, content that a reader stumbles over, and what is deflated, whose size nobody knows."""
    (path,) = write([ct_slice()], tmp_path)
    with pytest.raises(Refused) as stumbled:
        read_document(path, lambda dataset: dataset.NoSuchAttribute)
    (tmp_path / "text").write_text("no DICOM at all")
    with pytest.raises(Refused) as strange:
        read_document(tmp_path / "text", patient_of)
    meta = read_file_meta_info(path)
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    write_dicom_file(tmp_path / "deflated", meta, b"")
    with pytest.raises(Refused) as inflated:
        read_document(tmp_path / "deflated", patient_of)
    codes = {one.value.reason.code for one in (stumbled, strange, inflated)}
    assert codes == {ReasonCode.DOCUMENT_UNREADABLE}


def test_a_file_that_is_gone_is_asked_for_again(tmp_path: Path) -> None:
    """That says nothing against the document."""
    with pytest.raises(Retryable):
        read_document(tmp_path / "gone", patient_of)
