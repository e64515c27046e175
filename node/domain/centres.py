"""Centres: which of several is unlike the others, the farthest first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from node.domain.drift import Distance, ks, psi_of_numbers, quantile

_PAIR: Final = 2
_Compared = TypeVar("_Compared")


@dataclass(frozen=True, slots=True)
class Apart:
    """One quantity at one centre against those that it is compared with."""

    centre: str
    count: int
    others: int
    median: float
    median_of_others: float
    psi: float
    ks: Distance


def farthest_first(
    centres: Iterable[str],
    compare: Callable[[str, Sequence[str]], _Compared | None],
    is_strange: Callable[[_Compared], bool],
    how_far: Callable[[_Compared], float],
) -> list[tuple[str, _Compared]]:
    """Each centre as ``compare(centre, left)`` has it, which is None where too little is known; in order of names.

    The strangest is looked for first, and the rest are compared without it: ``left`` are those that are left, itself
    among them. So one strange centre does not make all others look strange.
    """
    left = sorted(set(centres) - {""})
    apart: list[tuple[str, _Compared]] = []
    while True:
        tested = [(one, found) for one in left if (found := compare(one, left)) is not None]
        strange = [(one, found) for one, found in tested if is_strange(found)]
        # Of two centres that differ nobody can say which is the strange one.
        if not strange or len(left) <= _PAIR:
            return sorted((*apart, *tested), key=lambda pair: pair[0])
        farthest = max(strange, key=lambda pair: how_far(pair[1]))
        apart.append(farthest)
        left.remove(farthest[0])


def apart(
    numbers: Mapping[str, Sequence[float]], fewest: int, is_strange: Callable[[Apart], bool]
) -> tuple[Apart, ...]:
    """Every centre with at least ``fewest`` numbers against at least as many of the others; the nameless is none."""
    # In order once: what is made of them is looked for in order again and again, which then costs little.
    ordered = {centre: sorted(found) for centre, found in numbers.items()}

    def compare(centre: str, left: Sequence[str]) -> Apart | None:
        here = ordered[centre]
        there = sorted(number for other in left if other != centre for number in ordered[other])
        if min(len(here), len(there)) < fewest:
            return None
        return Apart(
            centre=centre,
            count=len(here),
            others=len(there),
            median=quantile(here, 0.5),
            median_of_others=quantile(there, 0.5),
            psi=psi_of_numbers(there, here),
            ks=ks(there, here),
        )

    return tuple(found for _, found in farthest_first(numbers, compare, is_strange, lambda one: one.psi))
