"""How tissue attenuates after a bolus of contrast: Hounsfield units by tissue and seconds since the injection began.

Time-attenuation curves as radiology teaches them for about 1.5 mL/kg at 3 mL/s: the aorta peaks in the arterial
phase, kidney cortex, spleen and pancreas soon after, the portal vein at about a minute and the liver shortly later;
then all drift together. In one real portal-venous series (96 s) the portal and splenic vein has 131 HU and the liver
89: within what is drawn here, the liver with some fat. Its aorta is brighter (177 HU; at most 168 here), its inferior
vena cava and spleen are darker (90 and 80 HU; at least 103 and 94 here).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np


class Phase(StrEnum):
    """The phase of enhancement that a study was taken in."""

    NON_CONTRAST = "non-contrast"
    ARTERIAL = "arterial"
    PORTAL_VENOUS = "portal-venous"
    DELAYED = "delayed"


DELAYS_S: Final = {
    Phase.NON_CONTRAST: (0.0, 0.0),
    Phase.ARTERIAL: (28.0, 40.0),
    Phase.PORTAL_VENOUS: (60.0, 95.0),
    Phase.DELAYED: (165.0, 280.0),
}
"""Seconds from the start of the injection to the scan, where the scanner's protocol says nothing else."""


class Tissue(StrEnum):
    """What takes up contrast in its own way."""

    AORTA = "aorta"
    PORTAL_VEIN = "portal-vein"
    VENA_CAVA = "vena-cava"
    LIVER = "liver"
    SPLEEN = "spleen"
    PANCREAS = "pancreas"
    KIDNEY_CORTEX = "kidney-cortex"
    KIDNEY_MEDULLA = "kidney-medulla"
    MUSCLE = "muscle"
    BOWEL_WALL = "bowel-wall"
    MUCOSA = "mucosa"
    SUBMUCOSA = "submucosa"
    MUSCULARIS = "muscularis"
    PANCREATIC_TUMOUR = "pancreatic-tumour"
    GASTRIC_TUMOUR = "gastric-tumour"
    EARLY_GASTRIC_TUMOUR = "early-gastric-tumour"
    """Of the inner layers alone: brighter than the mucosa beside it."""


_TIMES_S: Final = (0.0, 20.0, 35.0, 50.0, 70.0, 100.0, 180.0, 300.0)
_HU: Final = {
    Tissue.AORTA: (42, 210, 295, 205, 165, 148, 114, 98),
    Tissue.PORTAL_VEIN: (42, 46, 88, 142, 164, 148, 112, 98),
    Tissue.VENA_CAVA: (40, 42, 70, 98, 118, 122, 108, 96),
    Tissue.LIVER: (57, 58, 66, 88, 108, 106, 92, 84),
    Tissue.SPLEEN: (48, 80, 118, 124, 118, 108, 94, 86),
    Tissue.PANCREAS: (42, 62, 106, 104, 96, 87, 73, 66),
    Tissue.KIDNEY_CORTEX: (34, 110, 178, 196, 192, 184, 156, 140),
    Tissue.KIDNEY_MEDULLA: (30, 32, 46, 84, 134, 166, 156, 140),
    Tissue.MUSCLE: (54, 54, 57, 61, 64, 65, 65, 64),
    Tissue.BOWEL_WALL: (38, 46, 78, 92, 90, 84, 74, 68),
    Tissue.MUCOSA: (40, 56, 104, 122, 118, 104, 86, 76),
    Tissue.SUBMUCOSA: (26, 27, 30, 34, 38, 42, 44, 44),
    Tissue.MUSCULARIS: (40, 42, 54, 64, 72, 74, 72, 68),
    Tissue.PANCREATIC_TUMOUR: (40, 41, 47, 56, 64, 69, 75, 74),
    Tissue.GASTRIC_TUMOUR: (42, 46, 72, 90, 98, 98, 92, 86),
    Tissue.EARLY_GASTRIC_TUMOUR: (42, 60, 122, 144, 143, 130, 104, 92),
}


@dataclass(frozen=True, slots=True)
class Enhancement:
    """One patient's bolus as it was at the time of the scan."""

    delay_s: float
    """Since the injection began; 0 where nothing was injected."""
    strength: float
    """Enhancement relative to the curves: dose, weight and heart."""
    circulation: float
    """How fast the bolus travels relative to the curves; above 1 is slower."""

    def hu(self, tissue: Tissue) -> float:
        """The mean attenuation of ``tissue``."""
        curve = _HU[tissue]
        at = self.delay_s / self.circulation
        return float(curve[0] + self.strength * (np.interp(at, _TIMES_S, curve) - curve[0]))


def draw(rng: np.random.Generator, phase: Phase, delays_s: tuple[float, float] | None = None) -> Enhancement:
    """The bolus of one patient in ``phase``; ``delays_s`` is the protocol's range where it has one."""
    low, high = DELAYS_S[phase] if delays_s is None else delays_s
    return Enhancement(
        delay_s=round(float(rng.uniform(low, high)), 1),
        strength=round(float(rng.uniform(0.78, 1.12)), 3),
        circulation=round(float(rng.uniform(0.92, 1.08)), 3),
    )
