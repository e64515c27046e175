"""Pictures of several models side by side: ROC curves, radar, confusion, Shapley values, and where a model looked."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from models.evaluation.analysis import SetAnalysis
from models.evaluation.figures import COLOURS, STYLE, draw_confusion, survival
from node.domain.imaging import FloatArray

__all__ = ["confusions", "overlay", "radar", "roc_of_models", "shapley", "survival"]

_MEASURES: Final = ("auc", "accuracy", "sensitivity", "specificity", "f1")
_WINDOW_HU: Final = (-135.0, 215.0)
"""Level 40, width 350."""
_MOST_INPUTS: Final = 20
_LARGEST_ALPHA: Final = 0.55


def roc_of_models(one: SetAnalysis, names: Mapping[str, str]) -> Figure:
    """The positive class' curve of every model."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.2, 5.2), layout="constrained")
        axes = figure.subplots()
    for colour, variant in zip(_colours(len(one.variants)), one.variants, strict=True):
        if (curve := variant.curves[-1]) is not None:
            label = f"{names.get(variant.name, variant.name)} {variant.positive.auc.text(2)}"
            axes.plot(curve.false_positive_rate, curve.true_positive_rate, color=colour, label=label)
    axes.plot((0, 1), (0, 1), color="grey", linewidth=0.8)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(loc="lower right", frameon=False, fontsize=7)
    return figure


def radar(one: SetAnalysis, names: Mapping[str, str]) -> Figure:
    """Five measures of every model; where one has no value its line has a gap."""
    angles = [2 * math.pi * index / len(_MEASURES) for index in range(len(_MEASURES))]
    with rc_context(STYLE):
        figure = Figure(figsize=(6.2, 4.8), layout="constrained")
        axes = figure.add_subplot(projection="polar")
    for colour, variant in zip(_colours(len(one.variants)), one.variants, strict=True):
        found = [getattr(variant.positive, name).value for name in _MEASURES]
        values = [math.nan if value is None else value for value in found]
        axes.plot([*angles, angles[0]], [*values, values[0]], color=colour, label=names.get(variant.name, variant.name))
    axes.set_xticks(angles, ["AUC", "accuracy", "sensitivity", "specificity", "F1"])
    axes.set_ylim(0, 1)
    figure.legend(loc="outside right upper", frameon=False, fontsize=7)
    return figure


def confusions(one: SetAnalysis, names: Mapping[str, str]) -> Figure:
    """Every model's cases by true and called class."""
    columns = min(4, len(one.variants))
    rows = math.ceil(len(one.variants) / columns)
    classes = [name for name, _ in one.classes]
    with rc_context(STYLE):
        figure = Figure(figsize=(2.2 * columns, 2.3 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(one.variants) :]:
        axes.set_axis_off()
    for axes, variant in zip(grid.flat, one.variants, strict=False):
        draw_confusion(axes, variant, classes)
        axes.set_title(names.get(variant.name, variant.name), fontsize=7)
    return figure


def shapley(cases: Sequence[Sequence[tuple[str, float]]]) -> Figure:
    """The mean size of each input's value, and beside it the value in each case; the largest on top."""
    values: dict[str, list[float]] = {}
    for case in cases:
        for name, logits in case:
            values.setdefault(name, []).append(logits)
    ordered = sorted(values, key=lambda name: -float(np.mean(np.abs(values[name]))))[:_MOST_INPUTS][::-1]
    with rc_context(STYLE):
        figure = Figure(figsize=(7.5, 1.2 + 0.24 * len(ordered)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
    left.barh(range(len(ordered)), [float(np.mean(np.abs(values[name]))) for name in ordered], color=COLOURS[0])
    left.set_yticks(range(len(ordered)), [name.replace("_", " ") for name in ordered])
    left.set(xlabel="mean size")
    for row, name in enumerate(ordered):
        right.plot(values[name], [row] * len(values[name]), "o", color=COLOURS[1], alpha=0.5, markersize=3)
    right.axvline(0, color="grey", linewidth=0.8)
    right.set(xlabel="each case; above 0 speaks for high")
    return figure


def overlay(hu: FloatArray, saliency: FloatArray, region: FloatArray) -> Figure:
    """A slice [row, column], the evidence map blended in, and the region's outline."""
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 2.7), layout="constrained")
        plain, blended = figure.subplots(1, 2)
    low, high = _WINDOW_HU
    for axes in (plain, blended):
        axes.imshow(hu, cmap="gray", vmin=low, vmax=high)
        if region.any() and not region.all():
            axes.contour(region, levels=[0.5], colors=[COLOURS[2]], linewidths=0.8)
        axes.set_axis_off()
    blended.imshow(saliency, cmap="inferno", vmin=0, vmax=1, alpha=np.clip(saliency, 0, 1) * _LARGEST_ALPHA)
    return figure


def _colours(number: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(number)]
