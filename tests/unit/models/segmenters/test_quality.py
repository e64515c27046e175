"""How far a region can be trusted: every limit refuses by itself, and says so."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.fields import Fields
from models.segmenters.quality import MEAN_PROBABILITY, Chance, Limits, RoiQuality, entropy, in_order
from node.domain.coding import Anatomy
from node.domain.reasons import ReasonCode
from node.errors import BundleError, Refused

LIMITS = Limits(
    least_ml=1.0,
    most_ml=100.0,
    most_components=3,
    may_touch_edge=False,
    chance=Chance(intercept=-1.0, of_logit=2.0, of_log_ml=1.0),
    least_chance=0.5,
    most_entropy=0.5,
)
GOOD = RoiQuality(volume_ml=20.0, components=1, touches_edge=False, probability=0.9, entropy=0.1)


def test_a_good_region_passes() -> None:
    """At every limit, too."""
    LIMITS.refuse(GOOD)
    LIMITS.refuse(replace(GOOD, volume_ml=1.0, components=3, entropy=0.5))
    LIMITS.refuse(replace(GOOD, volume_ml=np.e, probability=0.5))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"volume_ml": 0.9}, "0.90 mL"),
        ({"volume_ml": 101.0}, "101.0 mL"),
        ({"components": 4}, "4 pieces"),
        ({"touches_edge": True}, "edge"),
        ({"probability": 0.1}, "chance of a lesion 0.08"),
        ({"volume_ml": 1.0, "probability": 0.6}, "chance of a lesion 0.45"),
        ({"entropy": 0.6}, "entropy 0.60"),
        ({"volume_ml": float("nan")}, "nan mL"),
        ({"probability": float("nan")}, "lesion nan"),
        ({"entropy": float("nan")}, "entropy nan"),
    ],
)
def test_each_limit_refuses_by_itself(change: dict[str, float], word: str) -> None:
    """With the number that is beyond it; what is no number is beyond every limit."""
    with pytest.raises(Refused) as refused:
        LIMITS.refuse(replace(GOOD, **change))  # type: ignore[arg-type]
    assert refused.value.reason.code is ReasonCode.ROI_UNCERTAIN
    assert word in refused.value.reason.detail


def test_the_likelier_organ_comes_first_and_in_it_the_largest() -> None:
    """By the chance of its largest region; sizes of different organs are not compared."""
    limits = {Anatomy.PANCREAS: LIMITS, Anatomy.STOMACH: replace(LIMITS, chance=replace(LIMITS.chance, intercept=9.0))}
    large, small = GOOD, replace(GOOD, volume_ml=2.0)
    regions = [(Anatomy.PANCREAS, large), (Anatomy.STOMACH, small), (Anatomy.STOMACH, replace(small, volume_ml=1.0))]
    assert in_order(regions, limits) == [1, 2, 0]
    assert in_order(regions, {**limits, Anatomy.STOMACH: LIMITS}) == [0, 1, 2]
    assert in_order([], limits) == []


def test_all_limits_that_are_passed_are_named() -> None:
    """A person sees everything that speaks against a region at once."""
    with pytest.raises(Refused) as refused:
        LIMITS.refuse(replace(GOOD, volume_ml=0.5, components=9))
    assert "mL" in refused.value.reason.detail
    assert "pieces" in refused.value.reason.detail


def test_the_chance_follows_from_probability_and_volume() -> None:
    """A logistic regression: what is sure and small may be as good as what is large and doubtful."""
    chance = LIMITS.chance
    sure, large = replace(GOOD, volume_ml=1.0, probability=0.8), replace(GOOD, volume_ml=16.0, probability=0.5)
    assert chance.of(sure) == pytest.approx(1.0 / (1.0 + np.exp(1.0) / 16.0))
    assert chance.of(large) == pytest.approx(chance.of(sure))
    assert chance.of(replace(sure, volume_ml=0.5)) < chance.of(sure) < chance.of(replace(sure, volume_ml=2.0))


def test_the_mean_probability_may_be_the_chance() -> None:
    """As before anything was fitted; nobody is quite sure."""
    assert MEAN_PROBABILITY.of(replace(GOOD, probability=0.37)) == pytest.approx(0.37)
    assert 0.99 < MEAN_PROBABILITY.of(replace(GOOD, probability=1.0)) < 1.0
    assert 0.0 < MEAN_PROBABILITY.of(replace(GOOD, probability=0.0, volume_ml=0.0)) < 0.01


def test_an_edge_may_be_allowed() -> None:
    """By the bundle."""
    replace(LIMITS, may_touch_edge=True).refuse(replace(GOOD, touches_edge=True))


def test_limits_are_read_as_they_were_written() -> None:
    """And a bundle that lacks one is refused."""
    assert Limits.read(Fields(Path("m"), LIMITS.written())) == LIMITS
    with pytest.raises(BundleError):
        Limits.read(Fields(Path("m"), {"least_ml": 1.0}))


def test_entropy_is_nought_of_certainty_and_one_of_even_chances() -> None:
    """Relative to the number of classes, and finite where a probability is 0."""
    even, sure = np.full((4, 1, 1, 1), 0.25, np.float32), np.zeros((4, 1, 1, 1), np.float32)
    sure[2] = 1.0
    assert entropy(even).item() == pytest.approx(1.0)
    assert entropy(sure).item() == pytest.approx(0.0, abs=1e-6)
