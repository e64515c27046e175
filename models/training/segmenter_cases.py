"""What the segmenter learns from: studies on its two grids, with the part that each cell belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.phantoms import Kind, Organ, Phase, Wanted, draw
from models.phantoms.sketch import sketch
from models.phantoms.spec import T_STAGES
from models.preprocessing.regrid import Axis, Grid, Regridded, grid_of
from models.segmenters.lesions import box_of
from models.segmenters.orientation import Turn
from models.segmenters.plan import Plan
from models.training import images
from models.training.cohort import FileSource, PhantomSource, TrainingCase
from models.training.prepared import Arrays
from node.domain.coding import Anatomy
from node.domain.parts import Part, lesion_part, organ_part
from node.errors import UsageError

Labels = npt.NDArray[np.uint8]
PARTS: Final = tuple(Part)
"""Label k + 1 of a cohort's masks is the k-th: liver 1, spleen 2, kidney 3, aorta 4, portal-vein 5, stomach 6,
pancreas 7, stomach-lesion 8, pancreas-lesion 9."""
_ORGANS: Final = {
    Organ.LIVER: Part.LIVER,
    Organ.SPLEEN: Part.SPLEEN,
    Organ.KIDNEY_LEFT: Part.KIDNEY,
    Organ.KIDNEY_RIGHT: Part.KIDNEY,
    Organ.AORTA: Part.AORTA,
    Organ.PORTAL_VEIN: Part.PORTAL_VEIN,
    Organ.STOMACH: Part.STOMACH,
    Organ.PANCREAS: Part.PANCREAS,
}
_MARGIN_MM: Final = 28.0
"""Around stomach and pancreas: more than the segmenter's own, which begins where its coarse network ends."""
_BATCH: Final = 20
_KINDS: Final = (Kind.PANCREATIC, Kind.GASTRIC, Kind.NORMAL, Kind.GASTRIC, Kind.PANCREATIC)
_HARD_FROM: Final = 384
"""Cases from here on are of what a segmenter that learnt from those before still gets wrong: tumours of the wall that
it misses, and organs without a lesion in which it sees one."""
_HARD: Final = ("T1", "pancreas", "T2", "normal", "T1", "pancreas", "T3", "T2", "normal", "T1")
_OTHER_PHASES: Final = (Phase.ARTERIAL, Phase.DELAYED, Phase.NON_CONTRAST)


@dataclass(frozen=True, slots=True)
class Study:
    """A study in the patient's axes, with a label for each voxel."""

    hu: npt.NDArray[Any]
    labels: Labels
    """0, or one more than the index of ``PARTS``."""
    grid: Grid


@dataclass(frozen=True, slots=True)
class StudyPreparation:
    """A study on the grids of both networks.

    ``coarse`` and ``coarse_labels`` are the whole of it, ``fine`` and ``fine_labels`` the box around stomach and
    pancreas: HU (int16) and classes of the stage (uint8), [slice, row, column].
    """

    coarse_mm: float
    coarse: tuple[Part, ...]
    """Classes 1, 2, …"""
    fine_mm: float
    fine: tuple[Part, ...]

    @classmethod
    def of(cls, plan: Plan) -> "StudyPreparation":
        """As the plan's networks will see it."""
        return cls(plan.coarse.spacing_mm, plan.coarse.parts, plan.fine.spacing_mm, plan.fine.parts)

    def __call__(self, case: TrainingCase) -> Arrays:
        """Raises UsageError when a cohort's mask does not mark stomach or pancreas."""
        study = _of_files(case.source) if isinstance(case.source, FileSource) else of_phantom(case.source)
        whole = _covering(study.grid, self.coarse_mm)
        box = _box(study, self.fine_mm)
        return {
            "coarse": _rounded(study, whole),
            "coarse_labels": _classes(study, whole, self.coarse),
            "fine": _rounded(study, box),
            "fine_labels": _classes(study, box, self.fine),
        }


