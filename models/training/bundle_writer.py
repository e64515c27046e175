"""What every trained bundle has: weights, metadata with MONAI's fields and ours, and a card of the numbers obtained."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save_model
from torch import nn

from models.bundle_files import CARD, METADATA
from models.training.cohort import Cohort
from models.training.facts import Facts
from models.training.starting import taught
from node.domain.drift import Histogram
from node.domain.prediction import Quantity, TrainingStatus

WEIGHTS: Final = "models/model.safetensors"
VERSION: Final = "1.0.0"
DISCLAIMERS: Final = {
    TrainingStatus.PHANTOM: "trained on phantoms, not on patients: for tests only",
    TrainingStatus.UNVALIDATED: "not validated: for research only",
}
"""What every object says of a bundle that was trained here. No training validates itself."""
_BEFORE: Final = ". Before: "
"""Between what weights have learnt from last and what before."""
_INDENT: Final = 4
_LENGTH_BYTES: Final = 8
"""Of the length of a safetensors header, which is padded to a multiple of it."""
_TENTHS: Final = tuple(number / 10 for number in range(11))


def prepare_folder(folder: Path) -> None:
    """The folders of a bundle."""
    for name in ("configs", "docs", "models"):
        (folder / name).mkdir(parents=True, exist_ok=True)


def write_weights(folder: Path, network: nn.Module) -> None:
    """Weights and BatchNorm statistics as fp32 safetensors; tensors with two names are stored once.

    The same network gives the same bytes: the library lists the second names in another order every time.
    """
    file = folder / WEIGHTS
    save_model(network.cpu().eval(), str(file))
    content = file.read_bytes()
    end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    header = json.loads(content[_LENGTH_BYTES:end])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // _LENGTH_BYTES) * _LENGTH_BYTES)
    file.write_bytes(len(text).to_bytes(_LENGTH_BYTES, "little") + text + content[end:])


def write_metadata(folder: Path, metadata: Mapping[str, Any]) -> None:
    """``configs/metadata.json``; numbers that are not finite have no place in it."""
    text = json.dumps(dict(metadata), indent=_INDENT, ensure_ascii=False, allow_nan=False)
    (folder / METADATA).write_text(text + "\n", encoding="utf-8")


def write_card(folder: Path, paragraphs: Sequence[str]) -> None:
    """``docs/README.md``."""
    (folder / CARD).write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")


def data_source(cohort: Cohort, start: Path | None) -> str:
    """What the weights have learnt from: the cohort, and what those learnt from that the training began with."""
    said = (cohort.origin, taught(start))
    return _BEFORE.join(dict.fromkeys(one for text in said if text for one in text.split(_BEFORE)))


def metadata(
    cohort: Cohort, facts: Facts, own: Mapping[str, Any], celadon: Mapping[str, Any], start: Path | None = None
) -> dict[str, Any]:
    """The fields that every bundle has, those of a task (``own``), and our section; ``start``: as the task has it."""
    versions = facts.versions
    return {
        "version": VERSION,
        "changelog": {VERSION: "Trained; see docs/README.md for on what and with what result"},
        "monai_version": versions["monai"],
        "pytorch_version": versions["torch"],
        "numpy_version": versions["numpy"],
        "intended_use": _intended_use(cohort.status),
        "data_source": data_source(cohort, start),
        "copyright": (
            "The weights belong to whoever trained them; the architecture's code is the Celadon authors', Apache-2.0"
        ),
        **own,
        "celadon": {
            "status": cohort.status.value,
            "disclaimer": DISCLAIMERS[cohort.status],
            "weights": {"file": WEIGHTS},
            **celadon,
            "training": {
                **facts.as_dict(),
                "cases": len(cohort.cases),
                "patients": cohort.patients,
                "cohort_sha256": cohort.digest,
            },
        },
    }


def reference(facts: Facts, quantities: Sequence[Quantity]) -> dict[str, Any]:
    """What monitoring holds the scores of the bundle to: the judged cases', each by a network that had not seen it.

    ``quantities``: what each column of ``out_of_fold`` is the probability of. Nothing where no case was judged.
    """
    if not facts.judged.size:
        return {}
    scores = {}
    for column, quantity in enumerate(quantities):
        made = Histogram.of([float(one) for one in facts.out_of_fold[facts.judged, column]], _TENTHS)
        scores[quantity.name] = {"edges": list(made.edges), "counts": list(made.counts)}
    return {"reference": {"from": "out-of-fold scores of the training cohort", "scores": scores}}


def finite(figures: Mapping[str, float], digits: int = 4) -> dict[str, float | None]:
    """Figures for JSON: rounded, None where one has no meaning."""
    return {name: round(value, digits) if math.isfinite(value) else None for name, value in figures.items()}


def heading(title: str, cohort: Cohort) -> str:
    """The top of a card."""
    if cohort.status is TrainingStatus.PHANTOM:
        says = (
            "**Trained on phantoms, not on patients: for tests only.** It has learnt what synthetic images with known "
            "answers show. Its figures say that the chain from images to results works; they say nothing about "
            "patients."
        )
        return f"# {title}: trained on phantoms\n\n{says}"
    says = (
        "**Not validated: for research only.** Nobody has tested it on patients whom its training did not know. Its "
        "figures below come from held-out cases of its own cohort."
    )
    return f"# {title}: not validated\n\n{says}"


def data(cohort: Cohort, names: tuple[str, ...], facts: Facts) -> str:
    """What it was trained on."""
    classes = ", ".join(f"{count} {name}" for name, count in cohort.counts(names).items())
    centres = ", ".join(f"{name or 'not named'} {count}" for name, count in cohort.centres.items())
    left_out = f" {facts.dropped} phantoms whose lesion shows on no slice were left out." if facts.dropped else ""
    return (
        f"## Training data\n\n{cohort.origin}. {len(cohort.cases)} cases of {cohort.patients} patients ({classes}); "
        f"cases by centre: {centres}.{left_out} SHA-256 of the cohort's definition: `{cohort.digest}`."
    )


def how(facts: Facts, options: Mapping[str, Any]) -> str:
    """How it was trained, enough to do it again; ``options``: of the task."""
    hyper = ", ".join(f"{name} {value}" for name, value in facts.hyper.in_use().items())
    searched = (
        f" The hyper-parameters are the best of {facts.searched} that were compared on these very folds, which "
        "flatters the figures."
        if facts.searched
        else ""
    )
    began = _began(options.get("start"))
    if only := options.get("only"):
        began += f" Only the {only} network was trained."
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    return (
        f"## Training\n\nSeed {facts.seed}; {hyper}.{began} {_runs(facts)} BatchNorm's statistics were taken anew "
        f"afterwards.{searched} Computed on {facts.device} with {facts.threads} threads; {versions}."
    )


def _began(start: Path | None) -> str:
    if start is None:
        return ""
    before = taught(start)
    return f" It began from the weights of an earlier training{f' ({before})' if before else ''}."


def _runs(facts: Facts) -> str:
    """Which runs there were."""
    folds = int(facts.folds.max()) + 1
    split = f"{folds} folds, stratified by class, no patient in two"
    if facts.is_single:
        return (
            f"One run on {facts.trained.size} cases, stopped by the first of {split}; the weights here are those of "
            f"epoch {facts.final_epochs}."
        )
    return (
        f"Cross-validation in {split}; best epochs {', '.join(map(str, facts.best_epochs))}. The weights here are of "
        f"a last run on all cases for {facts.final_epochs} epochs, the median of those."
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join((*lines, *("| " + " | ".join(row) + " |" for row in rows)))


def optimistic(facts: Facts) -> str:
    """What stands under every table of held-out figures."""
    judged = (
        "The cases of the first fold were judged by the network in this bundle, which has not been trained on them. "
        "They stopped its training, so the figures are somewhat optimistic."
        if facts.is_single
        else "Each case was judged by the network that had not seen its patient. The same held-out cases stopped the "
        "training of that network, so the figures are somewhat optimistic; the network in this bundle, trained on "
        "all cases, has not been judged by any."
    )
    return f"{judged} Intervals: 95 %, bootstrap over patients."


def _intended_use(status: TrainingStatus) -> str:
    if status is TrainingStatus.PHANTOM:
        return (
            "Testing the whole chain with a model that has learnt something. Not for clinical use, not for "
            "research on patients."
        )
    return "Research. Not for clinical use: no study has validated it."
