"""The Rad-score: a linear model over the penultimate features of GTRNet's network, one number a patient.

Source: GTRNet (doi 10.1038/s41746-025-02002-5), results, "Nomogram integration and clinical utility": "After extracting
deep features from the penultimate network layer, we computed a continuous Rad-score for each patient"; Fig. 4a, LASSO;
Table 3, "OR per SD". The authors' feature file is empty, so no published coefficients exist: a bundle that has a
Rad-score has one that was fitted with its own network (``models.training.radscore``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from models.bundle import Bundle
from node.domain.prediction import TrainingStatus
from node.errors import BundleError

Vector = npt.NDArray[np.float64]

DRAWN_FEATURES: Final = 30
"""As many as the paper's Fig. 4a shows; for scores that nobody fitted."""
_SECTION: Final = "radscore"
_VECTORS: Final = ("coefficients", "feature_mean", "feature_sd")
_SCALARS: Final = ("score_mean", "score_sd")


@dataclass(frozen=True, slots=True, eq=False)
class RadScore:
    """Coefficients of the standardised features, and what standardises features and score, all from the training data.

    Over the training data the score has mean 0 and standard deviation 1, so that 1 is the SD of Table 3's odds ratio.
    """

    coefficients: Vector
    feature_mean: Vector
    feature_sd: Vector
    score_mean: float
    score_sd: float

    def of(self, features: Vector) -> float:
        """The score, in SD, of one slice's features (2048,)."""
        standard = (np.asarray(features, dtype=np.float64) - self.feature_mean) / self.feature_sd
        return (float(standard @ self.coefficients) - self.score_mean) / self.score_sd

    @classmethod
    def standardised(cls, coefficients: Vector, features: Vector) -> Self:
        """The score whose mean over ``features`` (n, 2048) is 0 and whose SD is 1; ``coefficients`` of z-scores."""
        mean, sd = features.mean(axis=0), features.std(axis=0)
        # A feature that never varies says nothing, and must not be divided by its deviation.
        varies = sd > 0
        scores = ((features - mean) / np.where(varies, sd, 1.0)) @ np.where(varies, coefficients, 0.0)
        if scores.std() == 0.0:
            raise ValueError("the score is the same for all features")
        kept, scale = np.where(varies, coefficients, 0.0), np.where(varies, sd, 1.0)
        return cls(kept, mean, scale, float(scores.mean()), float(scores.std()))

    @classmethod
    def drawn(cls, seed: int, features: Vector) -> Self:
        """Random coefficients for ``DRAWN_FEATURES`` of the features, standardised over ``features`` (n, 2048)."""
        generator = np.random.default_rng(seed)
        varying = np.flatnonzero(features.std(axis=0) > 0)
        coefficients = np.zeros(features.shape[1])
        chosen = generator.choice(varying, size=min(DRAWN_FEATURES, varying.size), replace=False)
        coefficients[chosen] = generator.normal(size=chosen.size)
        return cls.standardised(coefficients, features)

    @classmethod
    def load(cls, file: Path) -> Self:
        """The score stored in ``file``; raises BundleError naming the file and what is wrong with it."""
        try:
            tensors = load_file(file)
        except (OSError, SafetensorError) as error:
            raise BundleError(f"{file}: cannot be read: {error}") from error
        if set(tensors) != {*_VECTORS, *_SCALARS}:
            raise BundleError(f"{file}: holds {sorted(tensors)}, not {sorted((*_VECTORS, *_SCALARS))}")
        vectors = {name: tensors[name].astype(np.float64) for name in _VECTORS}
        mean, sd = (float(tensors[name].item()) for name in _SCALARS)
        score = cls(**vectors, score_mean=mean, score_sd=sd)
        score._check(file)
        return score

    def save(self, file: Path) -> None:
        """Store the score in ``file`` (safetensors)."""
        scalars = {name: np.array([getattr(self, name)]) for name in _SCALARS}
        save_file({name: np.ascontiguousarray(getattr(self, name)) for name in _VECTORS} | scalars, file)

    def _check(self, file: Path) -> None:
        """Refuse what cannot give a score."""
        vectors = [getattr(self, name) for name in _VECTORS]
        if len({vector.shape for vector in vectors}) != 1 or vectors[0].ndim != 1:
            raise BundleError(f"{file}: the vectors have the shapes {[vector.shape for vector in vectors]}")
        if not all(np.isfinite(vector).all() for vector in (*vectors, self.score_mean, self.score_sd)):
            raise BundleError(f"{file}: holds values that are not finite numbers")
        if (self.feature_sd <= 0).any() or self.score_sd <= 0:
            raise BundleError(f"{file}: a standard deviation is not above zero")


def read_radscore(bundle: Bundle, example_features: Callable[[], Vector], width: int) -> RadScore | None:
    """The bundle's Rad-score, which must read ``width`` features; None when it has none.

    ``example_features`` gives features (n, width) of a network with random weights, over which a random score is
    standardised. Raises BundleError, also when a score is random although the bundle is said to be trained.
    """
    if not bundle.celadon.has(_SECTION):
        return None
    section = bundle.celadon.child(_SECTION)
    if section.has("seed"):
        if bundle.status is not TrainingStatus.UNTRAINED:
            raise section.wrong("seed", f"draws a score at random, but the bundle's status is {bundle.status.value!r}")
        return RadScore.drawn(section.natural("seed"), example_features())
    file = bundle.path / section.text("file")
    score = RadScore.load(file)
    if score.coefficients.size != width:
        raise BundleError(f"{file}: reads {score.coefficients.size} features, the network gives {width}")
    return score
