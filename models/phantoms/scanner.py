"""The scanner that a phantom is seen through: geometry, kernel, noise.

The first three profiles are the centres of GTRNet's Table 4 (Toshiba, 1 to 5 mm, delay 45 to 60 s; Philips, 3 mm, 70
s; Philips Ingenuity, 1 to 2 mm, 65 to 70 s; all 120 kV, 512 x 512); two more makers stand for the node's other
sources, with PORCELAIN's range of thickness (0.75 to 5 mm). Delays below 50 s are left out: there the phase is early
by its attenuation.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

MATRIX: Final = 512


class Sharpness(StrEnum):
    """What a reconstruction kernel does to an edge."""

    SMOOTH = "smooth"
    STANDARD = "standard"
    SHARP = "sharp"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A reconstruction kernel: its name on the console, and its point-spread function and noise as modelled here."""

    name: str
    sharpness: Sharpness


@dataclass(frozen=True, slots=True)
class Profile:
    """What one centre's scanners have in common."""

    manufacturer: str
    model: str
    kernels: tuple[Kernel, ...]
    thicknesses_mm: tuple[float, ...]
    portal_delay_s: tuple[float, float] | None
    kilovolts: tuple[int, ...] = (120,)
    dose_ml: float = 80.0
    rate_ml_s: float = 3.0
    agent: str = "IOVERSOL 350"


@dataclass(frozen=True, slots=True)
class Scanner:
    """How one study was acquired and reconstructed."""

    manufacturer: str
    model: str
    kernel: Kernel
    kilovolts: int
    thickness_mm: float
    slice_spacing_mm: float
    """Between slice centres: the thickness, or less where slices overlap."""
    pixel_spacing_mm: float
    noise_hu: float
    """Standard deviation in the middle of the body."""
    tube_current_ma: int
    agent: str
    dose_ml: float
    rate_ml_s: float


PROFILES: Final = (
    Profile(
        "TOSHIBA",
        "Aquilion",
        (Kernel("FC08", Sharpness.SMOOTH), Kernel("FC18", Sharpness.STANDARD)),
        (1.0, 2.0, 3.0, 5.0),
        (50.0, 60.0),
        dose_ml=60.0,
        agent="IOVERSOL 320",
    ),
    Profile(
        "Philips",
        "Brilliance 64",
        (Kernel("B", Sharpness.STANDARD), Kernel("A", Sharpness.SMOOTH)),
        (3.0,),
        (69.0, 71.0),
        rate_ml_s=2.5,
    ),
    Profile(
        "Philips",
        "Ingenuity CT",
        (Kernel("B", Sharpness.STANDARD), Kernel("C", Sharpness.SHARP)),
        (1.0, 1.5, 2.0),
        (65.0, 70.0),
    ),
    Profile(
        "SIEMENS",
        "SOMATOM Definition Flash",
        (Kernel("B30f", Sharpness.STANDARD), Kernel("Br38f", Sharpness.STANDARD), Kernel("B20f", Sharpness.SMOOTH)),
        (0.75, 1.0, 3.0, 5.0),
        None,
        kilovolts=(100, 120),
        agent="IOPROMIDE 370",
    ),
    Profile(
        "GE MEDICAL SYSTEMS",
        "Revolution CT",
        (Kernel("STANDARD", Sharpness.STANDARD), Kernel("SOFT", Sharpness.SMOOTH), Kernel("DETAIL", Sharpness.SHARP)),
        (1.25, 2.5, 5.0),
        None,
        agent="IOHEXOL 350",
    ),
)
_NOISE_HU: Final = {Sharpness.SMOOTH: 8.0, Sharpness.STANDARD: 10.5, Sharpness.SHARP: 16.0}
_REFERENCE_THICKNESS_MM: Final = 3.0
_REFERENCE_MA: Final = 190.0
_OVERLAPPING_SHARE: Final = 0.2


def noise_of(thickness_mm: float) -> float:
    """Noise relative to that at 3 mm; dose follows the reading, so it falls more slowly than by counting photons."""
    return float((_REFERENCE_THICKNESS_MM / thickness_mm) ** 0.3)


def draw(rng: np.random.Generator, profile: Profile, field_mm: float) -> Scanner:
    """A study on a scanner of ``profile``, its field of view ``field_mm`` wide."""
    kernel = profile.kernels[int(rng.integers(len(profile.kernels)))]
    thickness = profile.thicknesses_mm[int(rng.integers(len(profile.thicknesses_mm)))]
    overlaps = float(rng.random()) < _OVERLAPPING_SHARE and thickness > 1.0
    noise = _NOISE_HU[kernel.sharpness] * noise_of(thickness) * float(rng.uniform(0.8, 1.25))
    kilovolts = profile.kilovolts[int(rng.integers(len(profile.kilovolts)))]
    current = int(rng.integers(170, 211))
    return Scanner(
        manufacturer=profile.manufacturer,
        model=profile.model,
        kernel=kernel,
        kilovolts=kilovolts,
        thickness_mm=thickness,
        slice_spacing_mm=round(thickness * (0.8 if overlaps else 1.0), 3),
        pixel_spacing_mm=round(field_mm / MATRIX, 4),
        noise_hu=round(noise * (_REFERENCE_MA / current) ** 0.5, 2),
        tube_current_ma=current,
        agent=profile.agent,
        dose_ml=profile.dose_ml,
        rate_ml_s=profile.rate_ml_s,
    )
