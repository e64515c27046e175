"""Recorded predictions beside what turned out to be true: the one input of every analysis here.

A run over a cohort's images, a silent run of the node and another program's file all become this; how they are written
down stands in ``cohort_file``. Arrays run over the cases in one order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self

import numpy as np

from models.evaluation.estimate import Bools, Floats, Ints
from models.evaluation.observers import Column

WHOLE: Final = "all"
"""The set of cases of a cohort that names none."""


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """What one model said of the cases."""

    name: str
    probabilities: Floats
    """(n, k)."""
    called: Ints
    """(n,): the class that it decided for."""
    digest: str
    """SHA-256 of the bundle; empty when not recorded."""


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """What a person or another method called the cases."""

    name: str
    called: Ints
    """(n,): -1 where they did not say."""


@dataclass(frozen=True, slots=True, eq=False)
class FollowUp:
    """What was seen of the patients later."""

    name: str
    """Such as ``os`` or ``rfs``."""
    months: Floats
    """(n,): to the event or the last contact; NaN where unknown."""
    events: Bools
    """(n,)."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Cases that are not analysed, and why."""

    reason: str
    cases: int
    names: tuple[str, ...] = ()
    """Of the cases."""


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """The cases that can be analysed, and how many could not."""

    classes: tuple[str, ...]
    """In order of severity; of two, the last is the positive one."""
    cases: tuple[str, ...]
    patients: tuple[str, ...]
    sets: tuple[str, ...]
    """Such as training, internal and external."""
    labels: Ints
    variants: tuple[Variant, ...]
    readers: tuple[Reader, ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()
    descriptors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name to a word a case (centre, scanner, sex, bands of age and thickness); empty where unknown."""
    covariates: Mapping[str, Floats] = field(default_factory=dict)
    """Name to a number a case; NaN where unknown."""
    inputs: Mapping[str, Floats] = field(default_factory=dict)
    """Name to what was measured of the images of a case; only centres are compared by it. NaN where unknown."""
    overlaps: tuple[Column, ...] = ()
    measurements: tuple[Column, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    ignored: tuple[str, ...] = ()
    """Columns that were not understood."""

    @property
    def groups(self) -> Ints:
        """(n,): the patients, numbered from 0 without gaps."""
        groups: Ints = np.unique(np.array(self.patients), return_inverse=True)[1].astype(np.int64)
        return groups

    @property
    def found(self) -> int:
        """How many cases there were before any was left out."""
        return len(self.cases) + sum(exclusion.cases for exclusion in self.exclusions)

    def set_names(self) -> tuple[str, ...]:
        """The sets, in the order in which they first occur."""
        return tuple(dict.fromkeys(self.sets))

    def of_set(self, name: str) -> Self:
        """The cases of one set."""
        return self.take(np.array([one == name for one in self.sets]))

    def variant(self, name: str) -> Variant:
        """The variant of that name."""
        return next(one for one in self.variants if one.name == name)

    def dichotomised(self, first_positive: int) -> Self:
        """The same cases in two classes: the last of them holds all from number ``first_positive`` on."""
        names = tuple(" or ".join(part) for part in (self.classes[:first_positive], self.classes[first_positive:]))
        variants = (
            replace(
                one,
                probabilities=_two(one.probabilities[:, first_positive:].sum(axis=1)),
                called=(one.called >= first_positive).astype(np.int64),
            )
            for one in self.variants
        )
        readers = (
            replace(one, called=np.where(one.called < 0, -1, one.called >= first_positive).astype(np.int64))
            for one in self.readers
        )
        labels = (self.labels >= first_positive).astype(np.int64)
        return replace(self, classes=names, labels=labels, variants=tuple(variants), readers=tuple(readers))

    def take(self, rows: Bools) -> Self:
        """The cases that ``rows`` (n,) marks."""
        return replace(
            self,
            cases=_taken(self.cases, rows),
            patients=_taken(self.patients, rows),
            sets=_taken(self.sets, rows),
            labels=self.labels[rows],
            variants=tuple(
                replace(one, probabilities=one.probabilities[rows], called=one.called[rows]) for one in self.variants
            ),
            readers=tuple(replace(one, called=one.called[rows]) for one in self.readers),
            follow_ups=tuple(replace(one, months=one.months[rows], events=one.events[rows]) for one in self.follow_ups),
            descriptors={name: _taken(values, rows) for name, values in self.descriptors.items()},
            covariates={name: values[rows] for name, values in self.covariates.items()},
            inputs={name: values[rows] for name, values in self.inputs.items()},
            overlaps=tuple(one.take(rows) for one in self.overlaps),
            measurements=tuple(one.take(rows) for one in self.measurements),
        )


def _taken(values: tuple[str, ...], rows: Bools) -> tuple[str, ...]:
    return tuple(value for value, is_taken in zip(values, rows, strict=True) if is_taken)


def _two(positive: Floats) -> Floats:
    """(n, 2): from the probability of the positive class, which rounding may have carried past 1."""
    within = np.clip(positive, 0, 1)
    return np.column_stack((1 - within, within))
