"""How far a region that a network found can be trusted, and where the limit is at which it is not analysed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from models.fields import Fields
from node.domain.coding import Anatomy
from node.domain.reasons import ReasonCode
from node.errors import Refused

_NEVER: Final = 1e-3
"""A mean probability is not closer to 0 or 1 than that: nobody is so sure."""
_NOTHING_ML: Final = 1e-3


@dataclass(frozen=True, slots=True)
class RoiQuality:
    """What was measured of the region that would be analysed."""

    volume_ml: float
    components: int
    """How many separate pieces were found in the organ, this one included."""
    touches_edge: bool
    """Whether the region reaches the edge of the images or of the box that was searched."""
    probability: float
    """Mean probability of its voxels, 0 to 1."""
    entropy: float
    """Mean entropy of its voxels' classes, relative to that of even chances: 0 certain, 1 no idea."""


@dataclass(frozen=True, slots=True)
class Chance:
    """How probable it is that a region is a lesion: a logistic regression on what the network says of it.

    On the logit of its mean probability and the logarithm of its volume in mL. What only looks like a lesion is small
    and doubtful; a lesion may be either.
    """

    intercept: float
    of_logit: float
    of_log_ml: float

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """Raises BundleError."""
        return cls(fields.number("intercept"), fields.number("of_logit"), fields.number("of_log_ml"))

    def of(self, quality: RoiQuality) -> float:
        """0 to 1; NaN for a quality that is none."""
        sure, ml = measures(quality)
        return float(expit(self.intercept + self.of_logit * sure + self.of_log_ml * ml))


MEAN_PROBABILITY: Final = Chance(0.0, 1.0, 0.0)
"""The chance is what the network says, on average over the voxels."""


def measures(quality: RoiQuality) -> tuple[float, float]:
    """What a chance is made of: the logit of the mean probability, and the logarithm of the volume in mL."""
    # As numpy clips: what is no number stays none.
    sure, ml = np.clip(quality.probability, _NEVER, 1.0 - _NEVER), np.clip(quality.volume_ml, _NOTHING_ML, None)
    return float(logit(sure)), float(np.log(ml))


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond which a region is not analysed: a part of the bundle, fitted with it."""

    least_ml: float
    most_ml: float
    most_components: int
    may_touch_edge: bool
    chance: Chance
    least_chance: float
    most_entropy: float

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The limits as a bundle's metadata has them. Raises BundleError."""
        return cls(
            least_ml=fields.number("least_ml"),
            most_ml=fields.number("most_ml"),
            most_components=fields.natural("most_components"),
            may_touch_edge=fields.flag("may_touch_edge"),
            chance=Chance.read(fields.child("chance")),
            least_chance=fields.number("least_chance"),
            most_entropy=fields.number("most_entropy"),
        )

    def written(self) -> dict[str, Any]:
        """What ``read`` reads."""
        return asdict(self)

    def faults(self, quality: RoiQuality) -> tuple[str, ...]:
        """Every limit that ``quality`` is beyond, in words; empty when it is within all."""
        return tuple(tell(quality, self) for beyond, tell in _CLAUSES if beyond(quality, self))

    def refuse(self, quality: RoiQuality) -> None:
        """Raise Refused(ROI_UNCERTAIN) naming every limit that ``quality`` is beyond."""
        if wrong := self.faults(quality):
            raise Refused(ReasonCode.ROI_UNCERTAIN, "; ".join(wrong))


_Beyond = Callable[[RoiQuality, Limits], bool]
_Tell = Callable[[RoiQuality, Limits], str]
# Written so that NaN is beyond every limit.
_CLAUSES: Final[Sequence[tuple[_Beyond, _Tell]]] = (
    (lambda q, m: not q.volume_ml >= m.least_ml, lambda q, m: f"{q.volume_ml:.2f} mL, less than {m.least_ml:g}"),
    (lambda q, m: not q.volume_ml <= m.most_ml, lambda q, m: f"{q.volume_ml:.1f} mL, more than {m.most_ml:g}"),
    (lambda q, m: q.components > m.most_components, lambda q, m: f"{q.components} pieces, over {m.most_components}"),
    (lambda q, m: q.touches_edge and not m.may_touch_edge, lambda _q, _m: "it reaches the edge of what was searched"),
    (
        lambda q, m: not m.chance.of(q) >= m.least_chance,
        lambda q, m: f"chance of a lesion {m.chance.of(q):.2f}, less than {m.least_chance:g}",
    ),
    (
        lambda q, m: not q.entropy <= m.most_entropy,
        lambda q, m: f"entropy {q.entropy:.2f}, more than {m.most_entropy:g}",
    ),
)


def in_order(regions: Sequence[tuple[Anatomy, RoiQuality]], limits: Mapping[Anatomy, Limits]) -> list[int]:
    """In which order ``regions``, which come largest first, are worth analysing: their indices.

    The organ whose largest region is most probably a lesion comes first, and in each organ the largest. Across organs
    size says little: a harmless fold of one is larger than an early cancer of the other.
    """
    chances: dict[Anatomy, float] = {}
    for organ, quality in regions:
        chances.setdefault(organ, limits[organ].chance.of(quality))
    return sorted(range(len(regions)), key=lambda index: -chances[regions[index][0]])


def entropy(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Entropy of (class, ...) probabilities over the classes, 0 to 1 of that of even chances."""
    total = np.zeros(probabilities.shape[1:], dtype=np.float32)
    for one in _nonzero(probabilities):
        total -= one * np.log(one)
    scaled: npt.NDArray[np.float32] = total / np.float32(np.log(len(probabilities)))
    return scaled


def _nonzero(probabilities: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float32]]:
    """Class by class: a copy of all at once would be as large as the probabilities."""
    for one in probabilities:
        yield np.maximum(one, np.float32(1e-12))
