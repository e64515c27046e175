"""The card of the segmenter's bundle: what it was trained on, how well it does, what it must not be used for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.segmenters import outliers
from models.segmenters.outliers import Familiar
from models.segmenters.plan import Plan
from models.segmenters.quality import Limits
from models.training import bundle_writer, judging
from models.training.facts import Facts
from models.training.segmenter_judging import OVERLAPS, Figures, Judged, figures
from node.domain.prediction import TrainingStatus

if TYPE_CHECKING:
    from models.training.segmenter import SegmenterTask


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a training found out about its segmenter after the last epoch."""

    plan: Plan
    familiar: Familiar
    fitted_on: int
    """Studies that limits and threshold were fitted on."""
    judged: tuple[Judged, ...]
    """Others."""
    caught: dict[str, float]
    """The share of each kind of stranger that is taken for unlike the training."""


def card(name: str, task: "SegmenterTask", facts: Facts, evidence: Evidence) -> str:
    """Markdown, every number from this training."""
    paragraphs = (
        bundle_writer.heading(name, task.cohort),
        _what(task.plan),
        _data(task),
        bundle_writer.how(facts, task.options),
        _figures(evidence, facts.seed, task.cohort.status),
        _strangers(evidence),
        _limits(evidence.plan),
    )
    return "\n\n".join(paragraphs) + "\n"


def _data(task: "SegmenterTask") -> str:
    return (
        f"## Training data\n\n{task.cohort.origin}. {_kinds(task)} SHA-256 of the cohort's definition: "
        f"`{task.cohort.digest}`."
    )


def _figures(evidence: Evidence, seed: int, status: TrainingStatus) -> str:
    main = [one for one in evidence.judged if one.is_in_phase]
    unseen = (
        "that neither training nor limits have seen"
        if status is TrainingStatus.PHANTOM
        else "that no weight was fitted to, but that stopped the training: the figures are a little too good"
    )
    head = (
        f"## Figures\n\n{len(evidence.judged)} whole studies {unseen}, each at its own spacing; limits and threshold "
        f"were fitted on {evidence.fitted_on} others. Dice is that of the largest lesion reported with what it "
        "overlaps; what is not reported counts as 0. "
        f"Found: a Dice of at least {OVERLAPS:g}. {len(main)} of the studies are of the phase that is analysed; the "
        "first two tables are of those. Intervals: 95 %, bootstrap over studies."
    )
    tables = (_table(main, evidence, seed), _by_organ(main, evidence, seed), _attenuation(evidence.judged))
    return "\n\n".join((head, *tables))


def _strangers(evidence: Evidence) -> str:
    head = (
        "## Images unlike those of training\n\nThe score is a Mahalanobis distance of pooled bottleneck features; "
        f"above {evidence.familiar.threshold:.2f} a series is not analysed: the {outliers.QUANTILE:.0%} quantile "
        "of the studies that limits were fitted on, with room above it, and halfway from there to the nearest stranger "
        "that was made, of other studies, as those below are; ratios count. False alarms among "
        f"the {len(evidence.judged)} others: {_alarms(evidence)}."
    )
    rows = [(name, f"{share:.0%}") for name, share in evidence.caught.items()]
    return f"{head}\n\n" + bundle_writer.table(("made of held-out studies", "caught"), rows)


def _what(plan: Plan) -> str:
    return (
        "## What it is\n\nA coarse network finds organs in the whole series at "
        f"{plan.coarse.spacing_mm:g} mm ({', '.join(plan.coarse.parts)}); a fine one looks at "
        f"{plan.fine.spacing_mm:g} mm into the box around each organ ({', '.join(plan.fine.parts)}). They are "
        "U-Nets that fold 2 x 2 x 2 voxels into channels. The largest plausible lesion is analysed; the others are "
        "listed."
    )


def _kinds(task: "SegmenterTask") -> str:
    """How many cases have lesions, from the prepared arrays."""
    fine = task.plan.fine
    found = Counter(
        tuple(
            fine.meaning[number].value
            for number in np.unique(prepared.read("fine_labels")).tolist()
            if number and fine.meaning[number].lesion_of
        )
        for prepared in task.prepared
    )
    rows = [f"{count} with {', '.join(parts) or 'no lesion'}" for parts, count in sorted(found.items())]
    return "; ".join(rows) + "."


def _table(main: Sequence[Judged], evidence: Evidence, seed: int) -> str:
    found: Figures = figures(main, evidence.plan, evidence.familiar.threshold, seed)
    return bundle_writer.table(
        ("figure", "value (95 % interval)", "studies"),
        (
            ("median Dice of the lesion", str(found.dice), str(found.lesions)),
            ("lesion found", str(found.found), str(found.lesions)),
            ("lesion reported where there is none", str(found.false), str(found.studies - found.lesions)),
        ),
    )


def _by_organ(main: Sequence[Judged], evidence: Evidence, seed: int) -> str:
    rows = []
    for organ in sorted({one.anatomy for one in main if one.anatomy is not None}, key=lambda anatomy: anatomy.key):
        found = figures([one for one in main if one.anatomy is organ], evidence.plan, evidence.familiar.threshold, seed)
        rows.append((organ.key, str(found.dice), str(found.found), str(found.studies)))
    return bundle_writer.table(("organ", "median Dice", "found", "studies"), rows)


def _attenuation(studies: Sequence[Judged]) -> str:
    """How far measured means are from true medians, in all phases: what the phase is read from."""
    parts = dict.fromkeys(part for one in studies for part in one.off_hu)
    rows = []
    for part in parts:
        off = np.abs([one.off_hu[part] for one in studies if part in one.off_hu])
        rows.append((part, f"{np.median(off):.1f}", f"{off.max():.1f}", f"{off.size} of {len(studies)}"))
    return bundle_writer.table(("attenuation, HU off the truth", "median", "worst", "measured"), rows)


def _alarms(evidence: Evidence) -> str:
    found = [evidence.familiar.is_unlike(one.score) for one in evidence.judged]
    return f"{sum(found)} ({judging.share(np.array(found)):.1%})"


def _limits(plan: Plan) -> str:
    each = "\n".join(_of_organ(organ.key, limits) for organ, limits in plan.limits.items())
    return (
        "## Limits\n\n"
        f"- A voxel belongs to a lesion from a probability of {plan.probability:g} on.\n"
        f"{each}\n"
        "- It has learnt two organs and one kind of lesion in each; whatever else a patient has, it has never seen.\n"
        "- A score of a distance is no proof: images may be familiar to it and still be read wrongly."
    )


def _of_organ(organ: str, limits: Limits) -> str:
    chance = limits.chance
    return (
        f"- In the {organ} a lesion is left out below {limits.least_ml:g} mL or above {limits.most_ml:g} mL, with "
        f"more than {limits.most_components} pieces, at the edge of what was searched, with a mean entropy above "
        f"{limits.most_entropy:g}, or with a chance of being one below {limits.least_chance:g}: the logit of that is "
        f"{chance.intercept:g} {chance.of_logit:+g} x the logit of the mean probability {chance.of_log_ml:+g} x the "
        "natural logarithm of the volume in mL."
    )
