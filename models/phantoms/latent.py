"""The latent behind a pancreatic tumour's neutrophil-to-T-cell ratio (NTR), and the best that anybody can do with it.

The status S (high or low) is a fair coin. The latent is z ~ N(+d/2, 1) when S is high and N(-d/2, 1) when it is low.
All that a phantom shows of S, in texture, blood and nodes, is drawn from z alone; given z it is independent of S. So
no reader of any combination of them can beat a reader of z, whose area under the ROC curve is

    P(z_high > z_low) = Phi(d / sqrt 2).

The separation d is chosen so that this ceiling is ``CEILING_AUC``. It is a property of the phantoms, not of patients.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

CEILING_AUC: Final = 0.975
_NORMAL: Final = NormalDist()
SEPARATION: Final = 2.0**0.5 * _NORMAL.inv_cdf(CEILING_AUC)
"""d, in standard deviations of the latent within a status: 2.77."""
CEILING_ACCURACY: Final = _NORMAL.cdf(SEPARATION / 2.0)
"""The accuracy of the best reader, who calls z > 0 high: 0.917."""
NTR_CUT: Final = 0.57
"""PORCELAIN, Results: NTR-count above 0.57 by immunohistochemistry is high."""
_SHARPNESS: Final = 1.3
_COARSEST: Final = 0.97


@dataclass(frozen=True, slots=True)
class NtrTruth:
    """What is true of one pancreatic tumour."""

    is_high: bool
    latent: float
    """z: what image and clinical variables are drawn from."""
    count: float
    """An NTR-count on the right side of ``NTR_CUT``; it follows the status and nothing else."""

    @property
    def coarse_share(self) -> float:
        """The share of the texture's variance at the coarse scale, 0 to 1: a strictly increasing function of z."""
        return coarse_share(self.latent)


def coarse_share(latent: float) -> float:
    """The share of the texture's variance at the coarse scale; algebraic, so that it is the same everywhere."""
    scaled = _SHARPNESS * latent
    bent = scaled / math.sqrt(1.0 + scaled * scaled)
    return 0.5 * (1.0 + _COARSEST * bent)


def draw(rng: np.random.Generator, *, is_high: bool | None = None) -> NtrTruth:
    """A tumour's status (a fair coin unless given) and its latent."""
    coin = bool(rng.random() < 0.5)  # noqa: PLR2004 — a fair coin
    status = coin if is_high is None else is_high
    latent = float(rng.standard_normal()) + (SEPARATION / 2.0 if status else -SEPARATION / 2.0)
    excess = float(rng.uniform(0.02, 0.9))
    count = NTR_CUT + excess if status else NTR_CUT * (1.0 - excess)
    return NtrTruth(status, latent, round(count, 3))
