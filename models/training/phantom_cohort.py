"""A cohort of phantoms: plans with known answers, as many of each class, and the crops that training reads of them."""

import hashlib
from typing import Final

import numpy as np

from models.phantoms import Box, Kind, Phantom, Wanted, draw, key_planes, lesion_box, lesion_place, render
from models.phantoms.render import PORCELAIN_BOX
from models.phantoms.spec import T_STAGES, PhantomSpec
from models.training.cohort import Cohort, PhantomSource, TrainingCase
from node.domain.identifiers import FrameOfReferenceUID
from node.domain.imaging import BoolArray, FloatArray, Geometry, Volume
from node.domain.prediction import TrainingStatus
from node.errors import UsageError

SPAN: Final = 100_000
"""How many seeds of phantoms belong to one seed of a cohort: two cohorts of different seeds share no phantom."""
_AXIAL: Final = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def phantom_cohort(kind: Kind, count: int, seed: int) -> Cohort:
    """``count`` phantoms of ``kind``, whose classes are equally frequent; the same arguments give the same cohort.

    PANCREATIC: label 1 is a high NTR; GASTRIC: label k is T stage k + 1. Raises UsageError for a number of phantoms
    that is not 1 to ``SPAN``, or a seed below 0.
    """
    if not 0 < count <= SPAN or seed < 0:
        raise UsageError(f"--phantoms {count} --seed {seed}: 1 to {SPAN} phantoms, and a seed of 0 or more")
    cases = tuple(_case(kind, seed * SPAN + index, index) for index in range(count))
    return of_plan(cases, f"{kind.version}:{kind.value}:{count}:{seed}", seed, kind.version)


def of_plan(cases: tuple[TrainingCase, ...], plan: str, seed: int, version: int) -> Cohort:
    """The cohort of phantoms that ``plan`` defines, drawn from ``seed``, with what a bundle says of its origin.

    ``version`` is the generator's, of the kinds of phantom in it.
    """
    origin = (
        f"{len(cases)} synthetic CTs (phantoms, generator version {version}, cohort seed {seed}); no patient. "
        "What is learnt from them says nothing about patients"
    )
    return Cohort(cases, TrainingStatus.PHANTOM, origin, hashlib.sha256(plan.encode()).hexdigest())


def pancreatic(count: int, seed: int) -> Cohort:
    """PORCELAIN's phantoms. Raises as ``phantom_cohort``."""
    return phantom_cohort(Kind.PANCREATIC, count, seed)


def gastric(count: int, seed: int) -> Cohort:
    """GTRNet's phantoms. Raises as ``phantom_cohort``."""
    return phantom_cohort(Kind.GASTRIC, count, seed)


def crop(source: PhantomSource, margin_mm: float = 0.0) -> tuple[Volume, BoolArray]:
    """What PORCELAIN reads of a phantom: the box of its lesion, ``margin_mm`` wider on every side, and its mask.

    Raises ValueError when the lesion shows on no slice.
    """
    spec = draw(source.seed, source.wanted)
    shape = [
        size + 2 * int(np.ceil(margin_mm / step)) for size, step in zip(PORCELAIN_BOX, _spacing(spec), strict=True)
    ]
    return _cut(spec, lesion_box(spec, (shape[0], shape[1], shape[2])))


def planes(source: PhantomSource) -> tuple[Volume, BoolArray]:
    """What GTRNet reads of a phantom: the whole slice with the largest area of its tumour and the neighbours.

    Raises ValueError when the tumour shows on no slice.
    """
    spec = draw(source.seed, source.wanted)
    return _cut(spec, key_planes(spec))


def plane_near(source: PhantomSource, offset_mm: float) -> tuple[FloatArray, BoolArray]:
    """The whole slice ``offset_mm`` above that of the largest area, or the study's last one, and its lesion's mask.

    Raises ValueError when the tumour shows on no slice.
    """
    spec = draw(source.seed, source.wanted)
    # With its number said, as ``key_planes`` says it: what was found for that one is remembered.
    at = lesion_place(spec, 1).key_slice + round(offset_mm / _spacing(spec)[0])
    at = min(max(at, 0), spec.grid.slices - 1)
    phantom = render(spec, Box((at, at + 1)))
    return phantom.hu[0].astype(np.float32), phantom.lesion()[0]


def _case(kind: Kind, seed: int, index: int) -> TrainingCase:
    stages = {Kind.GASTRIC: T_STAGES[index % len(T_STAGES)]}
    wanted = Wanted(kind=kind, t_stage=stages.get(kind), ntr_high=index % 2 == 1 if kind is Kind.PANCREATIC else None)
    spec = draw(seed, wanted)
    label = spec.t_stage - 1 if spec.t_stage else int(spec.ntr is not None and spec.ntr.is_high)
    name = f"phantom-{seed}"
    return TrainingCase(name, name, PhantomSource(seed, wanted), label, "phantom", None, spec.clinical)


def _cut(spec: PhantomSpec, box: Box) -> tuple[Volume, BoolArray]:
    """A box of a phantom as a volume, and the mask of its first lesion in it."""
    phantom = render(spec, box)
    return volume_of(phantom), phantom.lesion()


def volume_of(phantom: Phantom) -> Volume:
    """A phantom, or the box of it that was rendered, as the node would have it."""
    spec, box = phantom.spec, phantom.box
    z, y, x = _spacing(spec)
    first = [low for low, _ in (box.slices, box.rows, box.columns)]
    origin = [start + step * at for start, step, at in zip(spec.grid.first_zyx_mm, (z, y, x), first, strict=True)]
    geometry = Geometry(
        shape_zyx=box.shape_zyx,
        spacing_xyz_mm=(x, y, z),
        origin_lps_mm=(origin[2], origin[1], origin[0]),
        direction=_AXIAL,
        frame_of_reference_uid=FrameOfReferenceUID.derived("phantom", str(spec.seed)),
    )
    return Volume(phantom.hu.astype(np.float32), geometry, ())


def _spacing(spec: PhantomSpec) -> tuple[float, float, float]:
    return spec.grid.spacing_zyx_mm
