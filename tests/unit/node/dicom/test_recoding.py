"""The same object in another character set: the same letters, or nothing at all."""

from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from node.dicom.recoding import CannotBeWritten, recoded
from tests.factories import as_file, ct_slice

CHINESE = "Wang^XiaoDong=王^小东"


def nested() -> Dataset:
    """An image with text in a sequence too."""
    image = ct_slice(PatientName=CHINESE)
    item = Dataset()
    item.CodeMeaning = "东"
    image.ProcedureCodeSequence = [item]
    return image


@pytest.mark.parametrize("term", ["GB18030", "GBK", "ISO_IR 192"])
def test_the_letters_are_the_same(term: str) -> None:
    """At every level, and the pixels untouched."""
    image = nested()
    found = dcmread(BytesIO(recoded(as_file(image), term)))
    assert found.SpecificCharacterSet == term
    assert (str(found.PatientName), found.ProcedureCodeSequence[0].CodeMeaning) == (CHINESE, "东")
    assert (found.PixelData, found.SOPInstanceUID) == (image.PixelData, image.SOPInstanceUID)


def test_it_is_the_same_every_time() -> None:
    """What is sent again has the same bytes."""
    content = as_file(nested())
    assert recoded(content, "GB18030") == recoded(content, "GB18030")


def test_what_is_in_that_set_already_is_not_touched() -> None:
    """Byte for byte."""
    content = as_file(nested())
    assert recoded(content, "ISO_IR 192") is content


def test_letters_that_a_set_has_not_got_are_not_replaced() -> None:
    """The error names the attribute, and nothing of its value."""
    with pytest.raises(CannotBeWritten) as error:
        recoded(as_file(nested()), "ISO_IR 100")
    assert str(error.value) in ("PatientName", "CodeMeaning")


def test_text_that_nobody_declared_is_not_guessed() -> None:
    """Bytes without a character set are ASCII or unknown."""
    image = ct_slice(SpecificCharacterSet=None)
    name = "王^小东".encode("gb18030")
    tag = Tag("PatientName")
    image[tag] = RawDataElement(tag, "PN", len(name), name, 0, is_implicit_VR=False, is_little_endian=True)
    with pytest.raises(CannotBeWritten):
        recoded(as_file(image), "ISO_IR 192")
    assert (
        dcmread(BytesIO(recoded(as_file(ct_slice(SpecificCharacterSet=None)), "ISO_IR 100"))).PatientName == "Made^Up"
    )
