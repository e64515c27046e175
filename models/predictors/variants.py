"""The seven models of PORCELAIN (doi 10.1038/s41746-025-02303-9, Table 2): what each reads of lesion and patient."""

from dataclasses import dataclass, replace
from typing import Final, Self

from models.fields import Fields
from models.preprocessing.lesion import Region

_CUBOID: Final = Region(is_masked=False)
_ROI: Final = Region(is_masked=True)
_ROIEX_3MM: Final = Region(is_masked=True, dilation_mm=3.0)
_ROIEX_5MM: Final = Region(is_masked=True, dilation_mm=5.0)

WINDOWS_HU: Final = {"paper": (40.0, 350.0), "abdomen": (-135.0, 215.0)}
"""By name: the paper's literal window (methods, "CECT images acquisition"), which clips most necrotic voxels, and the
one that abdominal readers use (level 40, width 350)."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the models, by the name that a bundle's parameters give."""

    name: str
    region: Region
    is_multimodal: bool

    @classmethod
    def read(cls, parameters: Fields) -> Self:
        """The variant that a bundle asks for; ``dilation_mm``, where it is given, is another distance than the paper's.

        Raises BundleError naming what is wrong.
        """
        variant: Self = parameters.one_of("variant", VARIANTS)
        if not parameters.has("dilation_mm"):
            return variant
        if variant.region.dilation_mm is None:
            raise parameters.wrong("dilation_mm", f"is given, but the variant {variant.name!r} dilates nothing")
        distance = parameters.number("dilation_mm")
        if not 0.0 < distance <= _WIDEST_MM:
            raise parameters.wrong("dilation_mm", f"is {distance}, not above 0 and at most {_WIDEST_MM}")
        return replace(variant, region=replace(variant.region, dilation_mm=distance))


VARIANTS: Final = {
    variant.name: variant
    for variant in (
        Variant("cuboid", _CUBOID, is_multimodal=False),
        Variant("roi", _ROI, is_multimodal=False),
        Variant("roiex-3mm", _ROIEX_3MM, is_multimodal=False),
        Variant("roiex-5mm", _ROIEX_5MM, is_multimodal=False),
        Variant("multimodal-cuboid", _CUBOID, is_multimodal=True),
        # Results, "Development and validation of AI models": "we adopted the 3-pixel dilation scheme for constructing
        # the multi-modal ROIex model"; a pixel is 1 mm there.
        Variant("multimodal-roiex", _ROIEX_3MM, is_multimodal=True),
        Variant("multimodal-roi", _ROI, is_multimodal=True),  # PORCELAIN itself
    )
}

# Beyond this the rim is no peritumoral one, and its cost grows with the square.
_WIDEST_MM: Final = 20.0


def window_hu(parameters: Fields) -> tuple[float, float]:
    """The window that a bundle asks for: ``window``, by name, or ``window_hu``, two numbers."""
    if parameters.has("window"):
        named: tuple[float, float] = parameters.one_of("window", WINDOWS_HU)
        return named
    return parameters.interval("window_hu")
