"""The nomogram of GTRNet's Table 3."""

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import Bundle
from models.fields import Fields
from models.predictors.nomogram import Answers, NomogramModel, Size, ThresholdSource, answers_from
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.prediction import Interval, Nomogram, Quantity
from node.errors import BundleError
from tests.drawn import drawn

SMALL, LARGE = Size(30.0, "csv"), Size(62.0, "csv")
SIZES, GRADES, TYPES = (SMALL, LARGE), ("well", "moderate", "poor"), ("intestinal", "mixed", "diffuse")
EVERY_ANSWER = list(product(SIZES, GRADES, TYPES))
SCORES = np.linspace(-3.0, 3.0, 13).tolist()


@pytest.fixture(scope="module")
def model() -> NomogramModel:
    """The published one."""
    return NomogramModel.read(Bundle.open(drawn("gtrnet")).celadon.child("nomogram"))


def known(score: float = 0.0, size: Size = SMALL, grade: str = "well", kind: str = "intestinal") -> Answers:
    """Answers to everything."""
    return Answers(score, size, grade, kind)


def probabilities(reading: Nomogram) -> list[float]:
    """P(T1) to P(T4) of a reading in which everything is known."""
    assert all(interval.low == interval.high for _, interval in reading.probabilities)
    return [interval.low for _, interval in reading.probabilities]


def above(model: NomogramModel, answers: Answers) -> list[float]:
    """P(T2 and above), P(T3 and above), P(T4)."""
    p = probabilities(model.reading(answers))
    return [sum(p[index:]) for index in (1, 2, 3)]


def odds(p: float) -> float:
    """P against not P."""
    return p / (1.0 - p)


@pytest.mark.parametrize(
    ("change", "ratio"),
    [
        ({"score": 1.0}, 2.39),
        ({"size": LARGE}, 2.00),
        ({"grade": "poor"}, 3.16),
        ({"kind": "diffuse"}, 2.90),
        ({"grade": "moderate"}, 1.25),
        ({"kind": "mixed"}, 0.92),
    ],
)
def test_it_reproduces_the_odds_ratios_of_the_table(model: NomogramModel, change: dict[str, Any], ratio: float) -> None:
    """Table 3: each predictor multiplies the odds of each higher category by its OR, from wherever one starts.

    The table rounds ratios and coefficients to 0.005: they agree within both roundings.
    """
    for start in ({}, {"score": -1.5}, {"grade": "poor"} if "grade" not in change else {"kind": "diffuse"}):
        before, after = (
            above(model, known(**start)),
            above(model, known(**(start | {**change, **_moved(start, change)}))),
        )
        for low, high in zip(before, after, strict=True):
            assert odds(high) / odds(low) == pytest.approx(ratio, abs=0.005 + 0.005 * ratio)


