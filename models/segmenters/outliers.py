"""How unlike the images of training a series is: the Mahalanobis distance of pooled bottleneck features.

Lee et al. 2018, "A simple unified framework for detecting out-of-distribution samples and adversarial attacks",
section 2.1, for one class; the covariance is shrunk towards a multiple of the identity, since there are hardly more
training studies than features (Ledoit and Wolf 2004 for the form).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from node.domain.reasons import BundleFault
from node.errors import BundleError

Matrix = npt.NDArray[np.float64]
_MEAN: Final = "outliers.mean"
_PRECISION: Final = "outliers.precision"
_THRESHOLD: Final = "outliers.threshold"
TENSORS: Final = (_MEAN, _PRECISION, _THRESHOLD)
"""As they are named in a bundle's weights."""
SHRINKAGE: Final = 0.1
QUANTILE: Final = 0.99
_FEWEST: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class Familiar:
    """What pooled features of familiar images look like, and where the unfamiliar begin."""

    mean: Matrix
    """(c,)."""
    precision: Matrix
    """(c, c): the inverse of the shrunk covariance."""
    threshold: float
    """Of the score: above, images are unlike those of training."""

    def score(self, features: npt.NDArray[np.floating]) -> float:
        """The distance of (c,) features from the mean, in standard deviations along each axis, per root of c.

        Infinite for what is not finite.
        """
        offset = np.asarray(features, dtype=np.float64) - self.mean
        squared = float(offset @ self.precision @ offset) / len(self.mean)
        return float(np.sqrt(max(squared, 0.0))) if np.isfinite(squared) else float("inf")

    def is_unlike(self, score: float) -> bool:
        """Whether a score is beyond the threshold."""
        return not score <= self.threshold

    def tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """What ``read`` reads, for safetensors."""
        return {
            _MEAN: self.mean.astype(np.float32),
            _PRECISION: np.ascontiguousarray(self.precision, dtype=np.float32),
            _THRESHOLD: np.array([self.threshold], dtype=np.float32),
        }

    @classmethod
    def read(cls, tensors: Mapping[str, npt.NDArray[np.floating]]) -> Self:
        """From the tensors of a bundle. Raises BundleError when they are absent, of the wrong shape or not finite."""
        if missing := [name for name in TENSORS if name not in tensors]:
            raise BundleError(f"the weights lack {', '.join(missing)}", BundleFault.BUNDLE_UNFIT)
        mean, precision, threshold = (np.asarray(tensors[name], dtype=np.float64) for name in TENSORS)
        count = mean.size
        if mean.shape != (count,) or precision.shape != (count, count) or threshold.shape != (1,):
            raise BundleError("the statistics of familiar images have the wrong shapes", BundleFault.BUNDLE_UNFIT)
        if not (np.isfinite(mean).all() and np.isfinite(precision).all() and threshold[0] > 0):
            raise BundleError("the statistics of familiar images are not finite", BundleFault.BUNDLE_UNFIT)
        return cls(mean, precision, float(threshold[0]))


def fit(features: npt.NDArray[np.floating], shrinkage: float = SHRINKAGE) -> Familiar:
    """From (n, c) pooled features of n familiar studies, without a threshold (infinite) yet.

    Raises:
        ValueError: fewer than two studies, or features that are not finite.
    """
    samples = np.asarray(features, dtype=np.float64)
    if samples.ndim != _FEWEST or len(samples) < _FEWEST or not np.isfinite(samples).all():
        raise ValueError("the features of at least two studies are needed, all finite")
    mean: Matrix = samples.mean(axis=0)
    covariance = np.cov(samples, rowvar=False, bias=True).reshape(len(mean), len(mean))
    level = float(np.trace(covariance)) / len(mean)
    if level <= 0.0:
        raise ValueError("all studies have the same features")
    shrunk = (1.0 - shrinkage) * covariance + shrinkage * level * np.eye(len(mean))
    precision: Matrix = np.linalg.inv(shrunk).astype(np.float64)
    return Familiar(mean, precision, float("inf"))


def calibrated(
    familiar: Familiar,
    scores: Sequence[float],
    strangers: Sequence[float] = (),
    *,
    room: float = 1.0,
    quantile: float = QUANTILE,
) -> Familiar:
    """``familiar`` with a threshold from held-out ``scores`` of familiar images and of ``strangers``.

    It lies halfway, as ratios go, from what ``quantile`` of the familiar stay below to the nearest stranger; where that
    one is too near, or there are none, at ``room`` times the former.
    """
    within = float(np.quantile(scores, quantile))
    halfway = float(np.sqrt(within * min(strangers))) if strangers else 0.0
    return replace(familiar, threshold=max(room * within, halfway))
