"""The report's pictures, by matplotlib, without a display: figures that a page takes as SVG and a paper as PNG.

Colours are those of Okabe & Ito, which people who see no red or green can tell apart; dashes tell them apart in grey.
"""

import io
from collections.abc import Sequence
from itertools import cycle
from typing import Final

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.evaluation.analysis import SurvivalAnalysis, VariantAnalysis
from models.evaluation.calibration import Calibration
from models.evaluation.decision import DecisionCurve
from models.evaluation.subgroups import Subgroups
from models.evaluation.survival import Arm

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES: Final = ("-", "--", "-.", ":")
_SIZE: Final = (5.2, 4.2)
_DPI: Final = 160
_TWO: Final = 2
_DARK: Final = 0.5
"""From this share on a cell is too dark for black letters."""
STYLE: Final = {
    "svg.fonttype": "none",  # letters stay letters: they can be read aloud and searched
    "svg.hashsalt": "celadon",  # the same figure gives the same bytes
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def svg(figure: Figure) -> str:
    """The figure as one ``<svg>`` element."""
    stream = io.StringIO()
    with rc_context(STYLE):
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = stream.getvalue()
    return text[text.index("<svg") :]


def png(figure: Figure) -> bytes:
    """The figure as a picture."""
    stream = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    return stream.getvalue()


def roc_curves(variant: VariantAnalysis, classes: Sequence[str]) -> Figure:
    """Each class against the rest, with its area."""
    figure, axes = _axes("1 \N{MINUS SIGN} specificity", "sensitivity")
    shown = variant.curves if len(classes) > _TWO else (None, *variant.curves[1:])
    for (colour, dash), name, curve, found in zip(_styles(), classes, shown, variant.figures.classes, strict=False):
        if curve is not None:
            label = f"{name}: {found.auc.text(2)}"
            axes.plot(curve.false_positive_rate, curve.true_positive_rate, dash, color=colour, label=label)
    _diagonal(axes)
    axes.legend(loc="lower right", frameon=False)
    return figure


def confusion(variant: VariantAnalysis, classes: Sequence[str]) -> Figure:
    """Numbers of cases, shaded by their share of the true class."""
    figure, axes = _axes("called", "true")
    draw_confusion(axes, variant, classes)
    return figure


def draw_confusion(axes: Axes, variant: VariantAnalysis, classes: Sequence[str]) -> None:
    """The same on axes that are there."""
    axes.set(xlabel="called", ylabel="true")
    counts = np.array(variant.figures.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > _DARK else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)


def calibration(name: str, found: Calibration) -> Figure:
    """The smoothed curve with the share observed in groups of equal size."""
    figure, axes = _axes(f"predicted probability of {name}", "observed share")
    _diagonal(axes)
    axes.plot(found.predicted, found.observed, color=COLOURS[0], label="lowess")
    predicted, observed, _ = zip(*found.binned, strict=True)
    axes.plot(predicted, observed, "o", color=COLOURS[1], label="tenths of the cases")
    axes.legend(loc="upper left", frameon=False)
    return figure


def decision(found: DecisionCurve) -> Figure:
    """Net benefit along the threshold."""
    figure, axes = _axes("threshold probability", "net benefit")
    for (colour, dash), line in zip(_styles(), (found.model, found.everyone, *found.readers), strict=False):
        axes.plot(found.thresholds, line.benefit, dash, color=colour, label=line.name)
    low, high = (np.array(ends, dtype=np.float64) for ends in (found.model.low, found.model.high))
    axes.fill_between(found.thresholds, low, high, color=COLOURS[0], alpha=0.15, linewidth=0)
    axes.axhline(0, color="grey", linewidth=0.8, label="treat none")
    axes.set_ylim(-0.05, max(found.prevalence * 1.1, 0.1))
    axes.legend(loc="lower left", frameon=False)
    return figure


def survival(found: SurvivalAnalysis) -> Figure:
    """Kaplan-Meier curves by what was called."""
    return kaplan_meier(found.arms, found.follow_up, "called ")


def kaplan_meier(arms: Sequence[Arm], follow_up: str, before: str = "") -> Figure:
    """Kaplan-Meier curves with the numbers at risk below; ``before`` stands before each arm's name."""
    with rc_context(STYLE):
        figure = Figure(figsize=(_SIZE[0], _SIZE[1] + 0.25 * len(arms)), layout="constrained")
        axes, below = figure.subplots(2, 1, height_ratios=(5, 0.4 + 0.4 * len(arms)), sharex=True)
    for (colour, dash), arm in zip(_styles(), arms, strict=False):
        axes.step(arm.months, arm.survival, dash, where="post", color=colour, label=f"{before}{arm.name}")
        axes.fill_between(arm.months, arm.low, arm.high, step="post", color=colour, alpha=0.12, linewidth=0)
    axes.set(ylim=(0, 1.02), ylabel=f"without the event ({follow_up})")
    if arms:
        axes.legend(loc="upper right", frameon=False)
    _at_risk(below, arms)
    return figure


def forest(found: Subgroups) -> Figure:
    """The area in each subgroup."""
    with rc_context(STYLE):
        figure = Figure(figsize=(_SIZE[0], 1.2 + 0.35 * len(found.groups)), layout="constrained")
        axes = figure.subplots()
    for row, group in enumerate(reversed(found.groups)):
        area = group.positive.auc
        if area.value is not None:
            axes.plot(area.value, row, "s", color=COLOURS[0])
        if area.low is not None and area.high is not None:
            axes.plot((area.low, area.high), (row, row), color=COLOURS[0])
    axes.set_yticks(range(len(found.groups)), [f"{one.value} ({one.cases})" for one in reversed(found.groups)])
    axes.set(xlim=(0.3, 1.02), xlabel="AUC of the positive classes", title=found.descriptor)
    axes.axvline(0.5, color="grey", linewidth=0.8)
    return figure


def _axes(across: str, up: str) -> tuple[Figure, Axes]:
    with rc_context(STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.subplots()
    axes.set(xlabel=across, ylabel=up)
    return figure, axes


def _styles() -> "zip[tuple[str, str]]":
    return zip(cycle(COLOURS), cycle(_DASHES), strict=False)


def _diagonal(axes: Axes) -> None:
    axes.plot((0, 1), (0, 1), color="grey", linewidth=0.8)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))


def _at_risk(axes: Axes, arms: Sequence[Arm]) -> None:
    """How many are still followed, a line an arm."""
    for row, arm in enumerate(reversed(arms)):
        for months, people in arm.at_risk:
            if months <= max(arm.months):
                axes.text(months, row, str(people), ha="center", va="center", fontsize=8)
    axes.set_yticks(range(len(arms)), [arm.name for arm in reversed(arms)])
    axes.set(ylim=(-0.6, len(arms) - 0.4), xlabel="months", title="at risk")
    axes.spines[:].set_visible(False)
