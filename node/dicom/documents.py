"""Documents: structured reports and key object selections of others, read from their files as a tree of content items.

What counts in one is for its readers to say: ``measurements`` and ``verdicts``. Runs in a decoder of ``sandbox``.
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

from node.domain.imaging import PatientIdentity
from node.domain.reasons import ReasonCode
from node.errors import Refused, Retryable

Found = TypeVar("Found")

MOST_ITEMS: Final = 50_000
DEEPEST: Final = 32

_BROKEN: Final = (
    InvalidDicomError, BytesLengthException, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError,
    OverflowError, RecursionError, RuntimeError, TypeError, ValueError, struct.error,
)  # fmt: skip
"""What pydicom raises on content that is not what it claims to be."""


def read_document(path: Path, read: Callable[[Dataset], Found]) -> Found:
    """What ``read`` finds in the document in the file ``path``.

    Raises Refused (DOCUMENT_UNREADABLE) when the content is broken, Retryable when the file cannot be read.
    """
    try:
        if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise Refused(ReasonCode.DOCUMENT_UNREADABLE, "deflated objects are not read")
        return read(dcmread(path, stop_before_pixels=True))
    except OSError as exc:
        raise Retryable(f"a stored document cannot be read: {exc.strerror}") from exc
    except _BROKEN as exc:
        raise Refused(ReasonCode.DOCUMENT_UNREADABLE, type(exc).__name__) from exc


def patient_of(dataset: Dataset) -> PatientIdentity:
    """Whom a document says that it is about."""
    keywords = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
    return PatientIdentity(*(text(dataset, keyword) for keyword in keywords))


def items(parent: Dataset, moment: str, depth: int) -> Iterator[tuple[Dataset, str]]:
    """Every content item with the moment that it, or the nearest item above it, was observed at."""
    if depth > DEEPEST:
        return
    for item in sequence(parent, "ContentSequence")[:MOST_ITEMS]:
        observed = text(item, "ObservationDateTime") or moment
        yield item, observed
        yield from items(item, observed, depth + 1)


def sequence(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none where it is missing or something else."""
    value: Any = dataset.get(keyword)
    return [item for item in value if isinstance(item, Dataset)] if isinstance(value, Sequence) else []


def text(dataset: Dataset, keyword: str) -> str:
    """A value as text without spaces around; empty where it is missing."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()
