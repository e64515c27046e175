"""The document: warnings stand before figures, and every part of the analysis has its block."""

from dataclasses import replace

from models.evaluation.analysis import Analysis
from models.evaluation.document import Heading, Paragraph, Picture, Provenance, Table, Verbatim, compose, warnings


def test_what_is_doubtful_stands_first(analysis: Analysis, provenance: Provenance) -> None:
    """The bundle's disclaimer, then the cohort's faults, before any table."""
    doubtful = replace(analysis, shared_patients=(("external", "internal", 177),))
    blocks = list(compose(doubtful, provenance, (), ()))
    words = [block.text for block in blocks[: next(i for i, b in enumerate(blocks) if isinstance(b, Table))]
             if isinstance(block, Paragraph) and block.is_warning]  # fmt: skip
    assert words[0] == "Not for clinical use"
    assert words[1].startswith("177 patients are in both external and internal")


def test_the_cohorts_faults_are_named(analysis: Analysis) -> None:
    """Few cases, several of one patient, equal classes, columns that were not understood."""
    part = analysis.sets[0]
    few = replace(part, classes=(("T1", 40), ("T2", 3)))
    held = replace(part, patients=part.cases - 1)
    equal = replace(part, classes=(("T1", 60), ("T2", 60)))
    assert "fewer than 10 cases of T2" in warnings(replace(analysis, sets=(few,)))[0]
    assert any("intervals are made over patients" in one for one in warnings(replace(analysis, sets=(held,))))
    assert any("equally frequent" in one for one in warnings(replace(analysis, sets=(equal,))))
    assert warnings(replace(analysis, ignored_columns=("colour",)))[-1].endswith("colour.")


def test_every_part_has_its_block(analysis: Analysis, provenance: Provenance) -> None:
    """Flow, classes, calibration, consequences, cuts, subgroups, comparisons, readers, survival, plans, provenance."""
    blocks = list(compose(analysis, provenance, (), ()))
    captions = " | ".join(block.caption for block in blocks if isinstance(block, Table))
    for words in ("Flow of cases", "Each class", "Calibration", "What the calls", "The cut of", "Subgroups", "DeLong's",
                  "Second readers", "Arms", "Cox models", "What another study", "Provenance"):  # fmt: skip
        assert words in captions
    assert [block.text for block in blocks if isinstance(block, Heading) and block.level == 1] == ["Silent run <2026>"]
    assert sum(isinstance(block, Picture) for block in blocks) >= 6 * len(analysis.sets)
    assert [block.text for block in blocks if isinstance(block, Verbatim)] == [provenance.model_card]
    for block in blocks:
        if isinstance(block, Table):
            assert {len(row) for row in block.rows} <= {len(block.columns)}
