"""The plan of a phantom: everything about one patient and one scan, drawn from a seed.

Each aspect has a random stream of its own, so asking for another T stage leaves body, scanner and blood as they were.
"""

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Final

import numpy as np

from models.phantoms import clinical, enhancement, latent, scanner
from models.phantoms.enhancement import Enhancement, Phase
from models.phantoms.latent import NtrTruth
from models.phantoms.scanner import MATRIX, Scanner
from node.domain.clinical import ClinicalRecord

VERSION: Final = 2
"""Of the generator: another number makes other voxels from the same seed."""
_STREAMS: Final = 1
"""What every random stream begins with; it stays, so that a new version leaves alone what it is not about."""
T_STAGES: Final = (1, 2, 3, 4)


class Kind(StrEnum):
    """What is wrong with the patient."""

    NORMAL = "normal"
    PANCREATIC = "pancreatic"
    GASTRIC = "gastric"

    @property
    def version(self) -> int:
        """The version of the generator that last changed phantoms of this kind."""
        return VERSION if self is Kind.GASTRIC else 1


class Filling(StrEnum):
    """What the stomach was filled with; a gastric cancer is staged after water (GTRNet, methods)."""

    WATER = "water"
    CONTRAST = "contrast"
    EMPTY = "empty"


class Stream(IntEnum):
    """The random streams of one seed; a number is never used again for something else."""

    KIND = 1
    BODY = 2
    SCANNER = 3
    BOLUS = 4
    LESION = 5
    LATENT = 6
    CLINICAL = 7
    WARP = 8
    ORGANS = 9
    TEXTURE = 10
    TUMOUR = 11
    NOISE = 12
    BOWEL = 13
    HEADER = 14


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller insists on; None leaves it to the seed."""

    kind: Kind | None = None
    phase: Phase = Phase.PORTAL_VENOUS
    t_stage: int | None = None
    ntr_high: bool | None = None
    lesions: int = 1
    """How many, of a study with any; the first is the largest."""
    profile: int | None = None
    """Index into ``scanner.PROFILES``."""
    thickness_mm: float | None = None
    slices: int | None = None
    """Fewer or more than the abdomen needs, around the middle of the organs."""


@dataclass(frozen=True, slots=True)
class Habitus:
    """A patient's build."""

    scale: float
    """Of all organs."""
    fat_mm: float
    """Under the skin at the sides."""
    visceral_mm: float
    """By which fat inside the abdomen widens it."""
    fatty_liver_hu: float
    """By which liver fat darkens the liver."""
    calcified_aorta: bool
    filling: Filling
    distension: float
    """Of the stomach, relative to the usual."""
    turn: float
    """Tangent of the angle by which the patient lies turned on the table."""


@dataclass(frozen=True, slots=True)
class LesionSpec:
    """One lesion as planned."""

    kind: Kind
    where: float
    """Along the organ's centre line, 0 to 1: from the head of the pancreas, from the fundus of the stomach."""
    around: float
    """Gastric: the side of the wall, -1 (back, lesser curvature) to 1 (front, greater curvature)."""
    size_mm: float
    """Longest diameter as planned; irregular edges move the true one a little."""
    thickness_mm: float
    """Gastric: how far the tumour stands up from the outside of the wall into the lumen."""
    t_stage: int | None
    """Gastric: depth of invasion, 1 to 4."""
    contrast_hu: float
    """By how much it differs from the mean of such tumours."""
    seed: int
    """Of its texture and outline."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The voxels of the study: matrix 512 x 512, slices from the feet up."""

    slices: int
    spacing_zyx_mm: tuple[float, float, float]
    first_zyx_mm: tuple[float, float, float]
    """The centre of voxel [0, 0, 0] in the patient's frame: z to the head, y to the back, x to the left."""

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return self.slices, MATRIX, MATRIX


@dataclass(frozen=True, slots=True)
class PhantomSpec:
    """Everything about one phantom, before any voxel is made."""

    seed: int
    kind: Kind
    phase: Phase
    habitus: Habitus
    bolus: Enhancement
    scanner: Scanner
    grid: Grid
    lesions: tuple[LesionSpec, ...]
    ntr: NtrTruth | None
    """Of a pancreatic study."""
    clinical: ClinicalRecord

    @property
    def t_stage(self) -> int | None:
        """Of the first (largest) gastric tumour, 1 to 4."""
        return self.lesions[0].t_stage if self.lesions else None

    def stream(self, stream: Stream, *more: int) -> np.random.Generator:
        """A fresh generator of one of the seed's streams."""
        return stream_of(self.seed, stream, *more)


