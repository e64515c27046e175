"""What a reader study found: each reader with and without the model's help, and all of them together.

Differences are assisted less unassisted on the readings that both arms have, times where both were noted. One reader's
intervals come from drawing cases; those of all readers from drawing readers and cases alike, so that they speak of
other readers too and are a little wide rather than narrow (the pigeonhole bootstrap: Owen, Ann Appl Stat 2007).
McNemar's exact test (statsmodels) compares right and wrong calls of one reader.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar

from models.evaluation.classification import confusion_of, kappa_estimate, quadratic_kappa, share
from models.evaluation.estimate import Bools, Estimate, Floats, Ints, Source, nothing
from models.evaluation.reader_plan import Reading
from models.evaluation.resampling import DRAWS, bootstrapped
from node.errors import UsageError

_BOTH: Final = 2


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """One reader, or all, in one arm."""

    readings: int
    accuracy: Estimate
    quadratic_kappa: Estimate
    sensitivity: tuple[tuple[str, Estimate], ...]
    """A class."""
    over_called: Estimate
    """Called a later class than the true one, of all readings."""
    under_called: Estimate
    median_seconds: Estimate


@dataclass(frozen=True, slots=True)
class ReaderFigures:
    """A reader with and without help."""

    name: str
    unassisted: ArmFigures
    assisted: ArmFigures
    accuracy_gain: Estimate
    kappa_gain: Estimate
    seconds_gain: Estimate
    """Of the median; below 0 the help saves time."""
    mcnemar_p: float | None
    """None for all readers together: their readings of one case are not independent."""


@dataclass(frozen=True, slots=True)
class ReaderStudy:
    """The study's findings."""

    planned: int
    answered: int
    """Readings."""
    paired: int
    """Pairs of readings of one case by one reader that have both arms."""
    readers: tuple[ReaderFigures, ...]
    all_readers: ReaderFigures


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Readings that have both arms; arrays are (pairs, 2), unassisted first."""

    labels: Ints
    """(pairs,)."""
    cases: Ints
    """(pairs,)."""
    readers: Ints
    """(pairs,)."""
    called: Ints
    seconds: Floats
    """NaN in both arms where one was not noted: medians of other readings would not be comparable."""

    def of(self, rows: Bools | Ints) -> "_Pairs":
        return _Pairs(self.labels[rows], self.cases[rows], self.readers[rows], self.called[rows], self.seconds[rows])


def analyse(
    key: Sequence[Reading],
    answers: Mapping[str, tuple[int, float]],
    truths: Mapping[str, int],
    classes: tuple[str, ...],
    seed: int,
    draws: int = DRAWS,
) -> ReaderStudy:
    """The findings of ``answers`` (code to class and seconds), with ``truths`` of cases as numbers of ``classes``.

    Raises UsageError for an answer that the plan does not have, a case without truth, or no pair at all.
    """
    if strange := sorted(answers.keys() - {one.code for one in key}):
        raise UsageError(f"code {strange[0]!r} is answered and not in the plan")
    if unknown := [one.case for one in key if one.case not in truths]:
        raise UsageError(f"case {unknown[0]!r} of the plan has no label")
    pairs, names = _paired(key, answers, truths)
    found = tuple(
        _figures(name, pairs.of(pairs.readers == index), classes, seed, draws) for index, name in enumerate(names)
    )
    together = _figures("all readers", pairs, classes, seed, draws)
    return ReaderStudy(len(key), len(answers), len(pairs.labels), found, together)


def _paired(
    key: Sequence[Reading], answers: Mapping[str, tuple[int, float]], truths: Mapping[str, int]
) -> tuple[_Pairs, tuple[str, ...]]:
    arms: dict[tuple[str, str], dict[bool, tuple[int, float]]] = {}
    for reading in key:
        if reading.code in answers:
            arms.setdefault((reading.reader, reading.case), {})[reading.assisted] = answers[reading.code]
    both = {who: arm for who, arm in arms.items() if len(arm) == _BOTH}
    if not both:
        raise UsageError("no case was read by one reader both with and without help")
    names = tuple(dict.fromkeys(reader for reader, _ in both))
    cases = list(dict.fromkeys(case for _, case in both))
    seconds = np.array([[arm[helped][1] for helped in (False, True)] for arm in both.values()])
    seconds[np.isnan(seconds).any(axis=1)] = np.nan
    pairs = _Pairs(
        labels=np.array([truths[case] for _, case in both], dtype=np.int64),
        cases=np.array([cases.index(case) for _, case in both], dtype=np.int64),
        readers=np.array([names.index(reader) for reader, _ in both], dtype=np.int64),
        called=np.array([[arm[helped][0] for helped in (False, True)] for arm in both.values()], dtype=np.int64),
        seconds=seconds,
    )
    return pairs, names


def _figures(name: str, pairs: _Pairs, classes: tuple[str, ...], seed: int, draws: int) -> ReaderFigures:
    drawn = _Draws.of(pairs, len(classes), seed, draws)
    arms = _arm(pairs, 0, classes, drawn), _arm(pairs, 1, classes, drawn)
    right = pairs.called == pairs.labels[:, None]
    single = len(np.unique(pairs.readers)) == 1
    return ReaderFigures(
        name=name,
        unassisted=arms[0],
        assisted=arms[1],
        accuracy_gain=_gain(arms[0].accuracy, arms[1].accuracy, drawn.accuracy),
        kappa_gain=_gain(arms[0].quadratic_kappa, arms[1].quadratic_kappa, drawn.kappa),
        seconds_gain=_gain(arms[0].median_seconds, arms[1].median_seconds, drawn.seconds),
        mcnemar_p=_mcnemar(right) if single else None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """Measures in each draw of readers and cases: (draws, 2), or (draws, 2, k, k) for the confusion."""

    counts: Floats
    accuracy: Floats
    kappa: Floats
    seconds: Floats

    @classmethod
    def of(cls, pairs: _Pairs, classes: int, seed: int, draws: int) -> "_Draws":
        generator = np.random.default_rng(seed)
        _, readers = np.unique(pairs.readers, return_inverse=True)
        _, cases = np.unique(pairs.cases, return_inverse=True)
        counts = np.zeros((draws, _BOTH, classes, classes))
        seconds = np.full((draws, _BOTH), np.nan)
        for draw in range(draws):
            weights = _drawn(readers, generator) * _drawn(cases, generator)
            rows = np.repeat(np.arange(len(weights)), weights)
            for arm in range(_BOTH):
                counts[draw, arm] = confusion_of(pairs.labels[rows], pairs.called[rows, arm], classes)
                timed = pairs.seconds[rows, arm]
                timed = timed[~np.isnan(timed)]
                seconds[draw, arm] = np.median(timed) if len(timed) else np.nan
        with np.errstate(invalid="ignore", divide="ignore"):
            accuracy = np.trace(counts, axis1=2, axis2=3) / counts.sum(axis=(2, 3))
            kappa = np.stack([quadratic_kappa(counts[:, arm]) for arm in range(_BOTH)], axis=1)
        return cls(counts, accuracy, kappa, seconds)


def _drawn(groups: Ints, generator: np.random.Generator) -> Ints:
    """(pairs,): how often each pair's group is drawn; a single group stays."""
    number = int(groups.max()) + 1
    if number == 1:
        return np.ones(len(groups), dtype=np.int64)
    return np.bincount(generator.integers(0, number, number), minlength=number)[groups].astype(np.int64)


