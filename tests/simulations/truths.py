"""Cohorts whose truth is known, and how often an interval or a test is right about it.

Each function makes one cohort from a generator, asks the code that the report uses, and says whether the interval held
the truth, or the test called a difference. Run many times, the shares say whether a 95 % interval is one.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from math import exp, sqrt
from typing import Final

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from models.evaluation.agreement import agreement
from models.evaluation.calibration import _brier, _lines
from models.evaluation.classification import confusion_draws, confusion_of, quadratic_kappa, share, shares_of
from models.evaluation.cutpoint import cut_point
from models.evaluation.decision import consequences
from models.evaluation.estimate import Estimate
from models.evaluation.resampling import Resamples, bootstrapped
from models.evaluation.roc import area, bootstrapped_area, compare
from models.evaluation.survival import arms, cox, log_rank

CASES: Final = 200
DRAWS: Final = 999
SHARE_POSITIVE: Final = 0.4
DISTANCE: Final = 1.2
"""Between the kinds' means, in standard deviations: an area of 0.802."""
AREA: Final = float(norm.cdf(DISTANCE / sqrt(2)))
CUT: Final = 0.6
CONFUSION: Final = np.array([[0.24, 0.06, 0.02], [0.06, 0.20, 0.08], [0.02, 0.08, 0.24]])
HAZARD: Final = 0.05
RATIO: Final = 1.8
HORIZON: Final = 12.0

Trial = Callable[[np.random.Generator], bool]


def alone(cases: int) -> np.ndarray:
    """Every case another patient."""
    return np.arange(cases)


def holds(estimate: Estimate, truth: float) -> bool:
    """Whether the interval holds the truth; one that could not be made does not."""
    return estimate.low is not None and estimate.high is not None and estimate.low <= truth <= estimate.high


def scored(generator: np.random.Generator, cases: int = CASES) -> tuple[np.ndarray, np.ndarray]:
    """Truth, and a score whose kinds are normal at a known distance."""
    truth = generator.random(cases) < SHARE_POSITIVE
    return truth, generator.normal(0, 1, cases) + DISTANCE * truth


def area_delong(generator: np.random.Generator) -> bool:
    """DeLong's interval of an area."""
    truth, scores = scored(generator)
    return holds(area(truth, scores, alone(CASES)), AREA)


def area_bootstrap(generator: np.random.Generator) -> bool:
    """The same by bootstrap."""
    truth, scores = scored(generator)
    return holds(bootstrapped_area(truth, scores, resamples(alone(CASES), generator)), AREA)


def area_of_slices(generator: np.random.Generator) -> bool:
    """Three slices of each of 120 patients, whose scores share most of their noise."""
    truth = np.repeat(generator.random(120) < SHARE_POSITIVE, 3)
    noise = sqrt(0.8) * np.repeat(generator.normal(0, 1, 120), 3) + sqrt(0.2) * generator.normal(0, 1, 360)
    return holds(area(truth, noise + DISTANCE * truth, np.repeat(alone(120), 3)), AREA)


def sensitivity_wilson(generator: np.random.Generator) -> bool:
    """Of a fixed cut."""
    truth, scores = scored(generator)
    hits, cases = int((scores[truth] >= CUT).sum()), int(truth.sum())
    return holds(share(hits, cases, np.empty(0), independent=True), float(norm.sf(CUT - DISTANCE)))


def f1_bootstrap(generator: np.random.Generator) -> bool:
    """Of a fixed cut."""
    truth, scores = scored(generator)
    labels, called = truth.astype(np.int64), (scores >= CUT).astype(np.int64)
    drawn = confusion_draws(labels, called, 2, resamples(alone(CASES), generator))
    part, whole = shares_of(drawn, 1)["f1"]
    here = shares_of(confusion_of(labels, called, 2)[None].astype(float), 1)["f1"]
    found = share(int(here[0][0]), int(here[1][0]), part / whole, independent=False)
    hits, wrong = SHARE_POSITIVE * norm.sf(CUT - DISTANCE), (1 - SHARE_POSITIVE) * norm.sf(CUT)
    return holds(found, float(2 * hits / (hits + wrong + SHARE_POSITIVE)))


def kappa_bootstrap(generator: np.random.Generator) -> bool:
    """Of three classes with a known confusion."""
    cells = generator.choice(9, CASES, p=CONFUSION.ravel())
    labels, called = cells // 3, cells % 3
    drawn = quadratic_kappa(confusion_draws(labels, called, 3, resamples(alone(CASES), generator)))
    here = float(quadratic_kappa(confusion_of(labels, called, 3)[None].astype(float))[0])
    found = bootstrapped(here, drawn, CASES, None)  # type: ignore[arg-type]
    return holds(found, float(quadratic_kappa(CONFUSION[None])[0]))


