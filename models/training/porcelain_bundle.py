"""The finished bundle of PORCELAIN: weights, clinical statistics, threshold, Shapley background, and its card."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from safetensors.torch import save_file

from models.explain.background import FILE, ROWS
from models.networks.en_pct import INPUT
from models.predictors.variants import WINDOWS_HU
from models.training import bundle_writer, judging
from models.training.facts import Facts
from models.training.threshold import youden
from node.domain.prediction import Quantity, TrainingStatus

if TYPE_CHECKING:
    from models.training.porcelain import PorcelainLearner, PorcelainTask

_BACKGROUND: Final = 0xBAC
_FIGURES: Final = ("auc", "accuracy", "sensitivity", "specificity")
_TITLE: Final = "PORCELAIN"
_LIMITS: Final = (
    "- A voxel is a voxel: without resampling, the same lesion looks different at another spacing.",
    "- The window may clip most necrotic voxels.",
    "- Shapley values and maps say what moved this model's output, not what causes a high NTR.",
    "- The NTR is a research biomarker. No trial has shown that acting on a predicted one helps.",
    "- The paper's own figures are of other weights and are not expected performance of these.",
)


def write(folder: Path, task: "PorcelainTask", learner: "PorcelainLearner", facts: Facts) -> None:
    """All of it, into ``folder``."""
    labels, probabilities = _judged(task, facts)
    threshold = youden(labels, probabilities)
    figures = judging.binary(labels, probabilities, threshold)
    lacking = _lacking(task, learner)
    limit = task.options.get("max_imputed")
    max_imputed = max(lacking, default=0) if limit is None else min(int(limit), len(task.schema))
    bundle_writer.prepare_folder(folder)
    _write_background(folder, task, learner, facts)
    bundle_writer.write_weights(folder, learner.network)
    celadon = {
        "predictor": "porcelain",
        "anatomy": "pancreas",
        "algorithm": {"name": "PORCELAIN", "family": "Deep neural network", "manufacturer": "Celadon"},
        "decision": (
            f"A probability of at least {threshold:.3f} is a high NTR; Youden's threshold of the cross-validation."
        ),
        "parameters": {
            "variant": task.variant.name,
            "window_hu": list(task.window_hu),
            "threshold": threshold,
            **({"max_imputed": max_imputed} if task.variant.is_multimodal else {}),
        },
        **({"clinical": learner.entries} if task.variant.is_multimodal else {}),
        "figures": bundle_writer.finite(figures),
        **bundle_writer.reference(facts, (Quantity.NTR_HIGH,)),
    }
    own, start = _own(task, learner), task.options.get("start")
    bundle_writer.write_metadata(folder, bundle_writer.metadata(task.cohort, facts, own, celadon, start))
    bundle_writer.write_card(folder, _card(task, facts, threshold, max_imputed))


def _judged(task: "PorcelainTask", facts: Facts) -> tuple[judging.Labels, judging.Probabilities]:
    """Labels and probabilities of the cases that were judged."""
    labels = np.array([task.cohort.cases[index].label for index in facts.judged], dtype=np.int64)
    return labels, facts.out_of_fold[facts.judged, 0]


def _through_rough(task: "PorcelainTask", facts: Facts) -> judging.Interval:
    """The AUC of the judged cases, each seen through its first rough mask."""
    labels, _ = _judged(task, facts)
    rough = facts.beside[facts.judged, 0]
    patients = [task.cohort.cases[index].patient for index in facts.judged]
    return judging.interval(lambda chosen: judging.binary(labels[chosen], rough[chosen])["auc"], patients, facts.seed)


def _lacking(task: "PorcelainTask", learner: "PorcelainLearner") -> list[int]:
    """How many variables each case of the cohort lacks."""
    if learner.table is None:
        return []
    return [len(learner.table.encode(case.clinical).imputed) for case in task.cohort.cases]


def _write_background(folder: Path, task: "PorcelainTask", learner: "PorcelainLearner", facts: Facts) -> None:
    """Embeddings and columns of up to ``ROWS`` training cases; no identities, and nothing for a unimodal variant."""
    if not task.variant.is_multimodal:
        return
    order = np.random.default_rng((_BACKGROUND, facts.seed)).permutation(facts.trained)[:ROWS].tolist()
    learner.network.eval()
    with torch.no_grad():
        embeddings = torch.cat([learner.embedding(order[at : at + 8]).cpu() for at in range(0, len(order), 8)])
    columns = learner.columns(order)[0].cpu()
    save_file({"embeddings": embeddings.contiguous(), "columns": columns.contiguous()}, folder / FILE)


def _own(task: "PorcelainTask", learner: "PorcelainLearner") -> dict[str, Any]:
    """MONAI's fields that are this model's own."""
    window = f"[{task.window_hu[0]:g}, {task.window_hu[1]:g}] HU"
    reads = "the lesion, 0 outside it" if task.variant.region.is_masked else "the lesion's box"
    inputs: dict[str, Any] = {
        "image": {
            "type": "image",
            "format": "hounsfield",
            "modality": "CT",
            "num_channels": 1,
            "spatial_shape": list(INPUT[1:]),
            "dtype": "float32",
            "value_range": [-10, 10],
            "is_patch_data": False,
            "channel_def": {"0": f"CT window {window}, z-scored over {reads}; axes are rows, columns, slices"},
        }
    }
    if learner.table is not None:
        names = learner.table.columns
        inputs["columns"] = {
            "type": "tabular",
            "format": "prepared",
            "num_channels": len(names),
            "spatial_shape": [],
            "dtype": "float32",
            "value_range": [-10, 10],
            "is_patch_data": False,
            "channel_def": {str(index): name for index, name in enumerate(names)},
        }
    is_phantom = task.cohort.status is TrainingStatus.PHANTOM
    return {
        "required_packages_version": {"pytorch-tabnet": "4.1.0"},
        "name": f"PORCELAIN, {task.variant.name} model ({'trained on phantoms' if is_phantom else 'not validated'})",
        "task": (
            "Probability of a high neutrophil-to-T-cell ratio of a pancreatic ductal adenocarcinoma from "
            "portal-venous CT"
        )
        + (" and clinical variables" if task.variant.is_multimodal else ""),
        "description": "The published architecture with weights trained here, not the authors' weights.",
        "authors": (
            "Whoever trained it with Celadon; architecture after npj Digital Medicine, doi 10.1038/s41746-025-02303-9"
        ),
        "data_type": "CT volume on its own grid with a lesion mask"
        + (", and clinical variables" if task.variant.is_multimodal else ""),
        "image_classes": "single-channel CT in HU, portal-venous phase",
        "pred_classes": "probability of a high NTR",
        "network_data_format": {
            "inputs": inputs,
            "outputs": {
                "pred": {
                    "type": "probabilities",
                    "format": "classes",
                    "num_channels": 1,
                    "spatial_shape": [],
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": False,
                    "channel_def": {"0": "logit of a high NTR"},
                }
            },
        },
    }


def _what_it_is(task: "PorcelainTask") -> str:
    """The first paragraph of the card."""
    window = {ends: name for name, ends in WINDOWS_HU.items()}.get(task.window_hu, "other")
    low, high = task.window_hu
    return (
        "## What it is\n\nThe architecture of PORCELAIN (npj Digital Medicine, doi 10.1038/s41746-025-02303-9) with "
        "weights that are not its authors'. It gives the probability that the neutrophil-to-T-cell ratio (NTR) of a "
        f"pancreatic ductal adenocarcinoma is high, from portal-venous CT. It reads the variant `{task.variant.name}` "
        f"in the window `{window}` ([{low:g}, {high:g}] HU), with 100 x 100 x 30 voxels."
    )


def _card(task: "PorcelainTask", facts: Facts, threshold: float, max_imputed: int) -> list[str]:
    """The model card, from the numbers obtained."""
    clinical = _clinical_paragraph(task, max_imputed) if task.variant.is_multimodal else ""
    return [
        bundle_writer.heading(f"{_TITLE}, {task.variant.name}", task.cohort),
        _what_it_is(task),
        *([clinical] if clinical else []),
        bundle_writer.data(task.cohort, task.labels.names, facts),
        bundle_writer.how(facts, task.options),
        f"## Figures\n\nHeld out ({facts.judged.size} cases). Youden's threshold of {threshold:.3f} was chosen on "
        "these very predictions:\n\n"
        + _figures(task, facts, threshold)
        + "\n\n"
        + bundle_writer.optimistic(facts)
        + _rough_paragraph(task),
        "\n".join(("## Limits\n", f"- {_lost(task)}", *_LIMITS)),
    ]


def _rough_paragraph(task: "PorcelainTask") -> str:
    """What the rough masks of the training are."""
    if not task.rough:
        return ""
    dice = np.concatenate([prepared.read("dice") for prepared in task.prepared])
    return (
        f"\n\nTraining saw each lesion through its own mask and {task.rough} rough one(s), as a segmenter draws them "
        f"(Dice against its own: median {np.median(dice):.2f}, lowest tenth {np.quantile(dice, 0.1):.2f})."
    )


def _lost(task: "PorcelainTask") -> str:
    """What the crop does to lesions."""
    lost = np.array([float(prepared.read("lost")[0]) for prepared in task.prepared])
    known = lost[np.isfinite(lost)]
    if not known.size:
        return "The crop cuts lesions of more than 30 slices or 100 pixels; of phantoms nothing else is rendered."
    return (
        f"The crop cut off part of the lesion in {int((known > 0).sum())} of {known.size} training cases, at most "
        f"{known.max():.0%} of it."
    )


def _clinical_paragraph(task: "PorcelainTask", max_imputed: int) -> str:
    names = ", ".join(what.variable.value for what in task.schema)
    most = (
        "as given to the training"
        if task.options.get("max_imputed") is not None
        else "as many as any case of the cohort lacked"
    )
    return (
        f"## Clinical variables\n\n{len(task.schema)} variables: {names}. Those that fewer than half of the cohort "
        "had, or that were the same in all, were left out. Medians, modes, means and deviations are those of the "
        f"cohort. At most {max_imputed} may be missing, {most}; beyond that the case is refused. The background of "
        f"the Shapley values is {min(ROWS, len(task.cohort.cases))} cases of the cohort, as embeddings and prepared "
        "columns."
    )


def _figures(task: "PorcelainTask", facts: Facts, threshold: float) -> str:
    labels, probabilities = _judged(task, facts)
    patients = [task.cohort.cases[index].patient for index in facts.judged]
    found = judging.intervals(
        lambda chosen: judging.binary(labels[chosen], probabilities[chosen], threshold), patients, facts.seed
    )
    rows = [(name, str(found[name])) for name in _FIGURES]
    if not facts.is_single:
        rows.append(("AUC of each fold", ", ".join(f"{each['auc']:.3f}" for each in facts.fold_figures)))
    if facts.beside.shape[1]:
        rows.append(("AUC through a rough mask", str(_through_rough(task, facts))))
    return bundle_writer.table(("figure", "value (95 % interval)"), rows)
