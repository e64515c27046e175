"""The card: every number is that of its own training."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from models.segmenters.outliers import Familiar
from models.segmenters.plan import DEFAULT
from models.training.segmenter_card import Evidence, card
from node.domain.coding import Anatomy
from tests.unit.models.training.test_segmenter import TinyTask, make_task
from tests.unit.models.training.test_segmenter_bundle import facts, judged

_ = make_task  # a fixture of that file


def evidence() -> Evidence:
    """Of two studies with a lesion, one of them in another phase, and one without."""
    studies = (
        replace(judged(0.9), case="a", group="portal-venous", off_hu={"aorta": -4.0}),
        replace(judged(0.1), case="b", group="arterial", off_hu={"aorta": 9.0}),
        replace(judged(0.0), case="c", group="portal-venous", anatomy=None, score=5.0),
    )
    return Evidence(DEFAULT, Familiar(np.zeros(2), np.eye(2), 2.0), 30, studies, {"noise alone": 0.75})


def test_figures_are_of_the_phase_that_is_analysed(make_task: Callable[..., TinyTask]) -> None:
    """Studies of other phases count for the attenuation, and for the false alarms."""
    task = make_task()
    words = card("Segmenter", task, facts(task), evidence())
    assert "| median Dice of the lesion | 0.900" in words
    assert "| lesion reported where there is none | 0.000" in words
    assert "| aorta | 6.5 | 9.0 | 2 of 3 |" in words
    assert "1 (33.3%)" in words
    assert "| noise alone | 75% |" in words


def test_a_card_says_what_it_is_not(make_task: Callable[..., TinyTask]) -> None:
    """Not validated, or trained on phantoms; and what it has never seen."""
    task = make_task()
    assert "Not validated" in card("Segmenter", task, facts(task), evidence())
    assert "never seen" in card("Segmenter", task, facts(task), evidence())


def test_each_organ_has_its_row(make_task: Callable[..., TinyTask]) -> None:
    """Where there was a lesion in it."""
    task = make_task()
    words = card("Segmenter", task, facts(task), evidence())
    assert f"| {Anatomy.PANCREAS.key} | 0.900" in words
    assert f"| {Anatomy.STOMACH.key} |" not in words
