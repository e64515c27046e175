"""The figures of a trial, each with its 95 % interval, and the bars that they are held against.

Shares have Wilson's interval; areas, kappa and medians the percentile bootstrap over patients. Every figure says of how
many studies it is: what was refused has no prediction to count, and stands in rows of its own.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from statsmodels.stats.proportion import proportion_confint

from models.evaluation.classification import confusion_of, quadratic_kappa
from models.phantoms import CEILING_AUC, Kind, Phase
from models.phantoms.spec import T_STAGES
from models.training.judging import interval
from node.domain.lifecycle import JobState
from node.domain.reasons import ReasonCode
from tests.trial.rows import Row

FOUND_FROM: Final = 0.1
"""Dice from which a region counts as the lesion: it need not be drawn well to be found, but it must be it."""
CONFIDENCE: Final = 0.95
_BOOTSTRAP_SEED: Final = 20_240_101
_PHASE_REFUSALS: Final = frozenset(
    {ReasonCode.PHASE_NOT_PORTAL_VENOUS.name, ReasonCode.PHASE_CONFLICT.name, ReasonCode.PHASE_UNKNOWN.name}
)
_AFTER_THE_PHASE: Final = frozenset(
    {ReasonCode.ROI_NOT_FOUND.name, ReasonCode.ROI_UNCERTAIN.name, ReasonCode.ROI_NO_LESION.name}
)
"""Whoever is refused for these was taken to be in the portal venous phase."""
_PORTAL: Final = Phase.PORTAL_VENOUS.value


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    """NaN where there is nothing to count."""
    low: float
    high: float
    studies: int
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; None without a bar, or without a value."""
        if math.isnan(self.value) or (self.at_least is None and self.at_most is None):
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )


def figures(rows: Sequence[Row]) -> tuple[Figure, ...]:
    """Everything that a trial measures, in the order of the table."""
    return (*_porcelain(rows), *_gtrnet(rows), *_lesions(rows), *_triage(rows), *_times(rows))


def reasons(rows: Sequence[Row]) -> dict[str, int]:
    """How often each reason ended a study that could have had a result: one with a lesion, in the right phase."""
    refused = (row.reason for row in rows if _has_lesion(row) and row.state != JobState.DONE)
    return dict(Counter(refused).most_common())


def _porcelain(rows: Sequence[Row]) -> tuple[Figure, ...]:
    mine = [row for row in rows if _is(row, Kind.PANCREATIC) and row.p_ntr_high is not None]
    truth = np.array([bool(row.truth.ntr_high) for row in mine], dtype=np.bool_)
    said = np.array([row.p_ntr_high for row in mine], dtype=np.float64)
    latent = np.array([row.truth.latent for row in mine], dtype=np.float64)
    own = _bootstrap("ceiling: AUC of the latent on these studies", mine, lambda at: area(truth[at], latent[at]))
    floor = None if math.isnan(own.value) else max(0.90, own.value - 0.05)
    return (
        _bootstrap("PORCELAIN: AUC", mine, lambda at: area(truth[at], said[at]), at_least=floor),
        own,
        Figure("ceiling: AUC of the latent by construction", CEILING_AUC, math.nan, math.nan, 0),
        _share("PORCELAIN: accuracy at the bundle's threshold", [row.ntr_high == row.truth.ntr_high for row in mine]),
    )


def _gtrnet(rows: Sequence[Row]) -> tuple[Figure, ...]:
    mine = [row for row in rows if _is(row, Kind.GASTRIC) and row.t_stage is not None]
    truth = np.array([row.truth.t_stage for row in mine], dtype=np.int64)
    said = np.array([row.t_stage for row in mine], dtype=np.int64)
    return (
        _share("GTRNet: accuracy", list(truth == said), at_least=0.85),
        _bootstrap(
            "GTRNet: quadratic-weighted kappa",
            mine,
            lambda at: kappa(truth[at], said[at]),
            at_least=0.85,
        ),
    )


def _lesions(rows: Sequence[Row]) -> tuple[Figure, ...]:
    mine = [row for row in rows if _has_lesion(row)]
    overlap = np.array([row.dice or 0.0 for row in mine], dtype=np.float64)
    given = [row for row in mine if row.dice is not None]
    right = [row.organ == _organ(row) for row in given]
    return (
        _share("lesion: found", _found(mine), at_least=0.95),
        *_found_by_sort(mine),
        _bootstrap(
            "lesion: Dice, median (0 where none was delivered)",
            mine,
            lambda at: float(np.median(overlap[at])) if len(at) else math.nan,
            at_least=0.80,
        ),
        _share("lesion: in the right organ, of those delivered", right),
        _share("lesion: of those delivered, on something else", [not found for found in _found(given)]),
    )


def _found(rows: Sequence[Row]) -> list[bool]:
    return [row.dice is not None and row.dice >= FOUND_FROM for row in rows]