def calibrated(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes drawn from predictions that are right."""
    predictions = expit(generator.normal(-0.4, 1.2, CASES))
    return (generator.random(CASES) < predictions).astype(float), predictions


def calibration_slope(generator: np.random.Generator) -> bool:
    """Of predictions that are right."""
    return holds(_lines(*calibrated(generator), alone(CASES))[0], 1.0)


def calibration_in_the_large(generator: np.random.Generator) -> bool:
    """Of predictions that are right."""
    return holds(_lines(*calibrated(generator), alone(CASES))[1], 0.0)


@cache
def true_brier() -> float:
    """The mean of p (1 - p) over the predictions, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    p = expit(-0.4 + 1.2 * nodes)
    return float((weights * p * (1 - p)).sum() / weights.sum())


def brier_bootstrap(generator: np.random.Generator) -> bool:
    """Of predictions that are right."""
    found = _brier(*calibrated(generator), resamples(alone(CASES), generator))[0]
    return holds(found, true_brier())


def net_benefit(generator: np.random.Generator) -> bool:
    """At a threshold of one half, of a fixed cut."""
    truth, scores = scored(generator)
    found = consequences("x", truth, scores >= CUT, resamples(alone(CASES), generator)).net_benefit
    return holds(found, float(SHARE_POSITIVE * norm.sf(CUT - DISTANCE) - (1 - SHARE_POSITIVE) * norm.sf(CUT)))


def followed(generator: np.random.Generator, ratio: float, cases: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two groups with exponential times, censored at random."""
    high = (generator.random(cases) < 0.5).astype(np.int64)
    times = generator.exponential(1 / (HAZARD * ratio**high))
    ends = generator.uniform(6, 60, cases)
    return high, np.minimum(times, ends), times <= ends


def kaplan_meier(generator: np.random.Generator) -> bool:
    """Of exponential times."""
    _, months, events = followed(generator, 1.0, CASES)
    curve = arms(("all",), np.zeros(CASES, dtype=np.int64), months, events)[0]
    return holds(dict(curve.landmarks)[HORIZON], exp(-HAZARD * HORIZON))


def cox_ratio(generator: np.random.Generator) -> bool:
    """Of exponential times in two groups."""
    high, months, events = followed(generator, RATIO, CASES)
    return holds(cox({"high": high.astype(float)}, months, events, alone(CASES)).terms[0].hazard_ratio, RATIO)


def icc(generator: np.random.Generator) -> bool:
    """Of known variances."""
    targets, observers, noise = (
        generator.normal(0, 1, 60),
        generator.normal(0, 0.3, 3),
        generator.normal(0, 0.6, (60, 3)),
    )
    # Consistency: the observers' offsets do not count, so three of them are enough to judge it by.
    return holds(agreement(targets[:, None] + observers + noise).consistency, 1 / 1.36)


def delong_rejects(generator: np.random.Generator, gain: float = 0.0, cases: int = CASES) -> bool:
    """Two scores that share half of their noise, of which the second may be better."""
    truth = generator.random(cases) < SHARE_POSITIVE
    shared = generator.normal(0, 1, cases)
    both = np.sqrt(0.5) * shared[:, None] + np.sqrt(0.5) * generator.normal(0, 1, (cases, 2))
    scores = both + truth[:, None] * np.array([DISTANCE, DISTANCE + gain])
    p = compare(("a", "b"), truth, scores, alone(cases)).p
    return p is not None and p < 0.05


def log_rank_rejects(generator: np.random.Generator, ratio: float = 1.0, cases: int = CASES) -> bool:
    """Two groups with this hazard ratio."""
    p = log_rank(*followed(generator, ratio, cases)).p
    return p is not None and p < 0.05


def cut_point_rejects(generator: np.random.Generator) -> bool:
    """A marker that says nothing."""
    _, months, events = followed(generator, 1.0, 100)
    none = Resamples.of(alone(100), 1, 0)
    return cut_point(generator.random(100), months, events, none, permutations=199).p <= 0.05


def resamples(groups: np.ndarray, generator: np.random.Generator) -> Resamples:
    """Fewer draws than a report makes."""
    return Resamples.of(groups, DRAWS, int(generator.integers(2**31)))


COVERAGE: Final[dict[str, Trial]] = {
    "AUC, DeLong": area_delong,
    "AUC, bootstrap": area_bootstrap,
    "AUC, DeLong, three slices a patient": area_of_slices,
    "sensitivity, Wilson": sensitivity_wilson,
    "F1, bootstrap": f1_bootstrap,
    "quadratic kappa, bootstrap": kappa_bootstrap,
    "calibration slope, Wald": calibration_slope,
    "calibration in the large, Wald": calibration_in_the_large,
    "Brier score, bootstrap": brier_bootstrap,
    "net benefit, bootstrap": net_benefit,
    "Kaplan-Meier at 12 months": kaplan_meier,
    "Cox hazard ratio": cox_ratio,
    "ICC, consistency": icc,
}
SIZE: Final[dict[str, Trial]] = {
    "DeLong's test": delong_rejects,
    "log-rank test": log_rank_rejects,
    "cut-point, permutation": cut_point_rejects,
}
POWER: Final[dict[str, tuple[Trial, ...]]] = {
    "DeLong's test, second score better by 0.2, 0.4, 0.6 SD": tuple(
        (lambda generator, gain=gain: delong_rejects(generator, gain)) for gain in (0.2, 0.4, 0.6)
    ),
    "DeLong's test, better by 0.3 SD, 100, 200, 400 cases": tuple(
        (lambda generator, cases=cases: delong_rejects(generator, 0.3, cases)) for cases in (100, 200, 400)
    ),
    "log-rank test, hazard ratio 1.25, 1.5, 2": tuple(
        (lambda generator, ratio=ratio: log_rank_rejects(generator, ratio)) for ratio in (1.25, 1.5, 2.0)
    ),
}


def rate(trial: Trial, runs: int, seed: int) -> float:
    """The share of runs in which a trial says yes; each run has its own generator."""
    return sum(trial(np.random.default_rng((seed, run))) for run in range(runs)) / runs


def grows(rates: tuple[float, ...]) -> bool:
    """Whether each rate is above the one before."""
    return all(later > earlier for earlier, later in pairwise(rates))
