"""The figures of a trial: the plan behind them, what is counted, and that a bar can be missed."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import shipped
from models.bundle_store import shipped_digests
from models.phantoms import Kind, Phase
from models.training import judging
from models.training.phantom_cohort import SPAN
from node.domain.lifecycle import JobState
from node.domain.reasons import ReasonCode
from tests.trial import rows as on_disk
from tests.trial.plan import FIRST_COHORT, plan
from tests.trial.rendering import Truth
from tests.trial.rows import Row
from tests.trial.scoring import _share, area, figures, kappa, phase_said, reasons


def truth(number: int, kind: Kind, **changes: object) -> Truth:
    """A study in the portal venous phase."""
    made = Truth(
        number=number, seed=number, kind=kind.value, phase="portal-venous", timed=True, t_stage=None, ntr_high=None,
        latent=None, lesions=0 if kind is Kind.NORMAL else 1, lesion_ml=3.0, manufacturer="M", kernel="B30f",
        thickness_mm=5.0, spacing_mm=5.0, slices=40, patient_id=f"P{number}", study_uid=f"2.25.{number}",
        series_uid=f"2.25.1{number}", clinical=(("ca19_9", "37.0", "U/mL"),),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def row(of: Truth, **changes: object) -> Row:
    """A study whose result is perfect."""
    is_gastric = of.kind == Kind.GASTRIC
    made = Row(
        truth=of, weights="w", contours=False, state="done", reason="", detail="", objects=2,
        organ="stomach" if is_gastric else "pancreas",
        p_ntr_high=None if is_gastric else (0.9 if of.ntr_high else 0.1), ntr_high=None if is_gastric else of.ntr_high,
        p_t=(0.1, 0.2, 0.3, 0.4) if is_gastric else (), t_stage=of.t_stage, phase="portal-venous", region_source="s",
        further_lesions=0, region_voxels=100, dice=0.9, waiting_s=1.0, compute_s=4.0, delivery_s=0.5,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def refused(of: Truth, reason: ReasonCode, detail: str = "") -> Row:
    """A study that was not analysed."""
    nothing = {"ntr_high": None, "p_ntr_high": None, "t_stage": None, "dice": None, "phase": "", "organ": "", "p_t": ()}
    return row(of, state="not-analysed", reason=reason.name, detail=detail, delivery_s=None, objects=0, **nothing)


PERFECT = (
    *(row(truth(k, Kind.PANCREATIC, ntr_high=k % 2 == 1, latent=float(k % 2))) for k in range(12)),
    *(row(truth(100 + k, Kind.GASTRIC, t_stage=k % 4 + 1)) for k in range(12)),
    *(refused(truth(200 + k, Kind.NORMAL), ReasonCode.ROI_NOT_FOUND) for k in range(4)),
    refused(
        truth(300, Kind.PANCREATIC, phase="arterial"),
        ReasonCode.PHASE_NOT_PORTAL_VENOUS,
        "arterial: 31 s after the injection began",
    ),
)


def missed(rows: tuple[Row, ...]) -> set[str]:
    """The figures below their bar."""
    return {figure.name for figure in figures(rows) if figure.is_met is False}


def test_perfect_results_meet_every_bar() -> None:
    """And every figure with a bar can be judged."""
    assert missed(PERFECT) == set()
    barred = [one for one in figures(PERFECT) if one.at_least is not None or one.at_most is not None]
    assert len(barred) == 7
    assert all(one.is_met for one in barred)


def changed(kind: Kind, count: int, **changes: object) -> tuple[Row, ...]:
    """Perfect results, but for the first ``count`` of a kind."""
    mine = [one for one in PERFECT if one.truth.kind == kind][:count]
    return tuple(replace(one, **changes) if one in mine else one for one in PERFECT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        (changed(Kind.PANCREATIC, 5, p_ntr_high=0.5), {"PORCELAIN: AUC"}),
        (changed(Kind.GASTRIC, 6, t_stage=1), {"GTRNet: accuracy", "GTRNet: quadratic-weighted kappa"}),
        (changed(Kind.GASTRIC, 3, dice=0.05), {"lesion: found"}),
        (changed(Kind.PANCREATIC, 12, dice=0.5), {"lesion: Dice, median (0 where none was delivered)"}),
        (changed(Kind.NORMAL, 1, state="done", phase="portal-venous"), {"no lesion: a result all the same"}),
        (changed(Kind.PANCREATIC, 2, phase="delayed"), {"phase: right"}),
    ],
    ids=["auc", "stage", "found", "dice", "false alarm", "phase"],
)
def test_each_failure_misses_its_own_bar(rows: tuple[Row, ...], names: set[str]) -> None:
    """And no other."""
    assert missed(rows) == names


def test_a_lesion_that_was_refused_is_not_found() -> None:
    """It counts as a Dice of nought, and its reason is told."""
    lost = tuple(
        refused(one.truth, ReasonCode.ROI_UNCERTAIN) if one.truth.kind == Kind.GASTRIC else one for one in PERFECT
    )
    table = {figure.name: figure for figure in figures(lost)}
    assert (table["lesion: found"].value, table["lesion: found"].studies) == (0.5, 24)
    assert table["GTRNet: accuracy"].studies == 0
    assert table["GTRNet: accuracy"].is_met is None
    assert reasons(lost) == {"ROI_UNCERTAIN": 12}


def test_what_is_not_found_is_told_by_organ_and_stage() -> None:
    """Three T1 that were refused: the share of all would hide which they are."""
    lost = tuple(refused(one.truth, ReasonCode.ROI_UNCERTAIN) if one.truth.t_stage == 1 else one for one in PERFECT)
    table = {figure.name.strip(): figure for figure in figures(lost)}
    found = {sort: (table[sort].value, table[sort].studies) for sort in table if sort.startswith("in the ")}
    assert found == {
        "in the pancreas": (1.0, 12),
        "in the stomach, T1": (0.0, 3),
        "in the stomach, T2": (1.0, 3),
        "in the stomach, T3": (1.0, 3),
        "in the stomach, T4": (1.0, 3),
    }


def test_a_result_on_something_else_is_told() -> None:
    """It was delivered, and is not where the lesion is."""
    table = {figure.name: figure for figure in figures(changed(Kind.GASTRIC, 3, dice=0.0))}
    wrong = table["lesion: of those delivered, on something else"]
    assert (wrong.value, wrong.studies) == (0.125, 24)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (PERFECT[0], "portal-venous"),
        (refused(truth(1, Kind.NORMAL), ReasonCode.ROI_NOT_FOUND), "portal-venous"),
        (refused(truth(1, Kind.NORMAL), ReasonCode.OUT_OF_DISTRIBUTION), None),
        (refused(truth(1, Kind.NORMAL), ReasonCode.PHASE_UNKNOWN), ""),
        (PERFECT[-1], "arterial"),
        (
            refused(
                truth(1, Kind.NORMAL),
                ReasonCode.PHASE_NOT_PORTAL_VENOUS,
                "timing unknown (no bolus timing); attenuation delayed (aorta 110 HU, portal-vein 112 HU)",
            ),
            "delayed",
        ),
    ],
)
def test_which_phase_was_said_is_read_from_what_people_see(one: Row, said: str | None) -> None:
    """The report's words, or the reason's."""
    assert phase_said(one) == said


@pytest.mark.parametrize(
    ("part", "total", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (97, 100, 0.9155, 0.9897)]
)
def test_shares_have_wilsons_interval(part: int, total: int, low: float, high: float) -> None:
    """As tables of it have it."""
    found = _share("x", [True] * part + [False] * (total - part))
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_area_and_kappa_are_those_of_the_field() -> None:
    """To rounding, with ties, and without a meaning where there is none."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        labels, scores = rng.integers(0, 2, 30), rng.integers(0, 8, 30) / 8.0
        assert area(labels == 1, scores) == pytest.approx(judging.area(labels == 1, scores))
        truths, said = rng.integers(1, 5, 30), rng.integers(1, 5, 30)
        assert kappa(truths, said) == pytest.approx(judging.kappa(truths, said, (1, 2, 3, 4)))
    assert math.isnan(area(np.ones(3, bool), np.ones(3)))
    assert math.isnan(kappa(np.ones(3, int), np.ones(3, int)))