def _found_by_sort(rows: Sequence[Row]) -> tuple[Figure, ...]:
    """Which lesions are found: one share of all hides that early gastric cancers are the ones that are not."""
    by_sort: dict[str, list[Row]] = {"in the pancreas": [row for row in rows if _is(row, Kind.PANCREATIC)]}
    for stage in T_STAGES:
        by_sort[f"in the stomach, T{stage}"] = [row for row in rows if row.truth.t_stage == stage]
    return tuple(_share(f"  {sort}", _found(some)) for sort, some in by_sort.items())


def _triage(rows: Sequence[Row]) -> tuple[Figure, ...]:
    judged = [(row, said) for row in rows if (said := phase_said(row)) is not None]
    normal = [row for row in rows if row.truth.kind == Kind.NORMAL and row.truth.phase == _PORTAL]
    unlike = [row.reason == ReasonCode.OUT_OF_DISTRIBUTION.name for row in rows]
    others = [row for row in rows if row.truth.phase != _PORTAL]
    return (
        _share("phase: right", [said == row.truth.phase for row, said in judged], at_least=0.98),
        _share("phase: other than portal venous and not analysed", [row.state != JobState.DONE for row in others]),
        _share("no lesion: a result all the same", [row.state == JobState.DONE for row in normal], at_most=0.05),
        _share("refused as out of distribution", unlike),
    )


def phase_said(row: Row) -> str | None:
    """Which phase the node took a study to be in; None where it did not come to judge it, empty where it could not."""
    if row.state == JobState.DONE:
        return row.phase
    if row.reason in _AFTER_THE_PHASE:
        return _PORTAL
    if row.reason not in _PHASE_REFUSALS:
        return None
    if row.reason != ReasonCode.PHASE_NOT_PORTAL_VENOUS.name:
        return ""
    # "arterial: 30 s after …", or "timing unknown (…); attenuation arterial (…)".
    words = row.detail.replace(":", " ").replace(";", " ").split()
    return next((word for word in words if word in {phase.value for phase in Phase}), "")


def _times(rows: Sequence[Row]) -> tuple[Figure, ...]:
    done = [row for row in rows if row.seconds is not None]
    whole = np.array([row.seconds for row in done], dtype=np.float64)
    compute = np.array([row.compute_s for row in done], dtype=np.float64)
    return (
        _bootstrap("last slice to last result, median", done, lambda at: _median(whole[at]), unit="s"),
        _bootstrap("of which analysis, median", done, lambda at: _median(compute[at]), unit="s"),
    )


def _median(values: npt.NDArray[np.float64]) -> float:
    return float(np.median(values)) if values.size else math.nan


def _is(row: Row, kind: Kind) -> bool:
    return row.truth.kind == kind and row.truth.phase == _PORTAL


def _has_lesion(row: Row) -> bool:
    return row.truth.lesions > 0 and row.truth.phase == _PORTAL


def _organ(row: Row) -> str:
    return {Kind.PANCREATIC.value: "pancreas", Kind.GASTRIC.value: "stomach"}[row.truth.kind]


def _bootstrap(
    name: str,
    rows: Sequence[Row],
    statistic: Callable[[npt.NDArray[np.int64]], float],
    *,
    at_least: float | None = None,
    unit: str = "",
) -> Figure:
    if not rows:
        return Figure(name, math.nan, math.nan, math.nan, 0, at_least, unit=unit)
    found = interval(statistic, [row.truth.patient_id for row in rows], _BOOTSTRAP_SEED)
    return Figure(name, found.value, found.low, found.high, len(rows), at_least, unit=unit)


def _share(name: str, flags: Sequence[bool], *, at_least: float | None = None, at_most: float | None = None) -> Figure:
    total = len(flags)
    if not total:
        return Figure(name, math.nan, math.nan, math.nan, 0, at_least, at_most)
    part = sum(map(bool, flags))
    low, high = proportion_confint(part, total, alpha=1.0 - CONFIDENCE, method="wilson")
    return Figure(name, part / total, float(low), float(high), total, at_least, at_most)


def area(truth: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> float:
    """The area under the ROC curve as the share of pairs in the right order, ties half; NaN without pairs.

    As scikit-learn has it, which takes a hundred times as long for so few: the bootstrap asks a thousand times.
    """
    high, low = scores[truth][:, None], scores[~truth][None, :]
    pairs = (high > low) + 0.5 * (high == low)
    return float(pairs.mean()) if pairs.size else math.nan


def kappa(truth: npt.NDArray[np.int64], said: npt.NDArray[np.int64], classes: int = 4) -> float:
    """Quadratic-weighted kappa of classes from 1; NaN of none, and where all are one class."""
    counts = confusion_of(truth - 1, said - 1, classes)
    with np.errstate(invalid="ignore"):
        return float(quadratic_kappa(counts[None].astype(np.float64))[0])