def _moved(start: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The Rad-score one SD above where it started."""
    return {"score": start.get("score", 0.0) + change["score"]} if "score" in change else {}


def test_the_intercepts_are_those_of_the_table(model: NomogramModel) -> None:
    """Table 3: at the reference (Rad-score 0, small, well, intestinal) the log odds are the three intercepts."""
    found = [-math.log(odds(p)) for p in above(model, known())]
    assert found == pytest.approx([-3.20, -1.17, 1.24])


def test_probabilities_sum_to_one_and_are_probabilities(model: NomogramModel) -> None:
    """For every combination of answers and Rad-scores over the whole line."""
    for score, answers in product(SCORES, EVERY_ANSWER):
        p = probabilities(model.reading(known(score, *answers)))
        assert math.isclose(sum(p), 1.0, abs_tol=1e-12)
        assert all(0.0 < value < 1.0 for value in p)


def test_every_risk_factor_raises_the_category(model: NomogramModel) -> None:
    """Exhaustively: a higher Rad-score, a large, a less differentiated, a diffuse tumour is nowhere less advanced."""
    for (score, size), grade, kind in product(product(SCORES, SIZES), GRADES, TYPES):
        now = above(model, known(score, size, grade, kind))
        worse = [
            known(min(score + 0.5, 3.0), size, grade, kind),
            known(score, LARGE, grade, kind),
            known(score, size, "poor", kind),
            known(score, size, "moderate" if grade == "well" else grade, kind),
            known(score, size, grade, "diffuse"),
        ]
        for answers in worse:
            assert all(b >= a - 1e-15 for a, b in zip(now, above(model, answers), strict=True))


def test_the_mean_is_not_that_of_the_training_data(model: NomogramModel) -> None:
    """With Table 1's case mix and a standardised Rad-score the mean P(T4) is 49 %, as the note says, not 25 %.

    Differentiation and Lauren type as in Table 1, a size of 5 cm and above in 30 %, all independent.
    """
    scores = np.random.default_rng(0).normal(size=400)
    shares = product((0.7, 0.3), (0.122, 0.360, 0.518), (0.378, 0.287, 0.335))
    mean = sum(
        math.prod(share) * np.mean([probabilities(model.reading(known(score, *answers)))[3] for score in scores])
        for share, answers in zip(shares, EVERY_ANSWER, strict=True)
    )
    assert 0.47 < mean < 0.51
    assert any("49 %" in note for note in model.reading(known()).notes)


def test_points_are_a_scale_of_100_for_the_widest_line(model: NomogramModel) -> None:
    """The Rad-score's line spans 100 points; the others are as long as their terms, from their lowest answer."""
    items = model.reading(known(3.0, LARGE, "poor", "diffuse")).items
    assert [item.name for item in items] == ["Rad-score", "Tumour size", "Differentiation", "Lauren type"]
    assert [item.answer for item in items] == ["+3.00 SD", "62 mm (csv)", "poor", "diffuse"]
    unit = 100 / (6 * 0.87)
    assert [item.points.low for item in items] == pytest.approx([100, 0.69 * unit, 1.15 * unit, 1.14 * unit])
    lowest = model.reading(known(-3.0, SMALL, "well", "mixed"))
    assert [item.points for item in lowest.items] == [Interval(0.0, 0.0)] * 4
    assert lowest.total_points == Interval(0.0, 0.0)


def test_the_total_is_a_reading_of_the_probabilities(model: NomogramModel) -> None:
    """Total points over the points of a logit, from the lowest of all sums, give back the probabilities."""
    lowest = min(model.etas(known(-3.0, SMALL, "well", "mixed")))
    for score, answers in product((-2.0, 0.3), EVERY_ANSWER):
        reading = model.reading(known(score, *answers))
        assert reading.total_points.low == reading.total_points.high
        eta = lowest + reading.total_points.low / model.points_per_logit
        assert model.probabilities(eta) == pytest.approx(probabilities(reading))


def test_what_is_unknown_gives_the_range_over_all_it_could_be(model: NomogramModel) -> None:
    """Each category's interval is the smallest and the largest over all answers, and each end is reached by one."""
    for hidden in product((True, False), repeat=3):
        given = [None if hide else answer for hide, answer in zip(hidden, (LARGE, "moderate", "mixed"), strict=True)]
        reading = model.reading(Answers(0.4, *given))  # type: ignore[arg-type]
        possible = [
            answers
            for answers in EVERY_ANSWER
            if all(want is None or want == have for want, have in zip(given, answers, strict=True))
        ]
        rows = [model.reading(known(0.4, *answers)) for answers in possible]
        for index, (_, interval) in enumerate(reading.probabilities):
            values = [probabilities(row)[index] for row in rows]
            assert (interval.low, interval.high) == (min(values), max(values))
        totals = [row.total_points.low for row in rows]
        assert (reading.total_points.low, reading.total_points.high) == pytest.approx((min(totals), max(totals)))
        assert (reading.total_points.low < reading.total_points.high) == any(hidden)


def test_an_unknown_item_says_so(model: NomogramModel) -> None:
    """It has no answer and all points of its line, and a note names it."""
    reading = model.reading(Answers(0.0, SMALL, None, "diffuse"))
    grade = reading.items[2]
    assert (grade.name, grade.answer) == ("Differentiation", None)
    assert grade.points.low == 0.0
    assert grade.points.high == pytest.approx(1.15 * model.points_per_logit)
    assert reading.notes[-1].startswith("Not known: Differentiation.")
    assert [quantity for quantity, _ in reading.probabilities] == list(Quantity)[-4:]


def test_beyond_the_end_of_its_line_the_score_is_read_at_the_end(model: NomogramModel) -> None:
    """What no nomogram can be read at is not extrapolated, and a note says so; the answer is what it is."""
    far, end = model.reading(known(7.0)), model.reading(known(3.0))
    assert far.probabilities == end.probabilities
    assert far.items[0].answer == "+7.00 SD"
    assert any("beyond the end" in note for note in far.notes)
    assert not any("beyond the end" in note for note in end.notes)


def test_five_centimetres_are_large(model: NomogramModel) -> None:
    """Table 3, ">= 5 cm": 50 mm are, 49.9 are not; a lower bound below that may be either."""
    assert Size(50.0, "x").answer == ">= 5 cm"
    assert Size(49.9, "x").answer == "< 5 cm"
    assert Size(49.9, "x", is_lower_bound=True).answer is None
    assert Size(50.0, "x", is_lower_bound=True).answer == ">= 5 cm"
    item = model.reading(known(size=Size(30.0, "x", is_lower_bound=True))).items[1]
    assert item.answer is None
    assert item.points.low < item.points.high


def test_recalibration_keeps_the_odds_ratios(model: NomogramModel) -> None:
    """Other intercepts move the probabilities, not the points; the note tells of the recalibration."""
    site = model.recalibrated((-1.5, 0.4, 2.4))
    assert site.source is ThresholdSource.RECALIBRATED
    before, after = model.reading(known()), site.reading(known())
    assert [-math.log(odds(p)) for p in above(site, known())] == pytest.approx([-1.5, 0.4, 2.4])
    assert after.total_points == before.total_points
    assert "recalibrated" in after.notes[0]
    assert "49 %" not in after.notes[0]


@pytest.mark.parametrize("thresholds", [(0.0, 0.0, 1.0), (1.0, 0.0, 2.0), (0.0, math.nan, 1.0)])
def test_thresholds_ascend(model: NomogramModel, thresholds: tuple[float, float, float]) -> None:
    """Anything else would give a category a negative probability."""
    with pytest.raises(ValueError, match="ascending"):
        model.recalibrated(thresholds)


def value(variable: ClinicalVariable, what: float | str, unit: str = "") -> ClinicalValue:
    """A recorded value."""
    return ClinicalValue(variable, what, unit, "entered")


REGION = Size(41.0, "region")


def test_a_person_knows_better_than_the_region() -> None:
    """A size that a person gave is taken; without one the region is measured."""
    record = ClinicalRecord((value(ClinicalVariable.TUMOUR_SIZE, 56.0, "mm"),))
    answers = answers_from(record, 0.5, REGION)
    assert answers.size == Size(56.0, "entered")
    assert answers.variables == ("tumour_size",)
    assert answers_from(ClinicalRecord(), 0.5, REGION) == Answers(0.5, REGION, None, None)


@pytest.mark.parametrize(
    ("what", "unit"), [(5.6, "cm"), (5.6, ""), ("large", "mm"), (-3.0, "mm"), (math.nan, "mm"), (5600.0, "mm")]
)
def test_a_size_that_cannot_be_believed_is_not_used(what: float | str, unit: str) -> None:
    """No unit is guessed at: the region is measured instead, and a note says why."""
    record = ClinicalRecord((value(ClinicalVariable.TUMOUR_SIZE, what, unit),))
    answers = answers_from(record, 0.5, REGION)
    assert (answers.size, answers.variables) == (REGION, ())
    assert "no plausible length" in answers.notes[0]


@pytest.mark.parametrize(
    ("variable", "word", "answer"),
    [
        (ClinicalVariable.DIFFERENTIATION, "Poorly differentiated", "poor"),
        (ClinicalVariable.DIFFERENTIATION, "G2", "moderate"),
        (ClinicalVariable.DIFFERENTIATION, "well-differentiated", "well"),
        (ClinicalVariable.LAUREN_TYPE, "DIFFUSE", "diffuse"),
        (ClinicalVariable.LAUREN_TYPE, "mixed type", "mixed"),
        (ClinicalVariable.LAUREN_TYPE, "intestinal_type", "intestinal"),
    ],
)
def test_words_are_understood(variable: ClinicalVariable, word: str, answer: str) -> None:
    """Case, hyphens and the usual forms do not matter."""
    answers = answers_from(ClinicalRecord((value(variable, word),)), 0.0, REGION)
    assert answer in {answers.differentiation, answers.lauren_type}
    assert answers.variables == (variable.value,)
    assert answers.notes == ()


@pytest.mark.parametrize(
    ("variable", "word"), [(ClinicalVariable.DIFFERENTIATION, "G4"), (ClinicalVariable.LAUREN_TYPE, "signet-ring")]
)
def test_a_category_that_the_paper_has_not_is_unknown(variable: ClinicalVariable, word: str) -> None:
    """It is not pressed into one of the paper's, and a note names the variable, never the value."""
    answers = answers_from(ClinicalRecord((value(variable, word),)), 0.0, REGION)
    assert (answers.differentiation, answers.lauren_type, answers.variables) == (None, None, ())
    assert "is none of the nomogram's categories" in answers.notes[0]
    assert word not in answers.notes[0]


def test_a_region_at_the_edge_is_a_lower_bound_unless_a_size_was_given() -> None:
    """The note stands where the region's size is used."""
    cut = Size(30.0, "region", is_lower_bound=True)
    assert "lower bound" in answers_from(ClinicalRecord(), 0.0, cut).notes[0]
    record = ClinicalRecord((value(ClinicalVariable.TUMOUR_SIZE, 30.0, "mm"),))
    assert answers_from(record, 0.0, cut).notes == ()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"thresholds": [1, 0, 2]}, "thresholds is .*ascending"),
        ({"thresholds": [1, 2]}, "thresholds"),
        ({"thresholds_from": "somewhere"}, "thresholds_from"),
        ({"radscore_axis_sd": [3, -3]}, "radscore_axis_sd"),
        ({"terms": {"radscore": 0.87}}, r"terms\.size_large is missing"),
    ],
)
def test_what_a_bundle_gets_wrong_is_named(change: dict[str, Any], named: str) -> None:
    """A section that is not a nomogram names the file and the field."""
    values = dict(Bundle.open(drawn("gtrnet")).celadon.child("nomogram").values) | change
    with pytest.raises(BundleError, match=rf"metadata\.json.*nomogram\.{named}"):
        NomogramModel.read(Fields(Path("metadata.json"), values, "nomogram."))