def stream_of(seed: int, stream: Stream, *more: int) -> np.random.Generator:
    """A generator that follows from seed, stream and further numbers alone, on every platform."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((_STREAMS, seed, int(stream), *more))))


_KINDS: Final = (Kind.PANCREATIC, Kind.GASTRIC, Kind.NORMAL)
_KIND_SHARES: Final = (0.4, 0.4, 0.2)
_LOWEST_MM: Final = -95.0
_HIGHEST_MM: Final = 118.0
"""The extent of a study: from below the kidneys to the bases of the lungs."""
_HEAD_SHARE: Final = 0.75
"""PORCELAIN, Table 1: 77 and 62 % of the tumours lie in the head."""
_HEAD_UP_TO: Final = 0.27
_GASTRIC_MM: Final = {1: (22.0, 5.0), 2: (33.0, 6.0), 3: (46.0, 7.0), 4: (60.0, 9.0)}
"""Mean and spread of the longest diameter by T stage; GTRNet's mean is 38 (24) mm."""
_GASTRIC_THICKNESS_MM: Final = {1: (7.5, 9.5), 2: (10.0, 12.5), 3: (14.5, 17.5), 4: (20.0, 25.0)}


def draw(seed: int, wanted: Wanted | None = None) -> PhantomSpec:
    """The plan of the phantom ``seed``; the same arguments give the same plan.

    Raises:
        ValueError: no lesion is asked for in a study that must have one, or a T stage that does not exist.
    """
    asked = wanted or Wanted()
    if asked.lesions < 1 or asked.t_stage not in (None, *T_STAGES):
        raise ValueError("a study with lesions has at least one, and a T stage is 1 to 4")
    kind = asked.kind or _KINDS[int(stream_of(seed, Stream.KIND).choice(len(_KINDS), p=_KIND_SHARES))]
    habitus = _habitus(stream_of(seed, Stream.BODY))
    if kind is Kind.GASTRIC:
        habitus = replace(habitus, filling=Filling.WATER)
    profile, machine = _machine(stream_of(seed, Stream.SCANNER), habitus, asked)
    delays = profile.portal_delay_s if asked.phase is Phase.PORTAL_VENOUS else None
    lesions = _lesions(stream_of(seed, Stream.LESION), kind, asked, habitus)
    ntr = latent.draw(stream_of(seed, Stream.LATENT), is_high=asked.ntr_high) if kind is Kind.PANCREATIC else None
    return PhantomSpec(
        seed=seed,
        kind=kind,
        phase=asked.phase,
        habitus=habitus,
        bolus=enhancement.draw(stream_of(seed, Stream.BOLUS), asked.phase, delays),
        scanner=machine,
        grid=_grid(machine, habitus, asked),
        lesions=lesions,
        ntr=ntr,
        clinical=clinical.draw(
            stream_of(seed, Stream.CLINICAL),
            ntr=ntr,
            gastric_t=lesions[0].t_stage if lesions else None,
            size_mm=lesions[0].size_mm if lesions else 0.0,
            head=bool(lesions) and lesions[0].where <= _HEAD_UP_TO,
        ),
    )


def _habitus(rng: np.random.Generator) -> Habitus:
    fillings = (Filling.WATER, Filling.CONTRAST, Filling.EMPTY)
    return Habitus(
        scale=float(np.clip(rng.normal(1.0, 0.055), 0.88, 1.14)),
        fat_mm=float(np.clip(rng.gamma(3.0, 5.0), 5.0, 42.0)),
        visceral_mm=float(np.clip(rng.normal(8.0, 7.0), -2.0, 28.0)),
        fatty_liver_hu=float(max(0.0, rng.normal(-8.0, 14.0))),
        calcified_aorta=bool(rng.random() < 0.5),  # noqa: PLR2004 — every second patient of this age
        filling=fillings[int(rng.choice(3, p=(0.72, 0.1, 0.18)))],
        distension=float(rng.uniform(0.86, 1.1)),
        turn=float(rng.normal(0.0, 0.03)),
    )


