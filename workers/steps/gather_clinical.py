"""Gather clinical: ask the sources in order; the first that knows a variable is believed."""

from collections.abc import Iterable

from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.imaging import Series
from node.domain.ports import ClinicalSource


def gather_clinical(series: Series, sources: Iterable[ClinicalSource]) -> ClinicalRecord:
    """What is known about the patient of ``series``, at most one value a variable."""
    found: dict[ClinicalVariable, ClinicalValue] = {}
    for source in sources:
        for value in source.gather(series):
            found.setdefault(value.variable, value)
    return ClinicalRecord(tuple(found[variable] for variable in ClinicalVariable if variable in found))
