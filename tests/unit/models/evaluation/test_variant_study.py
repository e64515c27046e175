"""Seven models on one cohort, in the form of Table 2."""

from dataclasses import replace

import numpy as np
import pytest

from models.evaluation import study_figures
from models.evaluation.analysis import Analysis, Choices, analyse
from models.evaluation.cohort import Cohort, FollowUp, Variant
from models.evaluation.document import Picture, Table
from models.evaluation.page import html
from models.evaluation.variant_study import COLUMNS, NAMES, Example, compose, data, table_2

SHAPLEY = {"multimodal-roi": [[("image", 0.4), ("clinical_n", -0.1)], [("image", -0.2), ("clinical_n", 0.3)]]}


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """Three sets of 24 cases and all seven models, of which the last is the best."""
    generator = np.random.default_rng(9)
    cases = 72
    labels = np.arange(cases) % 2
    variants = []
    for number, name in enumerate(NAMES):
        logits = generator.normal(0, 1, cases) + (0.2 + 0.12 * number) * (2 * labels - 1)
        high = 1 / (1 + np.exp(-logits))
        variants.append(Variant(name, np.column_stack((1 - high, high)), (high >= 0.5).astype(np.int64), ""))
    sets = tuple(("training", "internal", "external")[number // 24] for number in range(cases))
    names = tuple(f"c{number}" for number in range(cases))
    follow_up = FollowUp("os", generator.exponential(20, cases), generator.random(cases) < 0.8)
    cohort = Cohort(
        ("low", "high"), names, names, sets, labels.astype(np.int64), tuple(variants), follow_ups=(follow_up,)
    )
    return analyse(cohort, Choices(draws=100))


def test_the_table_has_the_papers_models_in_its_order(analysis: Analysis) -> None:
    """Each in three sets, with its numbers of cases and intervals where the paper has them."""
    rows = table_2(analysis)
    assert [(row.model, row.set_name) for row in rows] == [
        (model, name) for model in NAMES for name in ("training", "internal", "external")
    ]
    cells = rows[-1].cells()
    assert cells[:3] == ("Multimodal ROI-model (PORCELAIN)", "External validation", "24 (12)")
    assert "\N{EN DASH}" in cells[3]
    assert len(cells) == len(COLUMNS)
    assert len(data(analysis)) == 21


def test_the_page_has_every_kind_of_figure(analysis: Analysis) -> None:
    """ROC, radar, confusion, survival, Shapley values, and where a model looked; failures and warnings as well."""
    plane = np.zeros((20, 20), dtype=np.float32)
    region = plane.copy()
    region[5:9, 5:9] = 1
    example = Example("roi", "c1", "high", "low", study_figures.overlay(plane, region * 0.5, region))
    failures = [("roi", "c2", "ROI_EMPTY")]
    blocks = tuple(compose(analysis, SHAPLEY, [example], failures, [("seed", "0")], ["for research only"]))
    captions = " | ".join(block.caption for block in blocks if isinstance(block, Picture | Table))
    for kind in (
        "Table 2",
        "ROC",
        "Radar",
        "Confusion",
        "Kaplan-Meier",
        "Shapley",
        "Grad-CAM",
        "DeLong",
        "without an answer",
    ):
        assert kind in captions, kind
    page = html("Study", blocks)
    assert "for research only" in page
    assert page.count("<svg") == sum(isinstance(block, Picture) for block in blocks)


def test_a_model_that_was_not_trained_is_not_told(analysis: Analysis) -> None:
    """Of a part of the seven, that part."""
    part = replace(
        analysis, sets=tuple(replace(one, variants=one.variants[:1], comparisons=()) for one in analysis.sets)
    )
    assert {row.model for row in table_2(part)} == {"cuboid"}
