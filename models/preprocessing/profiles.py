"""GTRNet's two chains from HU to the network's input, by the names that bundles know them by.

The published checkpoint and the paper's text disagree on the preprocessing, so a bundle says which one its weights were
trained with. Source: GTRNet (doi 10.1038/s41746-025-02002-5), methods, "CT imaging protocol and image preprocessing".
"""

from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np

from models.fields import Fields
from models.preprocessing.bias_field import BiasField, corrected
from models.preprocessing.planes import at_spacing
from models.preprocessing.slice_image import grey, network_image, standardised_image, windowed
from models.preprocessing.window import clip
from node.domain.imaging import FloatArray, HuArray

SIZE: Final = (224, 224)


class Profile(Protocol):
    """One chain."""

    def images(self, planes: HuArray, key: int, spacing_mm: tuple[float, float]) -> FloatArray:
        """[plane, row, column] in HU as (n, 3, 224, 224).

        ``key`` is the index of the key slice among the planes, ``spacing_mm`` between rows and between columns.
        """
        ...


@dataclass(frozen=True, slots=True)
class PublishedCheckpoint:
    """What the authors' published pictures and code do: window to 8 bits, 224 x 224, ImageNet's mean and deviation."""

    level_hu: float
    width_hu: float

    @classmethod
    def read(cls, parameters: Fields) -> Self:
        """From a bundle's parameters; raises BundleError naming what is wrong."""
        return cls(*_window(parameters))

    def images(self, planes: HuArray, key: int, spacing_mm: tuple[float, float]) -> FloatArray:  # noqa: ARG002  Profile
        """The native pixels, whatever their spacing, each plane for itself."""
        return np.stack([network_image(windowed(plane, self.level_hu, self.width_hu), SIZE) for plane in planes])


@dataclass(frozen=True, slots=True)
class Paper:
    """What the paper's text says: 1 mm, clip, N4, window, 224 x 224, z-score, in this order."""

    level_hu: float
    width_hu: float
    spacing_mm: float
    clip_hu: tuple[float, float]
    bias_field: BiasField

    @classmethod
    def read(cls, parameters: Fields) -> Self:
        """From a bundle's parameters; raises BundleError naming what is wrong."""
        spacing = parameters.number("spacing_mm")
        if spacing <= 0:
            raise parameters.wrong("spacing_mm", f"is {spacing:g}, not above zero")
        field = BiasField.read(parameters.child("n4"))
        return cls(*_window(parameters), spacing, parameters.interval("clip_hu"), field)

    def images(self, planes: HuArray, key: int, spacing_mm: tuple[float, float]) -> FloatArray:
        """Raises Refused(INPUT_CONTRACT) when the key slice has no body, or a slice one value only."""
        hu = clip(at_spacing(planes, spacing_mm, self.spacing_mm), self.clip_hu)
        even = corrected(hu, self.bias_field.estimate(hu[key]))
        return np.stack([standardised_image(grey(plane, self.level_hu, self.width_hu), SIZE) for plane in even])


PROFILES: Final = {"published-checkpoint": PublishedCheckpoint.read, "paper": Paper.read}


def read_profile(parameters: Fields) -> Profile:
    """The chain that a bundle's ``parameters`` name; raises BundleError naming the field that is wrong."""
    chain: Profile = parameters.one_of("profile", PROFILES)(parameters)
    return chain


def _window(parameters: Fields) -> tuple[float, float]:
    """Level and width of the window."""
    width = parameters.number("window_width_hu")
    if width <= 0:
        raise parameters.wrong("window_width_hu", f"is {width:g}, not above zero")
    return parameters.number("window_level_hu"), width
