"""A sample of the simulations that ``make simulations`` runs in full: enough to see an interval or test that is wrong.

Of 100 runs a right 95 % interval covers fewer than 86 in one of 5,000 cases; the seed is fixed, so that a failure is a
change of the code.
"""

import pytest
from scipy.stats import binom

from tests.simulations.truths import COVERAGE, SIZE, delong_rejects, grows, log_rank_rejects, rate

RUNS = 100
QUICK = ("AUC, DeLong", "AUC, DeLong, three slices a patient", "sensitivity, Wilson", "quadratic kappa, bootstrap",
         "calibration slope, Wald", "ICC, consistency")  # fmt: skip


def test_the_bounds_are_rarely_crossed_by_chance() -> None:
    """What the tests below call wrong, a right interval or test seldom does."""
    assert binom.cdf(85, RUNS, 0.95) < 2.5e-4
    assert binom.sf(12, RUNS, 0.05) < 2e-3


@pytest.mark.parametrize("name", QUICK)
def test_intervals_hold_the_truth(name: str) -> None:
    """In 86 or more of 100 cohorts."""
    assert rate(COVERAGE[name], RUNS, 1) >= 0.86


def test_delongs_test_keeps_its_size() -> None:
    """Two scores that are equally good differ in 12 or fewer of 100 cohorts."""
    assert rate(SIZE["DeLong's test"], RUNS, 1) <= 0.12


def test_power_grows() -> None:
    """With the difference, for both tests."""
    assert grows(tuple(rate(lambda g, gain=gain: delong_rejects(g, gain), 40, 1) for gain in (0.0, 0.4, 0.8)))
    assert grows(tuple(rate(lambda g, ratio=ratio: log_rank_rejects(g, ratio), 25, 1) for ratio in (1.0, 1.6, 2.4)))