def _machine(rng: np.random.Generator, habitus: Habitus, asked: Wanted) -> tuple[scanner.Profile, Scanner]:
    index = int(rng.integers(len(scanner.PROFILES)))
    profile = scanner.PROFILES[index if asked.profile is None else asked.profile]
    width = 2.0 * (145.0 * habitus.scale + habitus.visceral_mm + habitus.fat_mm)
    field = float(np.clip(width * rng.uniform(1.07, 1.22), 320.0, 500.0))
    machine = scanner.draw(rng, profile, field)
    return profile, machine if asked.thickness_mm is None else _reconstructed(machine, asked.thickness_mm)


def _reconstructed(machine: Scanner, thickness_mm: float) -> Scanner:
    """The same patient on the same machine at another thickness, without overlap."""
    noise = machine.noise_hu * scanner.noise_of(thickness_mm) / scanner.noise_of(machine.thickness_mm)
    return replace(machine, thickness_mm=thickness_mm, slice_spacing_mm=thickness_mm, noise_hu=round(noise, 2))


def _grid(machine: Scanner, habitus: Habitus, asked: Wanted) -> Grid:
    lowest, highest = _LOWEST_MM * habitus.scale, _HIGHEST_MM * habitus.scale
    step, pixel = machine.slice_spacing_mm, machine.pixel_spacing_mm
    slices = int((highest - lowest) / step) + 1 if asked.slices is None else asked.slices
    first = lowest if asked.slices is None else 0.5 * (lowest + highest) - 0.5 * step * (slices - 1)
    half = 0.5 * pixel * (MATRIX - 1)
    return Grid(slices, (step, pixel, pixel), (first, -half, -half))


def _lesions(rng: np.random.Generator, kind: Kind, asked: Wanted, habitus: Habitus) -> tuple[LesionSpec, ...]:
    if kind is Kind.NORMAL:
        return ()
    make = _pancreatic if kind is Kind.PANCREATIC else _gastric
    first = make(rng, asked.t_stage, habitus)
    return (first, *(_smaller(make(rng, asked.t_stage, habitus), first, k) for k in range(1, asked.lesions)))


def _smaller(lesion: LesionSpec, first: LesionSpec, k: int) -> LesionSpec:
    """A further lesion: smaller, and in another part of the organ."""
    size = min(lesion.size_mm, first.size_mm * 0.6)
    where = 0.12 + (first.where - 0.12 + 0.38 * k) % 0.76
    return replace(lesion, size_mm=size, where=where)


def _pancreatic(rng: np.random.Generator, _: int | None, habitus: Habitus) -> LesionSpec:
    in_head = bool(rng.random() < _HEAD_SHARE)
    return LesionSpec(
        kind=Kind.PANCREATIC,
        where=float(rng.uniform(0.05, 0.22) if in_head else rng.uniform(0.45, 0.9)),
        around=0.0,
        size_mm=float(np.clip(rng.lognormal(np.log(31.0), 0.27), 16.0, 58.0)) * habitus.scale,
        thickness_mm=0.0,
        t_stage=None,
        contrast_hu=float(rng.normal(0.0, 6.0)),
        seed=int(rng.integers(2**31)),
    )


def _gastric(rng: np.random.Generator, t_stage: int | None, habitus: Habitus) -> LesionSpec:
    drawn = int(rng.integers(1, 5))
    stage = t_stage or drawn
    mean, spread = _GASTRIC_MM[stage]
    return LesionSpec(
        kind=Kind.GASTRIC,
        where=float(np.clip(1.0 - abs(rng.normal(0.0, 0.42)), 0.12, 0.9)),
        around=float(rng.uniform(-1.0, 1.0)),
        size_mm=float(np.clip(rng.normal(mean, spread), 14.0, 85.0)),
        thickness_mm=float(rng.uniform(*_GASTRIC_THICKNESS_MM[stage])) * habitus.scale**0.5,
        t_stage=stage,
        contrast_hu=float(rng.normal(0.0, 6.0)),
        seed=int(rng.integers(2**31)),
    )
