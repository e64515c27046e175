"""The same object in another character set (0008,0005), for an archive that does not know the one it was written in.

Only the text changes: its letters are the same, and so are all other bytes. What the wanted set has no letters for, or
what nobody said how to read, is not written at all.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

from pydicom import DataElement, Dataset, dcmread, dcmwrite
from pydicom.charset import python_encoding
from pydicom.multival import MultiValue

_TEXT_VRS: Final = frozenset({"PN", "LO", "SH", "LT", "ST", "UT", "UC"})
_CHARACTER_SET: Final = "SpecificCharacterSet"


class CannotBeWritten(Exception):
    """The wanted character set does not hold the text; names the attribute and nothing of its value."""


def recoded(content: bytes, term: str) -> bytes:
    """The DICOM file ``content`` with its text in the character set of the defined ``term`` (one without extensions).

    Raises:
        CannotBeWritten: a letter has no place in it, or is of a character set that was not declared.
    """
    dataset = dcmread(BytesIO(content))
    declared = dataset.get(_CHARACTER_SET)
    if declared == term:
        return content
    dataset.decode()
    source = "ascii" if not declared else None
    for element in _texts(dataset):
        for text in _values(element):
            _require(text, source or python_encoding[term], element)
            _require(text, python_encoding[term], element)
    dataset.SpecificCharacterSet = term
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True, overwrite=True)
    return file.getvalue()


def _texts(dataset: Dataset) -> Iterator[DataElement]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in _TEXT_VRS:
            yield element


def _values(element: DataElement) -> list[str]:
    value: Any = element.value
    return [str(one) for one in value] if isinstance(value, MultiValue) else [str(value or "")]


def _require(text: str, codec: str, element: DataElement) -> None:
    try:
        text.encode(codec)
    except UnicodeEncodeError as exc:
        raise CannotBeWritten(element.keyword or str(element.tag)) from exc
