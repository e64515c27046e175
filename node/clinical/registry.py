"""Every clinical source by name, in the order in which they are asked."""

from typing import Final

from node.clinical.dicom_header import DicomHeaderSource
from node.domain.ports import ClinicalSource

SOURCES: Final[dict[str, type[ClinicalSource]]] = {
    DicomHeaderSource.name: DicomHeaderSource,
}
