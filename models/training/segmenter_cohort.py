"""Phantoms for the segmenter: both kinds of lesion and none, in every phase; for training and for judging apart."""

from models.phantoms import Wanted, draw
from models.phantoms.spec import VERSION
from models.training.cohort import Cohort, PhantomSource, TrainingCase
from models.training.phantom_cohort import SPAN, of_plan
from models.training.segmenter_cases import wanted
from node.errors import UsageError

HELD_OUT = SPAN // 2
"""Seeds of a cohort from here on are of phantoms that no training sees."""


def phantoms(count: int, seed: int, *, hard: int = 0, held_out: bool = False) -> Cohort:
    """``count`` phantoms, the first ``hard`` of which are of what is missed most; the same arguments give the same.

    Raises UsageError for a number of phantoms that is not 1 to ``HELD_OUT``, more hard ones, or a seed below 0.
    """
    if hard > count:
        raise UsageError(f"--hard {hard}: of {count} phantoms")
    if not 0 < count <= HELD_OUT or seed < 0:
        raise UsageError(f"--phantoms {count} --seed {seed}: 1 to {HELD_OUT} phantoms, and a seed of 0 or more")
    first = seed * SPAN + (HELD_OUT if held_out else 0)
    cases = tuple(_case(first + index, wanted(index, hard)) for index in range(count))
    # Seeds alone do not say what is drawn.
    kinds = ";".join(repr(wanted(index, hard)) for index in range(count))
    return of_plan(cases, f"segmenter:{VERSION}:{first}:{kinds}", seed, VERSION)


def _case(seed: int, drawn: Wanted) -> TrainingCase:
    source = PhantomSource(seed, drawn)
    name = f"phantom-{seed}"
    return TrainingCase(name, name, source, 0, "phantom", None, draw(seed, source.wanted).clinical)
