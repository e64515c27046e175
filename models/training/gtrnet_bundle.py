"""The finished bundle of GTRNet: weights (as they are, or embedded in a ResNet-152), Rad-score, nomogram, card."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from torch import nn

from models.fields import Fields
from models.networks.gtrnet import CLASSES, INPUT, GtrNet, embed
from models.networks.two_stream import TwoStreamGtrNet
from models.predictors.nomogram import NomogramModel, Size, answers_from
from models.training import bundle_writer, judging
from models.training.facts import Facts
from models.training.recalibration import fit_thresholds
from node.domain.prediction import Quantity, TrainingStatus
from node.errors import UsageError

if TYPE_CHECKING:
    from models.training.gtrnet import GtrnetLearner, GtrnetTask

RADSCORE: Final = "models/radscore.safetensors"
NOMOGRAM: Final[dict[str, Any]] = {
    "thresholds": [-3.2, -1.17, 1.24],
    "thresholds_from": "published",
    "radscore_axis_sd": [-3, 3],
    "terms": {"radscore": 0.87, "size_large": 0.69, "moderate": 0.22, "poor": 1.15, "mixed": -0.08, "diffuse": 1.06},
}
"""Table 3 of the paper."""
_FIGURES: Final = ("auc", "accuracy", "kappa")
_NAMES: Final = ("T1", "T2", "T3", "T4")
_WHAT: Final = {
    "small": "a bottleneck ResNet with one block a stage (8.0 million parameters): not the published network",
    "small-two-stream": (
        "a bottleneck ResNet with one block a stage (8.0 million parameters) and the two streams that the paper "
        "draws: not the published network"
    ),
    "plain": "a plain ResNet-152, the architecture that fits the published checkpoint",
    "two-stream": "the two-stream ResNet-152 that the paper draws",
}
_DECISION: Final = (
    "Each slice votes for its most probable category; the majority decides, a tie goes to the category with the "
    "highest mean probability."
)
_EMBEDDED_AS: Final = {"small": "plain", "small-two-stream": "two-stream"}
_EMBEDDED: Final = (
    "a ResNet-152 in which a trained network of one block a stage is embedded: every other block is the identity, so "
    "it computes what the small network computes"
)
_FIGURES_HEAD: Final = (
    "by vote of three slices; AUC is the macro average of one against the rest, from the mean probabilities; kappa is "
    "weighted quadratically:\n\n"
)
_LIMITS: Final = (
    "## Limits\n\n"
    "- 224 pixels over a field of 380 mm are 1.7 mm a pixel. The layers of the gastric wall are near or below that.\n"
    "- A person, or another program, must mark the lesion: the network chooses no slice itself.\n"
    "- T4a and T4b are one class. The category is an image's guess at a pathological category.\n"
    "- The paper's internal figures come from a split by slice with the same patients on both sides. They are of other "
    "weights and are not expected performance of these."
)
BESIDE_MM: Final = 5.0
"""How far from the key slice the slices lie that a training with rough masks sees as well."""


def write(folder: Path, task: "GtrnetTask", learner: "GtrnetLearner", facts: Facts) -> None:
    """All of it, into ``folder``."""
    bundle_writer.prepare_folder(folder)
    figures = judging.ordinal(*_judged(task, facts))
    sections, radscore = _radscore(folder, task, learner, facts)
    is_embedded = bool(task.options.get("embed"))
    network = _embedded(learner.network) if is_embedded else learner.network
    bundle_writer.write_weights(folder, network)
    celadon = {
        "predictor": "gtrnet",
        "anatomy": "stomach",
        "algorithm": {"name": "GTRNet", "family": "Deep neural network", "manufacturer": "Celadon"},
        "decision": _DECISION,
        "parameters": {"variant": _EMBEDDED_AS[task.variant] if is_embedded else task.variant, **_profile(task)},
        **sections,
        "figures": bundle_writer.finite(figures),
        **bundle_writer.reference(facts, (Quantity.T1, Quantity.T2, Quantity.T3, Quantity.T4)),
    }
    what = _EMBEDDED if is_embedded else _WHAT[task.variant]
    start = task.options.get("start")
    bundle_writer.write_metadata(folder, bundle_writer.metadata(task.cohort, facts, _own(task, what), celadon, start))
    bundle_writer.write_card(folder, _card(task, facts, what, radscore))


def _profile(task: "GtrnetTask") -> dict[str, Any]:
    from models.training.gtrnet import PROFILES  # noqa: PLC0415  the task imports this module

    return dict(PROFILES[task.profile])


def _embedded(small: nn.Module) -> GtrNet:
    """The ResNet-152 that computes what ``small`` computes."""
    full = TwoStreamGtrNet() if isinstance(small, TwoStreamGtrNet) else GtrNet()
    full.load_state_dict(embed(small.cpu().state_dict()))
    return full


def _radscore(folder: Path, task: "GtrnetTask", learner: "GtrnetLearner", facts: Facts) -> tuple[dict[str, Any], str]:
    """The sections ``radscore`` and ``nomogram``, and what the card says; no sections where no score can be fitted."""
    try:
        score = task.radscore(learner, facts.trained.tolist())
    except (UsageError, ValueError) as error:
        return {}, f"There is no Rad-score, and so no nomogram: {error}."
    score.save(folder / RADSCORE)
    count = int(np.count_nonzero(score.coefficients))
    nomogram, says = _nomogram(task, facts)
    fitted = (
        "The Rad-score is a LASSO over the 2048 penultimate features of the key slices, fitted to the T category of "
        f"the training cases; {count} coefficients are not zero. 1 is one SD of the training cases, whom the network "
        "knows: of new patients the scores lie closer together."
    )
    return {"radscore": {"file": RADSCORE}, "nomogram": nomogram}, f"{fitted} {says}"


def _nomogram(task: "GtrnetTask", facts: Facts) -> tuple[dict[str, Any], str]:
    """Table 3 with intercepts of this cohort, from held-out scores; the published ones where they cannot be fitted."""
    model = NomogramModel.read(Fields(Path("nomogram"), NOMOGRAM))
    scores = facts.beside[:, 0]
    known = np.flatnonzero(np.isfinite(scores))
    categories = np.array([task.cohort.cases[index].label + 1 for index in known], dtype=np.int64)
    etas = np.array([_eta(task, model, index, float(scores[index])) for index in known])
    try:
        thresholds = fit_thresholds(etas, categories)
    except UsageError as error:
        return NOMOGRAM, f"The nomogram is Table 3 of the paper as published; intercepts of this cohort: {error}."
    section = {**NOMOGRAM, "thresholds": list(thresholds), "thresholds_from": "recalibrated"}
    shown = ", ".join(f"{each:.2f}" for each in thresholds)
    return section, (
        f"The nomogram has the odds ratios of Table 3 of the paper and intercepts of this cohort ({shown}), fitted to "
        "out-of-fold Rad-scores; the published ones, -3.20, -1.17 and 1.24, fit centred covariates of another case mix."
    )


def _eta(task: "GtrnetTask", model: NomogramModel, index: int, radscore: float) -> float:
    """The sum of the nomogram's terms for a case; the middle of what it can be where something is unknown."""
    millimetres, is_lower_bound = task.prepared[index].read("diameter").tolist()
    is_known = bool(np.isfinite(millimetres))
    region = Size(millimetres if is_known else 0.0, "region", is_lower_bound=not is_known or bool(is_lower_bound))
    etas = model.etas(answers_from(task.cohort.cases[index].clinical, radscore, region))
    return float(np.mean(etas))


