"""Centres in the overview: whether the results of one model at one of them are unlike those at the others."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from node.domain.centres import Apart, apart
from node.reports.observed import INPUTS
from node.settings import MonitoringSettings
from node.store.monitoring import Observation

MOST_CENTRES: Final = 20


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

    By centre, the quantity that lies farthest first. Empty without two centres that the images name. Of more than
    ``MOST_CENTRES`` those with the most results: anybody may write another name into every header, and how long it
    takes grows with the cube of their number.
    """
    is_blinded = any(one.is_blinded for one in now)
    most = Counter(one.centre for one in now if one.centre).most_common(MOST_CENTRES)
    named = frozenset(centre for centre, _ in most)
    now = [one for one in now if one.centre in named]

    def is_strange(one: Apart) -> bool:
        return one.psi > limits.max_psi and one.ks.p_value < limits.min_ks_p

    rows = [
        CentreRow(name, one, is_strange(one), is_shown=not (is_score and is_blinded))
        for name, is_score, numbers in _quantities(now)
        for one in apart(numbers, limits.least, is_strange)
    ]
    return tuple(sorted(rows, key=lambda row: (row.found.centre, -row.found.psi)))


def _quantities(now: Sequence[Observation]) -> Iterator[tuple[str, bool, Mapping[str, Sequence[float]]]]:
    """Name, whether it is a score, and its numbers by centre."""
    for score in sorted({name for one in now for name in one.scores}):
        yield f"Score {score}", True, _by_centre((one.centre, one.scores.get(score)) for one in now)
    for key, name in INPUTS.items():
        yield name, False, _by_centre((one.centre, one.inputs.get(key)) for one in now)


def _by_centre(numbers: Iterable[tuple[str, float | None]]) -> Mapping[str, Sequence[float]]:
    """Those that are known."""
    found: dict[str, list[float]] = defaultdict(list)
    for centre, number in numbers:
        if number is not None:
            found[centre].append(number)
    return found