def wanted(index: int, hard: int = 0) -> Wanted:
    """What the ``index``-th phantom of a cohort is: lesions of both organs or none, all stages, some other phases.

    The first ``hard`` and those from ``_HARD_FROM`` of the others on are early gastric cancers and no lesion above all,
    in the phase that is analysed.
    """
    index = index + _HARD_FROM if index < hard else index - hard
    if index >= _HARD_FROM:
        return _HARDER[_HARD[index % len(_HARD)]]
    other = _OTHER_PHASES[index // _BATCH % len(_OTHER_PHASES)]
    return Wanted(
        kind=_KINDS[index % len(_KINDS)],
        phase=other if index % 4 == 3 else Phase.PORTAL_VENOUS,  # noqa: PLR2004 — every fourth
        t_stage=T_STAGES[index // len(_KINDS) % len(T_STAGES)],
        lesions=2 if index % 7 == 6 else 1,  # noqa: PLR2004 — every seventh
    )


_HARDER: Final = {
    "normal": Wanted(kind=Kind.NORMAL),
    "pancreas": Wanted(kind=Kind.PANCREATIC),
    **{f"T{stage}": Wanted(kind=Kind.GASTRIC, t_stage=stage) for stage in T_STAGES},
}


def of_phantom(source: PhantomSource) -> Study:
    """A phantom, coarsely rendered."""
    found = sketch(draw(source.seed, source.wanted))
    return Study(found.hu, of_organs(found.organs, found.lesions), grid_of(_shape(found.hu), found.spacing_zyx_mm))


def of_organs(organs: Labels, lesions: Labels) -> Labels:
    """A phantom's maps of organs and lesions as labels of ``PARTS``."""
    table = np.zeros(max(Organ) + 1, np.uint8)
    for organ, part in _ORGANS.items():
        table[organ] = PARTS.index(part) + 1
    labels: Labels = table[organs]
    for anatomy, organ in ((Anatomy.STOMACH, Organ.STOMACH), (Anatomy.PANCREAS, Organ.PANCREAS)):
        labels[(lesions > 0) & (organs == organ)] = PARTS.index(lesion_part(anatomy)) + 1
    return labels


def _of_files(source: FileSource) -> Study:
    """A case of a cohort."""
    volume = images.read_volume(source.image)
    turn = Turn.of(volume.geometry)
    hu = turn.to_patient(volume.hu)
    return Study(hu, turn.to_patient(read_labels(source)), grid_of(_shape(hu), turn.spacing_zyx_mm))


def read_labels(source: FileSource) -> Labels:
    """The labels of ``PARTS`` as a cohort's mask has them, [slice, row, column]; UsageError when it cannot be read."""
    labels = images.read_labels(source.mask)
    if not np.isin(labels, range(len(PARTS) + 1)).all():
        raise UsageError(f"{source.mask}: holds something other than the labels 0 to {len(PARTS)}")
    return labels.astype(np.uint8)


def _covering(grid: Grid, step_mm: float) -> Grid:
    z, y, x = (Axis.covering(axis, step_mm) for axis in grid)
    return z, y, x


def _box(study: Study, step_mm: float) -> Grid:
    """The fine grid around stomach and pancreas, lesions and all."""
    marked = [PARTS.index(part) + 1 for organ in Anatomy for part in (organ_part(organ), lesion_part(organ))]
    box = box_of(np.isin(study.labels, marked))
    if box is None:
        raise UsageError("the mask marks neither stomach nor pancreas")
    axes = []
    for axis, side in zip(study.grid, box, strict=True):
        low, high = axis.part(side.start, side.stop).ends_mm
        low, high = max(low - _MARGIN_MM, axis.ends_mm[0]), min(high + _MARGIN_MM, axis.ends_mm[1])
        axes.append(Axis(low + 0.5 * step_mm, step_mm, max(1, int((high - low) / step_mm))))
    return axes[0], axes[1], axes[2]


def _rounded(study: Study, target: Grid) -> npt.NDArray[np.int16]:
    """The HU of a study on another grid."""
    regridded = Regridded(study.hu, study.grid, target)
    whole: npt.NDArray[np.int16] = np.rint(regridded.slab(0, regridded.shape[0])).astype(np.int16)
    return whole


def _classes(study: Study, target: Grid, parts: Sequence[Part]) -> Labels:
    """The class that most of each cell belongs to."""
    shape = (target[0].count, target[1].count, target[2].count)
    found: Labels = np.zeros(shape, np.uint8)
    most: npt.NDArray[np.float32] = np.zeros(shape, np.float32)
    for number in range(len(parts) + 1):
        share = Regridded(np.isin(study.labels, _marks(parts, number)), study.grid, target).slab(0, shape[0])
        if number:
            found[share > most] = number
        np.maximum(most, share, out=most)
    return found


def _marks(parts: Sequence[Part], number: int) -> list[int]:
    """The labels of ``PARTS`` that are class ``number``; where there is no class for lesions, they are of the organ."""
    meant = {label: _class_of(parts, part) for label, part in enumerate(PARTS, start=1)}
    return [label for label in range(len(PARTS) + 1) if meant.get(label, 0) == number]


def _class_of(parts: Sequence[Part], part: Part) -> int:
    organ = part.lesion_of
    if part not in parts and organ is not None:
        part = organ_part(organ)
    return parts.index(part) + 1 if part in parts else 0


def _shape(array: npt.NDArray[Any]) -> tuple[int, int, int]:
    return array.shape[0], array.shape[1], array.shape[2]
