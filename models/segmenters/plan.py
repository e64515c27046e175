"""What a coarse-to-fine bundle says beside its weights: classes, spacings, windows and limits."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

from models.fields import Fields
from models.networks.segmenter import DIVISOR
from models.segmenters.quality import MEAN_PROBABILITY, Limits
from node.domain.coding import Anatomy
from node.domain.parts import Part

_PARTS: Final = {part.value: part for part in Part}
_AXES: Final = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """One of the two networks: the grid that it sees, and what its classes mean."""

    spacing_mm: float
    """Of its grid, the same along all axes."""
    window_zyx: tuple[int, int, int]
    parts: tuple[Part, ...]
    """Classes 1, 2, …; class 0 is everything else."""

    @property
    def classes(self) -> int:
        """With the background."""
        return len(self.parts) + 1

    @property
    def meaning(self) -> Mapping[int, Part]:
        """Class to part."""
        return dict(enumerate(self.parts, start=1))

    def number(self, part: Part) -> int:
        """The class of ``part``; ValueError when it has none."""
        return self.parts.index(part) + 1

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """Raises BundleError."""
        sides = fields.get("window_zyx", list)
        if len(sides) != _AXES or not all(isinstance(side, int) and side > 0 and side % DIVISOR == 0 for side in sides):
            raise fields.wrong("window_zyx", f"is not three multiples of {DIVISOR}")
        if max(sides) == DIVISOR:
            raise fields.wrong("window_zyx", f"has no side above {DIVISOR}")
        names = fields.get("parts", list)
        if not names or len(set(map(str, names))) != len(names) or any(name not in _PARTS for name in names):
            raise fields.wrong("parts", f"is not a list of different ones of {', '.join(_PARTS)}")
        spacing = fields.number("spacing_mm")
        if spacing <= 0.0:
            raise fields.wrong("spacing_mm", "is not above nought")
        return cls(spacing, (sides[0], sides[1], sides[2]), tuple(_PARTS[name] for name in names))


@dataclass(frozen=True, slots=True)
class Plan:
    """How a series is segmented. Written into the bundle by training, read by the segmenter."""

    coarse: Stage
    fine: Stage
    window_hu: tuple[float, float]
    """What the networks see as -1 and 1."""
    margin_mm: float
    """Around the organ as the coarse network found it."""
    longest_box_mm: float
    """Along any axis: bounds memory and time."""
    reach_mm: float
    """How far from its organ a lesion may lie."""
    least_organ_ml: float
    """Less of an organ is no organ."""
    least_lesion_ml: float
    """Smaller pieces are specks, not lesions."""
    probability: float
    """From which a voxel belongs to a lesion."""
    limits: Mapping[Anatomy, Limits]
    """Of lesions of each organ: what is taken for one in the wall of a stomach is surer than it would be elsewhere."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The plan as a bundle's metadata has it. Raises BundleError."""
        limits = fields.child("limits")
        return cls(
            coarse=Stage.read(fields.child("coarse")),
            fine=Stage.read(fields.child("fine")),
            window_hu=fields.interval("window_hu"),
            margin_mm=fields.number("margin_mm"),
            longest_box_mm=fields.number("longest_box_mm"),
            reach_mm=fields.number("reach_mm"),
            least_organ_ml=fields.number("least_organ_ml"),
            least_lesion_ml=fields.number("least_lesion_ml"),
            probability=fields.number("probability"),
            limits={organ: Limits.read(limits.child(organ.key)) for organ in Anatomy},
        )

    def written(self) -> dict[str, Any]:
        """What ``read`` reads."""
        limits = {organ.key: own.written() for organ, own in self.limits.items()}
        return asdict(self) | {"limits": limits}


_LEAST_IN_STOMACH_ML: Final = 0.6
"""Folds of an empty stomach are marked as lesions of up to that."""
_LIMITS: Final = Limits(
    least_ml=0.5,
    most_ml=400.0,
    most_components=5,
    may_touch_edge=False,
    chance=MEAN_PROBABILITY,
    least_chance=0.6,
    most_entropy=0.45,
)
DEFAULT: Final = Plan(
    coarse=Stage(
        spacing_mm=5.0,
        window_zyx=(48, 64, 80),
        parts=(
            Part.LIVER,
            Part.SPLEEN,
            Part.KIDNEY,
            Part.AORTA,
            Part.PORTAL_VEIN,
            Part.STOMACH,
            Part.PANCREAS,
        ),
    ),
    fine=Stage(
        spacing_mm=2.0,
        window_zyx=(48, 64, 64),
        parts=(Part.PANCREAS, Part.PANCREAS_LESION, Part.STOMACH, Part.STOMACH_LESION),
    ),
    window_hu=(-160.0, 240.0),
    margin_mm=20.0,
    longest_box_mm=256.0,
    reach_mm=10.0,
    least_organ_ml=5.0,
    least_lesion_ml=0.3,
    probability=0.5,
    limits={Anatomy.PANCREAS: _LIMITS, Anatomy.STOMACH: replace(_LIMITS, least_ml=_LEAST_IN_STOMACH_ML)},
)
"""Where training begins; it fits ``limits`` on studies that were held out."""
