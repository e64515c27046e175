"""Drift against references, checked with SciPy's tests and by hand."""

import math
import random

import pytest
from scipy.stats import ks_2samp

from node.domain.drift import (
    Histogram,
    even_edges,
    ks,
    ks_at_edges,
    new_words,
    psi,
    psi_of_numbers,
    psi_of_words,
    quantile,
)

TENTHS = tuple(number / 10 for number in range(11))


def drawn(seed: int, count: int, shift: float = 0.0) -> list[float]:
    """Numbers in [0, 1]."""
    chance = random.Random(seed)  # noqa: S311 — the same every time
    return [min(max(chance.betavariate(2, 3) + shift, 0.0), 1.0) for _ in range(count)]


def test_a_histogram_counts_its_left_edges_and_the_last_right_one() -> None:
    """What lies beyond the edges counts in the outer bins."""
    made = Histogram.of([0.0, 0.1, 0.1999, 1.0, -3.0, 7.0], TENTHS)
    assert made.counts == (2, 2, 0, 0, 0, 0, 0, 0, 0, 2)
    assert made.total == 6
    assert sum(made.shares) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("edges", "counts"),
    [((0.0, 1.0), (1, 2)), ((1.0, 0.0), (3,)), ((0.0, math.inf), (3,)), ((0.0, 1.0), (-1,)), ((0.0, 1.0), (0,))],
)
def test_what_is_no_histogram_is_refused(edges: tuple[float, ...], counts: tuple[int, ...]) -> None:
    """Edges ascend and are finite, counts are not negative and not all zero."""
    with pytest.raises(ValueError, match=r"."):
        Histogram(edges, counts)


def test_psi_is_the_sum_of_its_definition() -> None:
    """By hand, with a half added to each count."""
    p, q = (60.5 / 101, 40.5 / 101), (30.5 / 101, 70.5 / 101)
    by_hand = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert psi((60, 40), (30, 70)) == pytest.approx(by_hand)


def test_psi_is_zero_where_nothing_moved_and_finite_where_a_bin_is_empty() -> None:
    """An empty bin does not decide alone."""
    assert psi((10, 20, 30), (10, 20, 30)) == pytest.approx(0.0)
    assert 0.0 < psi((50, 50, 0), (50, 50, 1)) < 0.02
    with pytest.raises(ValueError, match="same bins"):
        psi((1,), (1, 2))


def test_psi_of_words_has_a_bin_for_each_word_of_either_side() -> None:
    """A new scanner shows, a changed order does not."""
    assert psi_of_words(["a"] * 50 + ["b"] * 50, ["b"] * 50 + ["a"] * 50) == pytest.approx(0.0)
    assert psi_of_words(["a"] * 100, ["c"] * 100) > 5
    assert psi_of_words([], []) == 0.0


def test_psi_of_numbers_is_over_tenths_of_the_reference() -> None:
    """Ten even bins; half of what is there now lies in the first."""
    reference = [float(number) for number in range(100)]
    assert psi_of_numbers(reference, reference) == pytest.approx(0.0)
    now = [0.0] * 50 + reference[50:]
    assert psi_of_numbers(reference, now) == pytest.approx(psi([10] * 10, [50, 0, 0, 0, 0, *[10] * 5]))


def test_psi_of_numbers_has_a_bin_for_a_number_that_is_most_of_them() -> None:
    """Of yes and no a rise from one in ten to nine in ten shows; neither an end nor a bin between them hides it."""
    seldom, often = [0.0] * 90 + [1.0] * 10, [0.0] * 10 + [1.0] * 90
    assert psi_of_numbers(seldom, often) == pytest.approx(psi([90, 10], [10, 90]))
    assert psi_of_numbers([2.0] * 20, [2.0] * 20) == pytest.approx(0.0)
    assert psi_of_numbers([2.0] * 20, [3.0] * 20) > 3


@pytest.mark.parametrize(("count", "shift"), [(40, 0.0), (200, 0.1), (500, 0.02)])
def test_ks_is_scipys(count: int, shift: float) -> None:
    """The statistic to rounding; the p-value within what the asymptotic series differs by."""
    one, two = drawn(1, count), [round(x, 2) for x in drawn(2, count + 13, shift)]
    ours, theirs = ks(one, two), ks_2samp(one, two, method="asymp")
    assert ours.statistic == pytest.approx(float(theirs.statistic), abs=1e-12)
    assert ours.p_value == pytest.approx(float(theirs.pvalue), abs=0.03)


def test_ks_at_edges_is_never_more_than_that_of_the_numbers_and_is_theirs_at_fine_edges() -> None:
    """A histogram as reference knows less, and says so little that is wrong."""
    reference, now = drawn(3, 400), drawn(4, 300, 0.08)
    exact = ks(reference, now).statistic
    coarse = ks_at_edges(Histogram.of(reference, TENTHS), now).statistic
    fine = ks_at_edges(Histogram.of(reference, tuple(number / 2000 for number in range(2001))), now).statistic
    assert coarse <= exact + 1e-12
    assert fine == pytest.approx(exact, abs=0.01)


def test_without_drift_few_of_many_looks_are_called_drift() -> None:
    """Of 400 pairs of the same distribution about one in twenty has p below 0.05."""
    low = sum(ks(drawn(seed, 80), drawn(seed + 10_000, 80)).p_value < 0.05 for seed in range(400))
    assert 5 <= low <= 36


def test_quantiles_edges_and_new_words() -> None:
    """What the tables are made of."""
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([1.0, 2.0], 0.95) == pytest.approx(1.95)
    assert even_edges([2.0, 4.0], 4) == (2.0, 2.5, 3.0, 3.5, 4.0)
    assert even_edges([2.0], 1) == (1.5, 2.5)
    assert new_words({"a": 3}, {"a": 1, "c": 2, "b": 2, "d": 5}) == ("d", "b", "c")
