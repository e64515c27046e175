"""Verdicts in DICOM objects: what a radiologist has stored in the archive about our results, as a coded SR or KOS.

Read is the one CODE item, anywhere in the tree, that is a verdict of our own scheme; the classes and comments beside
it; the person who observed (PS3.16 TID 1002 to 1004); and which objects the document is about (PS3.3 section C.17.2).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from node.dicom.documents import items, patient_of, read_document, sequence, text
from node.domain.coding import Code
from node.domain.identifiers import InstanceUID
from node.domain.verdict import OWN_CLASSES, VERDICT_CODES, VerdictDocument

MOST_REFERENCES: Final = 2000
_PERSON_OBSERVER: Final = Code("121008", "DCM", "Person Observer Name")
_COMMENTS: Final = (("121106", "DCM"), ("113012", "DCM"))
"""Comment; Key Object Description."""
_LONGEST: Final = 4000
_EVIDENCE: Final = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")


def read_verdict(path: Path) -> VerdictDocument | None:
    """The verdict in the file ``path``; None when the document holds none.

    Raises Refused (DOCUMENT_UNREADABLE) when the content is broken, Retryable when the file cannot be read.
    """
    return read_document(path, _document)


def _document(dataset: Dataset) -> VerdictDocument | None:
    found = [item for item, _ in items(dataset, "", 0)]
    codes = [
        code for item in found if text(item, "ValueType") == "CODE" for code in _codes(item, "ConceptCodeSequence")
    ]
    verdicts = tuple(dict.fromkeys(VERDICT_CODES[code] for code in codes if code in VERDICT_CODES))
    if not verdicts:
        return None
    return VerdictDocument(
        instance_uid=InstanceUID(str(dataset.SOPInstanceUID)),
        study_uid=text(dataset, "StudyInstanceUID"),
        patient=patient_of(dataset),
        # A key object selection has no flags: it is whole once it is stored (PS3.3 section A.35.4).
        is_final=text(dataset, "CompletionFlag") in ("COMPLETE", "")
        and text(dataset, "PreliminaryFlag") != "PRELIMINARY",
        observers=tuple(dict.fromkeys(_observers(dataset, found))),
        references=tuple(dict.fromkeys(_references(dataset)))[:MOST_REFERENCES],
        verdicts=verdicts,
        own_classes=tuple(dict.fromkeys(OWN_CLASSES[code] for code in codes if code in OWN_CLASSES)),
        reason=" ".join(_comments(found))[:_LONGEST],
    )


def _codes(item: Dataset, keyword: str) -> list[tuple[str, str]]:
    return [(text(one, "CodeValue"), text(one, "CodingSchemeDesignator")) for one in sequence(item, keyword)]


def _observers(dataset: Dataset, found: list[Dataset]) -> Iterator[str]:
    """Who verified the document, else who is named as the observing person."""
    verifying = [text(one, "VerifyingObserverName") for one in sequence(dataset, "VerifyingObserverSequence")]
    named = [
        text(item, "PersonName")
        for item in found
        if text(item, "ValueType") == "PNAME"
        and (_PERSON_OBSERVER.value, _PERSON_OBSERVER.scheme) in _codes(item, "ConceptNameCodeSequence")
    ]
    yield from filter(None, verifying or named)


def _references(dataset: Dataset) -> Iterator[str]:
    for keyword in _EVIDENCE:
        for study in sequence(dataset, keyword):
            for series in sequence(study, "ReferencedSeriesSequence"):
                for one in sequence(series, "ReferencedSOPSequence"):
                    yield text(one, "ReferencedSOPInstanceUID")


def _comments(found: list[Dataset]) -> Iterator[str]:
    for item in found:
        named = _codes(item, "ConceptNameCodeSequence")
        if text(item, "ValueType") == "TEXT" and any(code in _COMMENTS for code in named):
            yield text(item, "TextValue")