def _arm(pairs: _Pairs, arm: int, classes: tuple[str, ...], drawn: _Draws) -> ArmFigures:
    called, total = pairs.called[:, arm], len(pairs.labels)
    counts = confusion_of(pairs.labels, called, len(classes))
    all_drawn = drawn.counts[:, arm]
    every = all_drawn.sum(axis=(1, 2))

    def of(part: int, whole: int, values: Floats) -> Estimate:
        return share(part, whole, values, independent=False)

    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = tuple(
            (
                name,
                of(
                    int(counts[one, one]),
                    int(counts[one].sum()),
                    all_drawn[:, one, one] / all_drawn[:, one].sum(axis=1),
                ),
            )
            for one, name in enumerate(classes)
        )
        return ArmFigures(
            readings=total,
            accuracy=of(int(np.trace(counts)), total, drawn.accuracy[:, arm]),
            quadratic_kappa=kappa_estimate(counts, drawn.kappa[:, arm]),
            sensitivity=sensitivity,
            over_called=of(int(np.triu(counts, 1).sum()), total, np.triu(all_drawn, 1).sum(axis=(1, 2)) / every),
            under_called=of(int(np.tril(counts, -1).sum()), total, np.tril(all_drawn, -1).sum(axis=(1, 2)) / every),
            median_seconds=_seconds(pairs.seconds[:, arm], drawn.seconds[:, arm]),
        )


def _seconds(seconds: Floats, drawn: Floats) -> Estimate:
    timed = seconds[~np.isnan(seconds)]
    if not len(timed):
        return nothing(Source.NUMPY, "no time was noted")
    return bootstrapped(float(np.median(timed)), drawn, len(timed), Source.NUMPY)


def _gain(without: Estimate, with_help: Estimate, drawn: Floats) -> Estimate:
    """Of values drawn (draws, 2) together, so that what the arms share cancels."""
    if without.value is None or with_help.value is None:
        return nothing(Source.NUMPY, "one arm has no value", without.cases)
    return bootstrapped(with_help.value - without.value, drawn[:, 1] - drawn[:, 0], without.cases, Source.NUMPY)


def _mcnemar(right: Bools) -> float:
    """For right calls (pairs, 2)."""
    table = [[int(((right[:, 0] == a) & (right[:, 1] == b)).sum()) for b in (True, False)] for a in (True, False)]
    return float(mcnemar(table, exact=True).pvalue)
