"""What acting on predictions would gain: net benefit against treating everyone, no one, or by a second reader.

Net benefit at a threshold probability: true positives less false positives weighted by the threshold's odds, a case
(Vickers & Elkin, Med Decis Making 2006). GTRNet (doi 10.1038/s41746-025-02002-5, results, "Nomogram integration and
clinical utility") prints over-treatment, under-treatment and a number needed to treat that follow from the same counts:
false positives and false negatives over all cases, and one over the net benefit at a threshold of one half.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.evaluation.classification import share
from models.evaluation.estimate import Bools, Estimate, Floats, Source, nothing
from models.evaluation.resampling import Resamples, bootstrapped, percentiles

THRESHOLDS: Final = tuple(round(0.01 * step, 2) for step in range(1, 81))
"""0.01 to 0.80, the range of GTRNet's Fig. 5."""


@dataclass(frozen=True, slots=True)
class Line:
    """Net benefit along ``DecisionCurve.thresholds``, with the ends of its interval."""

    name: str
    benefit: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class DecisionCurve:
    """Net benefit of each way to decide."""

    cases: int
    prevalence: float
    thresholds: tuple[float, ...]
    model: Line
    everyone: Line
    readers: tuple[Line, ...]
    """Treating no one has a net benefit of 0 everywhere."""

    def useful_between(self) -> tuple[float, float] | None:
        """The first and last threshold at which the model gains more than treating everyone, no one or a reader's."""
        others = np.max([self.everyone.benefit, *(reader.benefit for reader in self.readers)], axis=0)
        better = np.flatnonzero(np.array(self.model.benefit) > np.maximum(others, 0))
        return (self.thresholds[better[0]], self.thresholds[better[-1]]) if len(better) else None


@dataclass(frozen=True, slots=True)
class Consequences:
    """What calls as they stand would have done."""

    name: str
    over_treatment: Estimate
    """Called positive and not so, of all cases."""
    under_treatment: Estimate
    """Positive and not called so, of all cases."""
    net_benefit: Estimate
    """At a threshold of one half: right positive calls less wrong ones, of all cases."""
    number_needed_to_treat: Estimate
    """One over that: how many cases are decided for one net true positive."""


def decision_curve(
    is_positive: Bools, probabilities: Floats, readers: dict[str, Bools], resamples: Resamples
) -> DecisionCurve:
    """The curves of ``probabilities`` (n,) and of ``readers``' calls (n,) for truth ``is_positive`` (n,)."""
    thresholds = np.array(THRESHOLDS)
    treated = probabilities[:, None] >= thresholds
    alike = np.ones_like(treated)
    return DecisionCurve(
        cases=len(is_positive),
        prevalence=float(is_positive.mean()),
        thresholds=THRESHOLDS,
        model=_line("model", is_positive, treated, resamples),
        everyone=_line("treat all", is_positive, alike, resamples),
        readers=tuple(_line(name, is_positive, alike & call[:, None], resamples) for name, call in readers.items()),
    )


def consequences(name: str, is_positive: Bools, called: Bools, resamples: Resamples) -> Consequences:
    """What the calls ``called`` (n,) would have done."""
    cases = len(is_positive)
    wrong_calls, missed, gain = called & ~is_positive, ~called & is_positive, called & is_positive
    drawn = resamples.sums(np.column_stack((wrong_calls, missed, gain, np.ones(cases))).astype(np.float64))
    over, under, right = (drawn[:, index] / drawn[:, 3] for index in range(3))
    benefit, independent = float((gain.sum() - wrong_calls.sum()) / cases), resamples.patients == cases
    return Consequences(
        name,
        share(int(wrong_calls.sum()), cases, over, independent=independent),
        share(int(missed.sum()), cases, under, independent=independent),
        bootstrapped(benefit, right - over, cases, Source.OWN),
        _needed(benefit, right - over, cases),
    )


def _line(name: str, is_positive: Bools, treated: Bools, resamples: Resamples) -> Line:
    """Net benefit of ``treated`` (n, thresholds)."""
    thresholds = np.array(THRESHOLDS)
    gains = np.where(is_positive[:, None], 1.0, -thresholds / (1 - thresholds)) * treated
    totals = resamples.sums(np.ones((len(treated), 1)))
    drawn = resamples.sums(gains) / totals
    ends = [percentiles(column) for column in drawn.T]
    return Line(
        name,
        tuple(map(float, gains.mean(axis=0))),
        tuple(low for low, _ in ends),
        tuple(high for _, high in ends),
    )


def _needed(benefit: float, drawn: Floats, cases: int) -> Estimate:
    """One over the net benefit; without meaning where that is not above 0, without an end where it may be 0."""
    low, high = percentiles(drawn)
    if benefit <= 0:
        return nothing(Source.OWN, "no net benefit at a threshold of one half", cases)
    if low is None or high is None or low <= 0:
        note = "its net benefit may be 0: the interval has no upper end"
        return Estimate(1 / benefit, None, None, cases, "", Source.OWN, note)
    return Estimate(1 / benefit, 1 / high, 1 / low, cases, "bootstrap percentile, inverted", Source.OWN)
