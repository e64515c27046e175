"""Phantoms for the segmenter: both kinds of lesion and none, in every phase; for training and for judging apart."""

from collections.abc import Iterator
from itertools import chain, count, cycle, islice
from typing import Final

from models.phantoms import Kind, Wanted, draw
from models.phantoms.spec import VERSION, Filling
from models.training.cohort import Cohort, PhantomSource, TrainingCase
from models.training.phantom_cohort import SPAN, of_plan
from models.training.segmenter_cases import wanted
from node.errors import UsageError

HELD_OUT = SPAN // 2
"""Seeds of a cohort from here on are of phantoms that no training sees."""
_MOST: Final = HELD_OUT // 10
"""An empty stomach is one in six."""
_WITHOUT_CANCER: Final = (Wanted(kind=Kind.NORMAL), Wanted(kind=Kind.PANCREATIC))
"""Of the stomach."""
_SMALL_FROM: Final = HELD_OUT // 2
"""Further seeds of a cohort; neither the usual nor the empty ones come as far."""
_MAY_BE_SMALL: Final = (Wanted(kind=Kind.PANCREATIC), Wanted(kind=Kind.GASTRIC, t_stage=1))
_SMALL_MM: Final = 26.0
"""The longest diameter of a small carcinoma of the pancreas: one in four is no larger."""


def phantoms(
    number: int, seed: int, *, hard: int = 0, empty: int = 0, small: int = 0, held_out: bool = False
) -> Cohort:
    """``number`` phantoms; the same arguments give the same.

    The first ``hard`` of them are of what is missed most. The last ``small`` have a small lesion: a carcinoma of the
    pancreas of at most ``_SMALL_MM``, or an early gastric one. The ``empty`` before them have an empty stomach and no
    cancer of it: the folds of its wall, cut along, are what is most often taken for one.

    Raises UsageError for a number of phantoms that is not 1 to ``_MOST``, more of the three kinds than that, or a seed
    below 0.
    """
    apart = empty + small
    if hard + apart > number:
        raise UsageError(f"--hard {hard} --empty {empty} --small {small}: of {number} phantoms")
    if not 0 < number <= _MOST or seed < 0:
        raise UsageError(f"--phantoms {number} --seed {seed}: 1 to {_MOST} phantoms, and a seed of 0 or more")
    first = seed * SPAN + (HELD_OUT if held_out else 0)
    usual = ((first + index, wanted(index, hard)) for index in range(number - apart))
    drawn = [*chain(usual, islice(_empty(first + number - small), empty), islice(_small(first + _SMALL_FROM), small))]
    # Seeds alone do not say what is drawn.
    chosen = "".join(f":{count} {name}" for count, name in ((empty, "empty"), (small, "small")) if count)
    kinds = ";".join(repr(each) for _, each in drawn) + chosen
    return of_plan(
        tuple(_case(own, each) for own, each in drawn), f"segmenter:{VERSION}:{first}:{kinds}", seed, VERSION
    )


def _empty(first: int) -> Iterator[tuple[int, Wanted]]:
    """The phantoms from ``first`` on whose stomach is empty."""
    for seed, each in zip(count(first), cycle(_WITHOUT_CANCER), strict=False):
        if draw(seed, each).habitus.filling is Filling.EMPTY:
            yield seed, each


def _small(first: int) -> Iterator[tuple[int, Wanted]]:
    """The phantoms from ``first`` on whose lesion is small, one of each organ in turn."""
    seeds = count(first)
    for each in cycle(_MAY_BE_SMALL):
        yield next((seed, each) for seed in seeds if _is_small(seed, each))


def _is_small(seed: int, each: Wanted) -> bool:
    return each.kind is Kind.GASTRIC or draw(seed, each).lesions[0].size_mm <= _SMALL_MM


def _case(seed: int, drawn: Wanted) -> TrainingCase:
    source = PhantomSource(seed, drawn)
    name = f"phantom-{seed}"
    return TrainingCase(name, name, source, 0, "phantom", None, draw(seed, source.wanted).clinical)
