"""Reader studies: help that helps is found, help that does not is not, and what does not fit the plan is named."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.contingency_tables import mcnemar

from models.evaluation.reader_plan import Reading, plan
from models.evaluation.reader_study import analyse
from node.errors import UsageError

CLASSES = ("T1", "T2", "T3", "T4")
CASES = [f"c{index}" for index in range(80)]
TRUTHS = {case: index % 4 for index, case in enumerate(CASES)}
KEY = plan(CASES, [CLASSES[TRUTHS[case]] for case in CASES], ["Ann", "Ben"], 1)


def answered(without: float, with_help: float) -> dict[str, tuple[int, float]]:
    """Answers that are right with these probabilities, and quicker with help."""
    generator = np.random.default_rng(4)
    found = {}
    for one in KEY:
        right = generator.random() < (with_help if one.assisted else without)
        truth = TRUTHS[one.case]
        called = truth if right else (truth + 1) % 4
        found[one.code] = called, float(generator.normal(40 if one.assisted else 60, 5))
    return found


def test_help_that_helps_is_found() -> None:
    """In accuracy, kappa and time, for all readers and each."""
    found = analyse(KEY, answered(0.6, 0.9), TRUTHS, CLASSES, 0, draws=300)
    assert (found.planned, found.answered, found.paired) == (320, 320, 160)
    for one in (*found.readers, found.all_readers):
        assert one.accuracy_gain.low is not None
        assert one.accuracy_gain.low > 0
        assert one.kappa_gain.value is not None
        assert one.kappa_gain.value > 0
        assert one.seconds_gain.high is not None
        assert one.seconds_gain.high < 0
    assert all(one.mcnemar_p is not None and one.mcnemar_p < 0.01 for one in found.readers)
    assert found.all_readers.mcnemar_p is None


def test_help_that_does_nothing_is_not() -> None:
    """The interval holds zero."""
    gain = analyse(KEY, answered(0.7, 0.7), TRUTHS, CLASSES, 0, draws=300).all_readers.accuracy_gain
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low < 0 < gain.high


def test_figures_are_those_of_the_formulae() -> None:
    """Of one reader, counted by hand."""
    answers = answered(0.6, 0.9)
    reader = analyse(KEY, answers, TRUTHS, CLASSES, 0, draws=100).readers[0]
    arms = {
        assisted: {one.case: answers[one.code][0] for one in KEY if one.reader == "Ann" and one.assisted == assisted}
        for assisted in (False, True)
    }
    truth = np.array([TRUTHS[case] for case in CASES])
    calls = {assisted: np.array([arm[case] for case in CASES]) for assisted, arm in arms.items()}
    assert reader.assisted.accuracy.value == pytest.approx((calls[True] == truth).mean())
    assert reader.unassisted.quadratic_kappa.value == pytest.approx(
        cohen_kappa_score(truth, calls[False], weights="quadratic")
    )
    assert dict(reader.assisted.sensitivity)["T2"].value == pytest.approx((calls[True][truth == 1] == 1).mean())
    assert reader.unassisted.over_called.value == pytest.approx((calls[False] > truth).mean())
    assert reader.unassisted.under_called.value == pytest.approx((calls[False] < truth).mean())
    right = {assisted: call == truth for assisted, call in calls.items()}
    table = [[(right[False] == a).astype(int) @ (right[True] == b) for b in (True, False)] for a in (True, False)]
    assert reader.mcnemar_p == pytest.approx(mcnemar(table, exact=True).pvalue)


def test_only_pairs_are_compared() -> None:
    """A reading without its other arm is counted as answered and left out."""
    answers = answered(0.6, 0.9)
    del answers[next(one.code for one in KEY if one.case == "c3")]
    found = analyse(KEY, answers, TRUTHS, CLASSES, 0, draws=50)
    assert (found.answered, found.paired) == (319, 159)


def test_without_times_there_is_no_time() -> None:
    """And everything else is there."""
    answers = {code: (called, float("nan")) for code, (called, _) in answered(0.6, 0.9).items()}
    found = analyse(KEY, answers, TRUTHS, CLASSES, 0, draws=50).all_readers
    assert found.assisted.median_seconds.value is None
    assert found.seconds_gain.value is None
    assert found.accuracy_gain.value is not None


def test_what_does_not_fit_the_plan_is_named() -> None:
    """A strange code, a case without truth, no pair."""
    with pytest.raises(UsageError, match="not in the plan"):
        analyse(KEY, {"x": (0, 1.0)}, TRUTHS, CLASSES, 0)
    with pytest.raises(UsageError, match="has no label"):
        analyse((Reading("1", "Ann", 1, 1, assisted=True, case="q"),), {}, TRUTHS, CLASSES, 0)
    with pytest.raises(UsageError, match="both with and without"):
        analyse(KEY, {KEY[0].code: (0, 1.0)}, TRUTHS, CLASSES, 0)


def test_times_are_compared_where_both_were_noted() -> None:
    """A slow case without its other time must not make the help look quick."""
    answers = answered(0.6, 0.9)
    slow = [one for one in KEY if one.reader == "Ann" and not one.assisted][:60]
    for one in slow:
        answers[one.code] = answers[one.code][0], 1000.0
        twin = next(other for other in KEY if (other.reader, other.case, other.assisted) == ("Ann", one.case, True))
        answers[twin.code] = answers[twin.code][0], float("nan")
    ann = analyse(KEY, answers, TRUTHS, CLASSES, 0, draws=50).readers[0]
    assert (ann.unassisted.median_seconds.cases, ann.assisted.median_seconds.cases) == (20, 20)
    assert ann.seconds_gain.cases == 20
    assert ann.seconds_gain.value is not None
    assert -40 < ann.seconds_gain.value < 0
    assert ann.accuracy_gain.cases == 80
