"""The parts of the body that a segmenter can tell apart: one word each, the same in settings, bundles and results."""

from enum import StrEnum

from node.domain.coding import Anatomy


class Part(StrEnum):
    """An organ, a vessel, or a lesion in an organ."""

    LIVER = "liver"
    SPLEEN = "spleen"
    KIDNEY = "kidney"
    AORTA = "aorta"
    PORTAL_VEIN = "portal-vein"
    STOMACH = "stomach"
    PANCREAS = "pancreas"
    STOMACH_LESION = "stomach-lesion"
    PANCREAS_LESION = "pancreas-lesion"

    @property
    def lesion_of(self) -> Anatomy | None:
        """The organ that this is a lesion of; None for what is no lesion."""
        return _LESIONS.get(self)


_LESIONS = {Part.STOMACH_LESION: Anatomy.STOMACH, Part.PANCREAS_LESION: Anatomy.PANCREAS}


def organ_part(anatomy: Anatomy) -> Part:
    """The organ itself, its lesions apart."""
    return {Anatomy.STOMACH: Part.STOMACH, Anatomy.PANCREAS: Part.PANCREAS}[anatomy]


def lesion_part(anatomy: Anatomy) -> Part:
    """Lesions in the organ."""
    return next(part for part, organ in _LESIONS.items() if organ is anatomy)
