"""How far a region that a network found can be trusted, and where the limit is at which it is not analysed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from models.fields import Fields
from node.domain.reasons import ReasonCode
from node.errors import Refused


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

    @property
    def expected_ml(self) -> float:
        """How much lesion is to be expected in it: its volume times its mean probability.

        What only looks like a lesion is small and doubtful; either alone a lesion may be.
        """
        return self.volume_ml * self.probability


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond which a region is not analysed: a part of the bundle, fitted with it."""

    least_ml: float
    most_ml: float
    most_components: int
    may_touch_edge: bool
    least_probability: float
    least_expected_ml: float
    most_entropy: float

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The limits as a bundle's metadata has them. Raises BundleError."""
        return cls(
            least_ml=fields.number("least_ml"),
            most_ml=fields.number("most_ml"),
            most_components=fields.natural("most_components"),
            may_touch_edge=fields.flag("may_touch_edge"),
            least_probability=fields.number("least_probability"),
            least_expected_ml=fields.number("least_expected_ml") if fields.has("least_expected_ml") else 0.0,
            most_entropy=fields.number("most_entropy"),
        )

    def written(self) -> dict[str, float | int | bool]:
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
        lambda q, m: not q.probability >= m.least_probability,
        lambda q, m: f"mean probability {q.probability:.2f}, less than {m.least_probability:g}",
    ),
    (
        lambda q, m: not q.expected_ml >= m.least_expected_ml,
        lambda q, m: f"{q.expected_ml:.2f} mL of lesion to be expected in it, less than {m.least_expected_ml:g}",
    ),
    (
        lambda q, m: not q.entropy <= m.most_entropy,
        lambda q, m: f"entropy {q.entropy:.2f}, more than {m.most_entropy:g}",
    ),
)


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
