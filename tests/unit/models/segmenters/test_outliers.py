"""How unlike the images of training a series is."""

import numpy as np
import pytest

from models.segmenters import outliers
from models.segmenters.outliers import Familiar, calibrated, fit
from node.domain.reasons import BundleFault
from node.errors import BundleError


def features(count: int, seed: int = 0) -> np.ndarray:
    """Correlated features of familiar studies."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(count, 4)) @ np.diag([3.0, 1.0, 0.5, 0.1])
    mixed[:, 1] += 0.8 * mixed[:, 0]
    return mixed + 7.0


def known() -> Familiar:
    """What fifty studies look like, with the threshold of fifty others."""
    made = fit(features(50))
    return calibrated(made, [made.score(one) for one in features(50, seed=1)])


def test_what_is_familiar_is_near_and_what_is_not_is_far() -> None:
    """In units of each axis' own spread: a step along a narrow axis counts more than one along a wide axis."""
    familiar = fit(features(400))
    middle = familiar.mean
    assert familiar.score(middle) == pytest.approx(0.0)
    wide, narrow = middle + np.array([1.5, 1.2, 0, 0]), middle + np.array([0, 0, 0, 1.5])
    assert familiar.score(wide) < 1.0 < familiar.score(narrow)


def test_the_threshold_is_a_quantile_of_held_out_studies() -> None:
    """So the false-alarm rate is the one that was chosen."""
    held_out, fitted = features(1000, seed=1), fit(features(400))
    scores = [fitted.score(one) for one in held_out]
    familiar = calibrated(fitted, scores, quantile=0.95)
    alarms = np.mean([familiar.is_unlike(familiar.score(one)) for one in held_out])
    assert alarms == pytest.approx(0.05, abs=0.002)
    assert calibrated(fitted, scores, room=1.2, quantile=0.95).threshold == pytest.approx(1.2 * familiar.threshold)


def test_strangers_move_the_threshold_halfway_towards_them() -> None:
    """As ratios go, so that neither side is nearer; one that looks familiar does not lower it."""
    fitted = fit(features(400))
    scores = [1.0] * 10
    assert calibrated(fitted, scores, [9.0, 4.0]).threshold == pytest.approx(2.0)
    assert calibrated(fitted, scores, [1.1], room=1.2).threshold == pytest.approx(1.2)
    assert calibrated(fitted, scores, [0.5], room=1.2).threshold == pytest.approx(1.2)


def test_what_is_not_finite_is_unlike() -> None:
    """NaN is beyond every threshold."""
    familiar = known()
    assert familiar.is_unlike(familiar.score(np.full(4, np.nan)))
    assert familiar.is_unlike(float("nan"))


def test_it_travels_with_the_weights() -> None:
    """In single precision."""
    made = known()
    read = Familiar.read(made.tensors())
    one = features(1, seed=5)[0]
    assert read.score(one) == pytest.approx(made.score(one), rel=1e-3)
    assert read.threshold == pytest.approx(made.threshold, rel=1e-6)


@pytest.mark.parametrize(
    "spoilt",
    [
        {outliers.TENSORS[0]: None},
        {outliers.TENSORS[1]: np.eye(3, dtype=np.float32)},
        {outliers.TENSORS[2]: np.array([np.nan], np.float32)},
        {outliers.TENSORS[2]: np.array([0.0], np.float32)},
        {outliers.TENSORS[0]: np.full(4, np.inf, np.float32)},
    ],
    ids=["absent", "shape", "no threshold", "nought", "infinite"],
)
def test_a_bundle_without_sound_statistics_is_refused(spoilt: dict[str, np.ndarray | None]) -> None:
    """A score that can never be beyond its threshold would let everything through."""
    tensors = known().tensors() | spoilt
    with pytest.raises(BundleError) as refused:
        Familiar.read({name: value for name, value in tensors.items() if value is not None})
    assert refused.value.fault is BundleFault.BUNDLE_UNFIT


@pytest.mark.parametrize("wrong", [features(1), np.ones((5, 3)), np.full((5, 3), np.nan)], ids=["one", "same", "nan"])
def test_too_little_to_learn_from_is_an_error(wrong: np.ndarray) -> None:
    """One study, all alike, or no numbers."""
    with pytest.raises(ValueError, match=r"studies"):
        fit(wrong)
