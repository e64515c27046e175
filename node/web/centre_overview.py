"""Centres in the overview: whether the results of one model at one of them are unlike those at the others."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from node.domain.centres import Apart, apart
from node.reports.observed import INPUTS
from node.settings import MonitoringSettings
from node.store.monitoring import Observation


@dataclass(frozen=True, slots=True)
class CentreRow:
    """One quantity at one centre."""

    quantity: str
    """As a person reads it."""
    found: Apart
    is_apart: bool
    """Whether it is both farther and less by chance than the thresholds allow."""
    is_shown: bool
    """Whether the medians may be told: not those of blinded scores."""


def centre_rows(limits: MonitoringSettings, now: Sequence[Observation]) -> tuple[CentreRow, ...]:
    """Every score and input at every centre with ``limits.least`` results and as many elsewhere.

    By centre, the quantity that lies farthest first. Empty without two centres that the images name.
    """

    def is_strange(one: Apart) -> bool:
        return one.psi > limits.max_psi and one.ks.p_value < limits.min_ks_p

    is_blinded = any(one.is_blinded for one in now)
    rows = [
        CentreRow(name, one, is_strange(one), is_shown=not (is_score and is_blinded))
        for name, is_score, numbers in _quantities(now)
        for one in apart(numbers, limits.least, is_strange)
    ]
    return tuple(sorted(rows, key=lambda row: (row.found.centre, -row.found.psi)))


def _quantities(now: Sequence[Observation]) -> Iterator[tuple[str, bool, Mapping[str, Sequence[float]]]]:
    """Name, whether it is a score, and its numbers by centre."""
    for score in sorted({name for one in now for name in one.scores}):
        yield f"Score {score}", True, _by_centre(now, lambda one, key=score: one.scores.get(key))  # type: ignore[misc]
    for key, name in INPUTS.items():
        yield name, False, _by_centre(now, lambda one, key=key: one.inputs.get(key))  # type: ignore[misc]


def _by_centre(
    now: Sequence[Observation], number_of: Callable[[Observation], float | None]
) -> Mapping[str, Sequence[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for one in now:
        if one.centre and (number := number_of(one)) is not None:
            found[one.centre].append(number)
    return found
