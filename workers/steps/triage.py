"""Triage: may this series be analysed at all? Headers only; no pixel has been touched yet."""

from node.domain.imaging import Series
from node.domain.stacking import Stack
from node.triage import contract


def triage(series: Series) -> Stack:
    """The series as an ordered stack of axial CT slices.

    Raises:
        Refused: the clause of the input contract that it breaks.
    """
    return contract.check(series)
