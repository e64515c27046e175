"""Gather clinical: ask the sources in order; the first that knows a variable is believed, and disagreement is kept."""

from collections.abc import Iterable
from typing import Final

from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable, Conflict, HeldValue
from node.domain.derivation import with_derived
from node.domain.imaging import Series
from node.domain.ports import ClinicalSource
from node.errors import SourceSilent

DISAGREE_BY: Final = 0.05
"""Relative difference of two numbers of one day from which they contradict each other: more than rounding."""


def gather_clinical(series: Series, sources: Iterable[ClinicalSource]) -> ClinicalRecord:
    """What is known about the patient of ``series``, at most one value a variable, with what follows from it."""
    found: dict[ClinicalVariable, ClinicalValue] = {}
    held: list[HeldValue] = []
    conflicts: list[Conflict] = []
    silent: list[str] = []
    for source in sources:
        try:
            findings = source.gather(series)
        except SourceSilent as exc:
            silent.append(f"{source.name}: {exc.code}")
            continue
        held.extend(findings.held)
        silent.extend(f"{source.name}: {told}" for told in findings.unanswered)
        for value in findings.values:
            used = found.setdefault(value.variable, value)
            if used is not value and _disagree(used, value):
                conflicts.append(Conflict(used, value))
    known = with_derived(ClinicalRecord(tuple(found.values())))
    return ClinicalRecord(
        tuple(one for variable in ClinicalVariable if (one := known.get(variable)) is not None),
        tuple(one for one in held if one.variable not in found),
        tuple(conflicts),
        tuple(silent),
    )


def _disagree(used: ClinicalValue, other: ClinicalValue) -> bool:
    """Whether two values cannot both be right; numbers of two days may differ, words may not."""
    if isinstance(used.value, str) or isinstance(other.value, str):
        return used.value != other.value
    if used.observed_at and other.observed_at:
        days = (used.observed_at.astimezone().date(), other.observed_at.astimezone().date())
        if days[0] != days[1]:
            return False
    return abs(used.value - other.value) > DISAGREE_BY * max(abs(used.value), abs(other.value))
