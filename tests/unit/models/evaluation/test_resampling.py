"""Resamples: whole patients are drawn, the same ones for the same seed, and sums are those of the rows drawn."""

import numpy as np
import pytest

from models.evaluation.estimate import Source
from models.evaluation.resampling import Resamples, bootstrapped, percentiles

GROUPS = np.array([0, 0, 1, 2, 2, 2], dtype=np.int64)


def test_a_patients_cases_stay_together() -> None:
    """Each is drawn as often as the others of its patient, and as many patients are drawn as there are."""
    found = Resamples.of(GROUPS, draws=50, seed=1)
    assert found.counts.shape == (50, 6)
    assert (found.counts[:, 0] == found.counts[:, 1]).all()
    assert (found.counts[:, 3] == found.counts[:, 5]).all()
    assert (found.counts[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert found.counts.std() > 0


def test_a_seed_gives_the_same_draws() -> None:
    """And another gives others."""
    first, again, other = (Resamples.of(GROUPS, 20, seed).counts for seed in (7, 7, 8))
    assert (first == again).all()
    assert (first != other).any()


def test_sums_are_those_of_the_rows_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of the blocks that they are made in."""
    columns = np.random.default_rng(3).random((6, 2))
    found = Resamples.of(GROUPS, 30, 2)
    expected = [columns[np.repeat(np.arange(6), counts)].sum(axis=0) for counts in found.counts]
    assert found.sums(columns) == pytest.approx(np.array(expected), abs=1e-12)
    monkeypatch.setattr("models.evaluation.resampling._BLOCK_CELLS", 12)
    assert len(list(found.blocks())) == 15
    assert found.sums(columns) == pytest.approx(np.array(expected), abs=1e-12)


def test_the_tails_are_those_of_one_more_than_the_draws() -> None:
    """Of 39 draws the first and the last bound the middle 95 %."""
    assert percentiles(np.arange(1.0, 40)) == pytest.approx((1, 39))


def test_percentiles_are_refused_where_draws_have_no_value() -> None:
    """An interval of the draws that happen to work would flatter."""
    values = np.linspace(0, 1, 101)
    values[:20] = np.nan
    assert percentiles(values) == (None, None)
    refused = bootstrapped(0.5, values, 9, Source.NUMPY)
    assert (refused.interval, refused.note) == ("", "too few cases: many draws have no value")
    assert bootstrapped(None, np.ones(9), 9, Source.NUMPY).low is None


def test_what_is_the_same_in_every_draw_has_no_interval_at_the_end_of_its_scale() -> None:
    """Ten of ten right is no certainty; a cut that every draw chooses is what it is."""
    perfect = bootstrapped(1.0, np.ones(50), 10, Source.NUMPY)
    assert (perfect.value, perfect.low, perfect.note) == (1.0, None, "the same in every draw: no interval follows")
    assert bootstrapped(0.0, np.zeros(50), 10, Source.NUMPY).interval == ""
    assert bootstrapped(0.4, np.full(50, 0.4), 10, Source.NUMPY).high == 0.4