def test_the_plan_holds_some_of_everything() -> None:
    """Of a hundred: forty of each tumour with all classes alike, twelve without lesion, eight in other phases."""
    asked = [one.wanted for one in plan(100, 3)]
    portal = [one for one in asked if one.phase is Phase.PORTAL_VENOUS]
    assert [sum(one.kind is kind for one in portal) for kind in (Kind.PANCREATIC, Kind.GASTRIC, Kind.NORMAL)] == [
        40, 40, 12
    ]  # fmt: skip
    assert sum(bool(one.ntr_high) for one in portal) == 20
    assert [sum(one.t_stage == stage for one in portal) for stage in (1, 2, 3, 4)] == [10, 10, 10, 10]
    assert {one.phase for one in asked} == set(Phase)


def test_no_study_of_a_trial_was_trained_on() -> None:
    """No two trials share a seed, and no shipped bundle names a cohort as late as theirs."""
    first, second = ({one.seed for one in plan(100, seed)} for seed in (0, 1))
    assert not first & second
    assert min(first) == FIRST_COHORT * SPAN
    for name in shipped_digests():
        told = (shipped(name) / "configs" / "metadata.json").read_text(encoding="utf-8")
        seeds = [int(part.split(")")[0].split(",")[0].split()[0]) for part in told.split("cohort seed ")[1:]]
        assert all(seed < FIRST_COHORT for seed in seeds)
        assert json.loads(told)


def test_rows_survive_a_kill(tmp_path: Path) -> None:
    """Each is as it was; a line that was cut off is dropped, and does not spoil the next."""
    file = tmp_path / "rows.jsonl"
    on_disk.append(file, PERFECT[0])
    with file.open("a", encoding="utf-8") as stream:
        stream.write('{"truth": {"num')
    on_disk.append(file, PERFECT[-1])
    assert on_disk.read(file) == (PERFECT[0], PERFECT[-1])


def test_without_results_nothing_is_claimed() -> None:
    """No study, no value, no verdict."""
    for figure in figures(()):
        assert math.isnan(figure.value) or figure.name.startswith("ceiling: AUC of the latent by")
        assert figure.is_met is None


def test_a_row_knows_its_seconds_where_something_was_delivered() -> None:
    """From the last slice to the last result."""
    assert (PERFECT[0].seconds, PERFECT[-1].seconds) == (5.5, None)
    assert PERFECT[0].state == JobState.DONE