def _own(task: "GtrnetTask", what: str) -> dict[str, Any]:
    """MONAI's fields that are this model's own."""
    is_published = task.profile == "published-checkpoint"
    channels = (
        [f"{colour}, ImageNet-normalised" for colour in ("red", "green", "blue")]
        if is_published
        else ["grey, mean 0 and deviation 1"] * INPUT[0]
    )
    is_phantom = task.cohort.status is TrainingStatus.PHANTOM
    return {
        "required_packages_version": {"pillow": "11", "scipy": "1.17"},
        "name": f"GTRNet ({'trained on phantoms' if is_phantom else 'not validated'})",
        "task": "T category of gastric cancer, T1 to T4, from three portal-venous CT slices",
        "description": f"{what[0].upper()}{what[1:]}. Weights trained here, not the authors' weights.",
        "authors": (
            "Whoever trained it with Celadon; architecture after npj Digital Medicine, doi 10.1038/s41746-025-02002-5"
        ),
        "data_type": "CT volume on its own grid with a lesion mask that chooses the slices",
        "image_classes": "CT slices, abdominal window",
        "pred_classes": ", ".join(_NAMES),
        "network_data_format": {
            "inputs": {
                "slices": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": "CT",
                    "num_channels": INPUT[0],
                    "spatial_shape": list(INPUT[1:]),
                    "dtype": "float32",
                    "value_range": [-2.12, 2.64] if is_published else [-10, 10],
                    "is_patch_data": False,
                    "channel_def": {str(index): channel for index, channel in enumerate(channels)},
                }
            },
            "outputs": {
                "pred": {
                    "type": "probabilities",
                    "format": "classes",
                    "num_channels": CLASSES,
                    "spatial_shape": [],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {str(index): f"logit of {name}" for index, name in enumerate(_NAMES)},
                }
            },
        },
    }


