"""The document: the summary and the reasons as an encapsulated PDF (PS3.3 section A.45.1), to be printed or filed."""

import re
from datetime import datetime
from typing import Final

from highdicom.base import SOPClass
from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage
from pydicom.valuerep import DT

from node.domain.reporting import ObjectKind, Report, ReportObject
from node.reports import codes, wording
from node.reports.codes import concept
from node.reports.envelope import arguments, seal
from node.reports.evidence import Evidence, gather, key_slices
from node.reports.explanation_page import draw_reasons, has_reasons
from node.reports.page import SIDE
from node.reports.print_canvas import Print
from node.reports.summary import draw_summary

SOP_CLASS: Final = EncapsulatedPDFStorage
_TITLE_CHARACTERS: Final = 1024
_DAY: Final = re.compile(r"\d{8}")
"""DA (PS3.5 section 6.2); of anything else the library would take what it can read of it."""


class DocumentWriter:
    """Writes one PDF with the same pages as the secondary captures."""

    kind = ObjectKind.DOCUMENT

    def write(self, report: Report) -> tuple[ReportObject, ...]:
        """One object."""
        index = key_slices(report)[0]
        evidence = gather(report, [index])
        shared = arguments(report, self.kind)
        dataset: Dataset = SOPClass(
            study_instance_uid=report.series.study_uid,
            sop_class_uid=SOP_CLASS,
            modality="DOC",
            **shared,
        )
        dataset.ConversionType = "WSD"
        dataset.BurnedInAnnotation = "YES"
        dataset.AcquisitionDateTime = _acquired(evidence, index)
        dataset.DocumentTitle = evidence.characters.fit(wording.headline(report.prediction))[:_TITLE_CHARACTERS]
        dataset.ConceptNameCodeSequence = [concept(codes.ONCOLOGY_MEASUREMENT_REPORT)]
        source = Dataset()
        source.ReferencedSOPClassUID = evidence.images[index].SOPClassUID
        source.ReferencedSOPInstanceUID = evidence.images[index].SOPInstanceUID
        dataset.SourceInstanceSequence = [source]
        _embed(dataset, printed(report, evidence))
        return (seal(dataset, report, evidence, self.kind, wording.numbers(report)),)


def printed(report: Report, evidence: Evidence) -> bytes:
    """The pages as a PDF file; its title holds no patient data, since viewers show it as the name of the window."""
    document = Print(SIDE, wording.headline(report.prediction))
    draw_summary(document.page(), report, evidence)
    if has_reasons(report):
        draw_reasons(document.page(), report, evidence)
    return document.finished()


def _embed(dataset: Dataset, pdf: bytes) -> None:
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    dataset.EncapsulatedDocumentLength = len(pdf)


def _acquired(evidence: Evidence, index: int) -> DT | None:
    """When the image was taken (type 2), where it says so in a way that can be read."""
    image = evidence.images[index]
    date, time = image.get("AcquisitionDate"), image.get("AcquisitionTime")
    if not date or not _DAY.fullmatch(str(date)):
        return None
    try:
        moment = DT(f"{date}{time or ''}")
    except ValueError:
        return None
    return moment if isinstance(moment, datetime) else None
