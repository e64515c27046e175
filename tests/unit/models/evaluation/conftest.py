"""One small analysis and its report, made once for the tests that look at it."""

from dataclasses import replace

import pytest

from models.evaluation.analysis import Analysis, Choices, analyse
from models.evaluation.cohort import Cohort
from models.evaluation.cohort_file import read_cohort
from models.evaluation.document import Provenance
from models.evaluation.report import Report, report, software
from tests.unit.models.evaluation.cohorts import write_cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Ninety cases in two sets, said of by two variants."""
    return read_cohort(*write_cohort(tmp_path_factory.mktemp("cohort")))


@pytest.fixture(scope="session")
def analysis(cohort: Cohort) -> Analysis:
    """With few draws."""
    return analyse(cohort, Choices(cut_from="internal", draws=100, seed=4))


@pytest.fixture(scope="session")
def provenance(analysis: Analysis) -> Provenance:
    """Of a bundle whose card holds what a page must not take for its own."""
    return Provenance(
        title="Silent run <2026>",
        created_at="2026-01-02T03:04:05+00:00",
        software=software(analysis),
        inputs=(("predictions.csv", "e" * 64),),
        bundle="gtrnet",
        digest="ab" * 32,
        model_card="# Card\n<script>alert(1)</script>",
        disclaimer="Not for clinical use",
    )


@pytest.fixture(scope="session")
def made(analysis: Analysis, provenance: Provenance) -> Report:
    """The report of one set: drawing is what takes time."""
    return report(replace(analysis, sets=analysis.sets[:1]), provenance)