def _card(task: "GtrnetTask", facts: Facts, what: str, radscore: str) -> list[str]:
    """The model card, from the numbers obtained."""
    return [
        bundle_writer.heading("GTRNet", task.cohort),
        _what_it_is(task, what),
        bundle_writer.data(task.cohort, task.labels.names, facts),
        bundle_writer.how(facts, task.options),
        f"## Figures\n\nHeld out ({facts.judged.size} cases), {_FIGURES_HEAD}"
        + _figures(task, facts)
        + "\n\n"
        + _confusion(task, facts)
        + "\n\n"
        + bundle_writer.optimistic(facts)
        + _rough_paragraph(task),
        f"## Rad-score and nomogram\n\n{radscore}",
        _LIMITS,
    ]


def _what_it_is(task: "GtrnetTask", what: str) -> str:
    """The first paragraph of the card."""
    return (
        f"## What it is\n\nFor GTRNet (npj Digital Medicine, doi 10.1038/s41746-025-02002-5): {what}. Weights trained "
        f"here, not its authors'. Preprocessing: the chain `{task.profile}`. Three slices vote: the one with the "
        "largest area of the lesion and its two native neighbours; a tie goes to the category with the highest mean "
        "probability."
    )


def _judged(task: "GtrnetTask", facts: Facts) -> tuple[judging.Labels, judging.Probabilities, judging.Labels]:
    """Labels, mean probabilities and voted classes of the cases that were judged."""
    labels = np.array([task.cohort.cases[index].label for index in facts.judged], dtype=np.int64)
    said = facts.out_of_fold[facts.judged]
    return labels, said[:, :CLASSES], said[:, CLASSES].astype(np.int64)


def _rough_paragraph(task: "GtrnetTask") -> str:
    """What the rough masks of the training are."""
    if not task.rough:
        return ""
    return (
        f"\n\nTraining saw the voting slices, and {task.rough} slice(s) a case up to {BESIDE_MM:g} mm from it, as the "
        "mask of a segmenter may choose."
    )


def _figures(task: "GtrnetTask", facts: Facts) -> str:
    labels, probabilities, called = _judged(task, facts)
    patients = [task.cohort.cases[index].patient for index in facts.judged]
    found = judging.intervals(
        lambda chosen: judging.ordinal(labels[chosen], probabilities[chosen], called[chosen]), patients, facts.seed
    )
    rows = [(name, str(found[name])) for name in _FIGURES]
    if not facts.is_single:
        rows.append(("accuracy of each fold", ", ".join(f"{each['accuracy']:.3f}" for each in facts.fold_figures)))
    return bundle_writer.table(("figure", "value (95 % interval)"), rows)


def _confusion(task: "GtrnetTask", facts: Facts) -> str:
    """True categories down, called ones across."""
    labels, _, called = _judged(task, facts)
    counts = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    np.add.at(counts, (labels, called), 1)
    rows = [(name, *map(str, row)) for name, row in zip(_NAMES, counts.tolist(), strict=True)]
    return bundle_writer.table(("true", *(f"called {name}" for name in _NAMES)), rows)
