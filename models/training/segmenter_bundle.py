"""The finished bundle of the segmenter: weights, what familiar images look like, limits, and the card of the figures.

What is fitted beside the weights is fitted on phantoms that stopped nothing and taught nothing (of a cohort there are
none: on cases that stopped the training); the figures are of others again, by the very bundle's weights and limits,
each study whole and as the scanner would send it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression

from models.preprocessing.regrid import grid_of
from models.segmenters import outliers, packaging
from models.segmenters.coarse_to_fine import CoarseToFineSegmenter
from models.segmenters.outliers import Familiar
from models.segmenters.packaging import About
from models.segmenters.quality import MEAN_PROBABILITY, Chance, Limits, measures
from models.training import bundle_writer, judging
from models.training.facts import Facts
from models.training.segmenter_card import Evidence, card
from models.training.segmenter_judging import OVERLAPS, Candidate, Judged, judge
from models.training.strangers import STRANGERS, strange
from node.domain.coding import Anatomy
from node.domain.prediction import TrainingStatus

if TYPE_CHECKING:
    from models.training.cohort import TrainingCase
    from models.training.segmenter import SegmenterLearner, SegmenterTask

NAME: Final = "Celadon segmenter"
_SLACK: Final = 0.9
"""Of the least sure lesion that was right, where nothing wrong was found to part it from."""
_PENALTY: Final = 1.0
"""Of the regression, inverse: the studies are few."""
_EVEN: Final = 0.5
_LOOSE: Final = Limits(
    least_ml=0.0,
    most_ml=1e6,
    most_components=10**6,
    may_touch_edge=True,
    chance=MEAN_PROBABILITY,
    least_chance=0.0,
    most_entropy=1.0,
)
_ROOM: Final = 1.2
"""By which the threshold of the score is above a quantile of a few studies at least: it is hardly their highest."""
_FAMILIAR_OF: Final = 1024
"""Studies of the training that say what images of it look like: sixteen for each feature."""
_STRANGERS_OF: Final = 24
"""Of so many held-out studies strangers are made, of every other one for the threshold, of the rest to be caught."""
_HALVES: Final = 0x5E8


def write(
    folder: Path,
    task: "SegmenterTask",
    learner: "SegmenterLearner",
    facts: Facts,
    held_out: Sequence["TrainingCase"],
) -> None:
    """All of it, into the empty ``folder``; half of ``held_out`` fits the limits, the other half gives the figures."""
    evidence = _evidence(task, learner, facts, held_out)
    _fill(learner, evidence.familiar)
    words = card(NAME, task, facts, evidence)
    packaging.write(folder, learner.network, evidence.plan, task.widths, _about(task, words))


def _evidence(
    task: "SegmenterTask",
    learner: "SegmenterLearner",
    facts: Facts,
    held_out: Sequence["TrainingCase"],
) -> Evidence:
    loose = replace(task.plan, limits=dict.fromkeys(Anatomy, _LOOSE))
    with TemporaryDirectory() as place:

        def made(name: str) -> CoarseToFineSegmenter:
            folder = Path(place) / name
            digest = packaging.write(folder, learner.network, loose, task.widths, _about(task, ""))
            return CoarseToFineSegmenter("training", folder, digest)

        segmenter = made("unscored")
        known_well = facts.trained.tolist()[:_FAMILIAR_OF]
        familiar = outliers.fit(np.stack([_features(segmenter, task, index) for index in known_well]))
        _fill(learner, familiar)
        segmenter = made("scored")
        segmenter.warm()
        fitted, judged = (judge(segmenter, half) for half in halves(held_out, facts.seed))
        made_of = facts.judged.tolist()[:_STRANGERS_OF]
        strangers = [_strange(segmenter, task, index, name) for name in STRANGERS for index in made_of[1::2]]
        known = outliers.calibrated(
            familiar, [one.score for one in fitted], [*map(familiar.score, strangers)], room=_ROOM
        )
        caught = {name: _caught(segmenter, task, made_of[::2], name, known) for name in STRANGERS}
    plan = replace(task.plan, limits=fit_limits([one for one in fitted if one.is_in_phase], task.plan.limits))
    return Evidence(plan, known, len(fitted), tuple(judged), caught)


def halves(cases: Sequence["TrainingCase"], seed: int) -> tuple[list["TrainingCase"], list["TrainingCase"]]:
    """Those for the limits and those for the figures, drawn by lot.

    Every other one would not do: kinds and stages of phantoms repeat with a period, and one half would have all of T1.
    """
    drawn = np.random.default_rng((_HALVES, seed)).permutation(len(cases))
    first, second = ([cases[index] for index in sorted(drawn[part::2].tolist())] for part in (0, 1))
    return first, second


def fit_limits(studies: Sequence[Judged], begin: Mapping[Anatomy, Limits]) -> dict[Anatomy, Limits]:
    """Limits of chance and entropy for each organ: a region counts that is a lesion more probably than not.

    So a wrong answer is as bad as a right one is good. Where nothing wrong was seen the mean probability is the chance.
    """
    return {organ: _fitted(studies, organ, limits) for organ, limits in begin.items()}


def _fitted(studies: Sequence[Judged], organ: Anatomy, begin: Limits) -> Limits:
    seen = [one for study in studies for one in study.candidates if one.organ is organ]
    right = [one.quality for one in seen if _is_right(one)]
    if not right:
        return begin
    most = max(begin.most_entropy, max(quality.entropy for quality in right) / _SLACK)
    limits = replace(begin, most_entropy=round(min(most, 1.0), 3))
    # What another limit refuses anyway says nothing about this one; but small regions say what small ones mostly are.
    seen = [one for one in seen if not replace(limits, least_chance=0.0, least_ml=0.0).faults(one.quality)]
    truth = [_is_right(one) for one in seen]
    if all(truth):
        sure = min((one.quality.probability for one in seen), default=1.0)
        return replace(limits, least_chance=round(min(begin.least_chance, _SLACK * sure), 3))
    if not any(truth):
        return limits
    found = LogisticRegression(C=_PENALTY).fit([measures(one.quality) for one in seen], truth)
    intercept, (sure, volume) = float(found.intercept_[0]), found.coef_[0].tolist()
    return replace(limits, chance=Chance(round(intercept, 3), round(sure, 3), round(volume, 3)), least_chance=_EVEN)


def _is_right(candidate: Candidate) -> bool:
    return candidate.dice >= OVERLAPS


def _features(segmenter: CoarseToFineSegmenter, task: "SegmenterTask", index: int) -> npt.NDArray[np.float64]:
    hu = task.prepared[index].read("coarse")
    step = task.plan.coarse.spacing_mm
    return segmenter.survey(hu, grid_of((hu.shape[0], hu.shape[1], hu.shape[2]), (step, step, step))).features


def _caught(
    segmenter: CoarseToFineSegmenter, task: "SegmenterTask", cases: Sequence[int], name: str, known: Familiar
) -> float:
    """The share of strangers, made of cases that stopped the training, that are taken for such."""
    flags = [known.is_unlike(known.score(_strange(segmenter, task, index, name))) for index in cases]
    return judging.share(np.array(flags, dtype=np.bool_))


def _strange(segmenter: CoarseToFineSegmenter, task: "SegmenterTask", index: int, name: str) -> npt.NDArray[np.float64]:
    """The features of a stranger."""
    step = task.plan.coarse.spacing_mm
    hu = strange(name, task.prepared[index].read("coarse"))
    grid = grid_of((hu.shape[0], hu.shape[1], hu.shape[2]), (step, step, step))
    return segmenter.survey(hu, grid).features


def _fill(learner: "SegmenterLearner", familiar: Familiar) -> None:
    finite = (
        familiar if np.isfinite(familiar.threshold) else replace(familiar, threshold=float(np.finfo(np.float32).max))
    )
    state = {name: torch.from_numpy(value) for name, value in finite.tensors().items()}
    learner.network.load_state_dict(learner.network.state_dict() | state)


def _about(task: "SegmenterTask", words: str) -> About:
    status = task.cohort.status
    is_phantom = status is TrainingStatus.PHANTOM
    return About(
        name=NAME,
        version=bundle_writer.VERSION,
        status=status,
        disclaimer=bundle_writer.DISCLAIMERS[status],
        data_source=bundle_writer.data_source(task.cohort, task.start),
        description="Small 3-D U-Nets: organs of the abdomen, then lesions of pancreas and stomach.",
        intended_use=(
            "Testing the whole chain with a model that has learnt something. Not for clinical use, not for research on "
            "patients."
            if is_phantom
            else "Research. Not for clinical use: no study has validated it."
        ),
        card=words,
    )
