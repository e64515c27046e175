"""How well a whole segmenter does on whole studies that its training did not see, as the node would run it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.phantoms import Phase, draw, render
from models.segmenters.coarse_to_fine import CoarseToFineSegmenter, Found, Look
from models.segmenters.lesions import pieces
from models.segmenters.plan import Plan
from models.segmenters.quality import Limits, RoiQuality, in_order
from models.training import judging
from models.training.cohort import FileSource, PhantomSource, TrainingCase
from models.training.images import read_volume
from models.training.phantom_cohort import volume_of
from models.training.segmenter_cases import PARTS, Labels, of_organs, read_labels
from node.domain.coding import Anatomy
from node.domain.imaging import BoolArray, Volume
from node.domain.parts import Part, lesion_part

OVERLAPS: Final = 0.1
"""The Dice from which a lesion counts as found, not another one."""
_MEASURED: Final = (Part.AORTA, Part.PORTAL_VEIN, Part.LIVER, Part.KIDNEY, Part.SPLEEN)
"""What the phase is read from."""
_ANALYSED: Final = (Phase.PORTAL_VENOUS.value, "cohort")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that looks like a lesion."""

    organ: Anatomy
    quality: RoiQuality
    dice: float
    """With the true lesion that it overlaps most; 0 when it is none."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of one study."""

    case: str
    group: str
    """``portal-venous``, another phase, or ``cohort``."""
    anatomy: Anatomy | None
    """Where its lesions are; None: there are none."""
    score: float
    """How unlike the training it looked."""
    candidates: tuple[Candidate, ...]
    """Largest first."""
    off_hu: dict[str, float]
    """Mean attenuation as measured, less the true one, by part."""
    seconds: float

    @property
    def is_in_phase(self) -> bool:
        """Whether the node would look for lesions in it at all."""
        return self.group in _ANALYSED

    def answer(self, limits: Mapping[Anatomy, Limits], threshold: float) -> Candidate | None:
        """What would be analysed: the largest within ``limits`` of the likelier organ; None when nothing would be."""
        if not self.score <= threshold:
            return None
        plausible = [one for one in self.candidates if not limits[one.organ].faults(one.quality)]
        order = in_order([(one.organ, one.quality) for one in plausible], limits)
        return plausible[order[0]] if order else None


def judge(segmenter: CoarseToFineSegmenter, cases: Sequence[TrainingCase]) -> list[Judged]:
    """Each case, whole and at its own spacing."""
    found = []
    for case in cases:
        volume, labels, group = _study(case)
        began = time.perf_counter()
        look = segmenter.look(volume, tuple(Anatomy))
        seconds = time.perf_counter() - began
        found.append(_judged(case.id, group, look, volume, labels, seconds))
    return found


def _judged(case: str, group: str, look: Look, volume: Volume, labels: Labels, seconds: float) -> Judged:
    truths = {organ: labels == PARTS.index(lesion_part(organ)) + 1 for organ in Anatomy}
    anatomy = max(truths, key=lambda organ: int(truths[organ].sum()))
    return Judged(
        case=case,
        group=group,
        anatomy=anatomy if truths[anatomy].any() else None,
        score=look.score,
        candidates=tuple(Candidate(one.anatomy, one.quality, _dice(one, truths[anatomy])) for one in look.found),
        off_hu=dict(_off(look, volume, labels)),
        seconds=seconds,
    )


def _dice(found: Found, truth: BoolArray) -> float:
    """With the piece of the truth that was found; several lesions are several pieces."""
    if not truth.any():
        return 0.0
    both = [
        2.0 * np.count_nonzero(found.mask[one.box] & one.mask) / (found.voxels + one.voxels) for one in pieces(truth)
    ]
    return float(max(both))


def _off(look: Look, volume: Volume, labels: Labels) -> Iterator[tuple[str, float]]:
    for part in _MEASURED:
        truth = labels == PARTS.index(part) + 1
        if part in look.survey.means_hu and truth.any():
            yield part.value, look.survey.means_hu[part] - float(np.median(volume.hu[truth]))


def _study(case: TrainingCase) -> tuple[Volume, Labels, str]:
    """The volume of a case, the truth on its grid, and its group."""
    if isinstance(case.source, FileSource):
        return read_volume(case.source.image), read_labels(case.source), "cohort"
    volume, labels = phantom(case.source)
    return volume, labels, case.source.wanted.phase.value


def phantom(source: PhantomSource) -> tuple[Volume, Labels]:
    """A whole phantom as the scanner would send it, and the truth."""
    made = render(draw(source.seed, source.wanted))
    return volume_of(made), of_organs(made.organs, made.lesions)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of judged studies of one group."""

    studies: int
    lesions: int
    """Studies with one."""
    dice: judging.Interval
    """The median over studies with a lesion; what is not reported counts as 0."""
    found: judging.Interval
    """The share of studies with a lesion where the largest is reported and overlaps it."""
    false: judging.Interval
    """The share of studies without a lesion where one is reported."""
    strange: judging.Interval
    """The share of studies that are taken for unlike the training."""


def figures(studies: Sequence[Judged], plan: Plan, threshold: float, seed: int) -> Figures:
    """What the node would report of ``studies``."""
    answers = [study.answer(plan.limits, threshold) for study in studies]
    answered = np.array([answer is not None for answer in answers])
    overlap = np.array([answer.dice if answer else 0.0 for answer in answers])
    has = np.array([study.anatomy is not None for study in studies])
    strange = np.array([not study.score <= threshold for study in studies])
    names = [study.case for study in studies]

    def of(values: judging.Statistic) -> judging.Interval:
        return judging.interval(values, names, seed)

    return Figures(
        studies=len(studies),
        lesions=int(has.sum()),
        dice=of(lambda k: float(np.median(overlap[k][has[k]])) if has[k].any() else float("nan")),
        found=of(lambda k: judging.share(overlap[k][has[k]] >= OVERLAPS)),
        false=of(lambda k: judging.share(answered[k][~has[k]])),
        strange=of(lambda k: judging.share(strange[k])),
    )
