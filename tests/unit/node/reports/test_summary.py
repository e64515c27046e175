"""The summary page."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from node.domain.prediction import Conclusion, Note, Quantity, Score
from node.domain.reporting import Report
from node.reports.drawing import OUTLINE
from node.reports.evidence import gather
from node.reports.summary import summary
from tests.unit.node.reports.factory import attribution, gtrnet, nomogram, porcelain

MakeReport = Callable[..., Report]


def _page(report: Report) -> np.ndarray:
    return summary(report, gather(report, [2]))


def test_the_answer_and_every_probability_are_on_it(make_report: MakeReport, words: list[str]) -> None:
    """The class decided for is the largest word; each class has its bar and number, and the votes are told."""
    _page(make_report())
    for expected in ("cT3", "5.7 %", "14.2 %", "62.1 %", "18.0 %", "Slice votes: cT3, cT3, cT4 (2 of 3 agree)"):
        assert expected in words


def test_a_single_score_is_shown_against_its_threshold(make_report: MakeReport, words: list[str]) -> None:
    """The threshold is a tick on the bar with its number, and the page says on which side the score lies."""
    _page(make_report(porcelain()))
    assert "threshold 52.0 %" in words
    assert "at or above the threshold" in " ".join(words)


def test_a_score_below_the_threshold_says_so(make_report: MakeReport, words: list[str]) -> None:
    """A low result is in words too."""
    low = replace(porcelain(), scores=(Score(Quantity.NTR_HIGH, 0.2),), conclusion=Conclusion.NTR_LOW)
    _page(make_report(low))
    assert "is below the threshold" in " ".join(words)


def test_missing_inputs_stand_first(make_report: MakeReport, words: list[str]) -> None:
    """What was imputed comes before what was known."""
    _page(make_report(porcelain()))
    listed = words[words.index("CLINICAL VALUES USED") :]
    age = listed.index("age: 65 years (dicom-header, 2024-05-06)")
    assert listed.index("MISSING, imputed: 2 of 3: CA19-9, CEA") < age


def test_notes_that_do_not_fit_are_counted(make_report: MakeReport, words: list[str]) -> None:
    """A long list ends with how many more there are, instead of running over the foot of the page."""
    many = tuple(Note("N", f"Note number {number} with some words to fill the line.") for number in range(20))
    _page(make_report(replace(porcelain(), notes=many)))
    assert any("more in the structured report" in line for line in words)


def test_the_region_is_outlined(make_report: MakeReport) -> None:
    """The key slice carries the outline of the region."""
    assert (_page(make_report())[160:650, 512:1000] == OUTLINE).all(axis=2).any()


def test_the_model_its_weights_and_the_limits_are_named(make_report: MakeReport, words: list[str]) -> None:
    """Name, version, short digest and the warnings are on the page."""
    report = make_report()
    _page(report)
    page = "\n".join(words)
    for expected in ("GTRNet 1.0.0", report.prediction.algorithm.digest[:12], "UNVERIFIED", "untrained, for plumbing"):
        assert expected in page


def test_the_three_strongest_reasons_are_shown(make_report: MakeReport, words: list[str]) -> None:
    """A reader sees at once what moved the result most, each with its value and how much; the rest is elsewhere."""
    _page(make_report(replace(porcelain(), attribution=attribution())))
    shown = words[words.index("STRONGEST REASONS (logits towards high NTR)") :]
    assert shown[1:7] == ["CA 19-9 820 U/mL", "+1.25", "image", "-0.62", "clinical N N1", "+0.40"]
    assert not any(word.startswith("CEA") for word in shown)


def test_the_nomogram_is_read_with_its_ranges(make_report: MakeReport, words: list[str]) -> None:
    """What is not known widens the probability, and the page shows it as a range."""
    _page(make_report(replace(gtrnet(), nomogram=nomogram())))
    assert "NOMOGRAM, 98 to 120 points" in words
    assert "42.0 to 60.0 %" in words
