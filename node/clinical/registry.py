"""Every clinical source by name; the settings say which are asked, and in what order."""

from collections.abc import Callable
from typing import Final

from node.clinical.dicom_header import DicomHeaderSource
from node.clinical.stored import StoredSource
from node.domain.clinical_intake import ENTERED, KnownValues
from node.domain.ports import ClinicalSource
from node.errors import UsageError
from node.settings import ClinicalSettings

CSV: Final = "csv"
HL7: Final = "hl7"
SR: Final = "sr"

Open = Callable[[ClinicalSettings, KnownValues], ClinicalSource | None]


def _fhir(settings: ClinicalSettings, _known: KnownValues) -> ClinicalSource | None:
    if settings.fhir is None:
        return None
    from node.clinical.fhir import FhirSource  # noqa: PLC0415 — resource models take a while, and few sites ask

    return FhirSource(settings.fhir, settings.stale_days)


def _stored(name: str) -> Open:
    return lambda settings, known: StoredSource(name, known, settings.stale_days)


SOURCES: Final[dict[str, Open]] = {
    ENTERED: _stored(ENTERED),
    "fhir": _fhir,
    HL7: _stored(HL7),
    CSV: _stored(CSV),
    SR: _stored(SR),
    DicomHeaderSource.name: lambda _settings, _known: DicomHeaderSource(),
}
"""How each source is opened; one that is not configured opens as None."""


def open_sources(settings: ClinicalSettings, known: KnownValues) -> tuple[ClinicalSource, ...]:
    """The configured sources, in order.

    Raises:
        UsageError: a source is named that does not exist.
    """
    opened = []
    for name in settings.sources:
        if name not in SOURCES:
            raise UsageError(f"clinical.sources: there is no source {name!r}; known: {', '.join(SOURCES)}")
        opened.append(SOURCES[name](settings, known))
    return tuple(source for source in opened if source is not None)
