"""When a verdict is complete."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from node.domain.identifiers import JobId
from node.domain.verdict import LONGEST_REASON, Verdict, VerdictKind

CLASSES = ("CT1", "CT2", "CT3", "CT4")
AGREES = Verdict(JobId("job"), datetime(2026, 1, 1, tzinfo=UTC), "anna", VerdictKind.AGREE, conclusion="CT3")
DISAGREES = replace(AGREES, kind=VerdictKind.DISAGREE, own_class="CT2", reason="the fat plane is kept")


@pytest.mark.parametrize("verdict", [AGREES, DISAGREES, replace(AGREES, kind=VerdictKind.ROI_WRONG)])
def test_a_complete_verdict_has_no_fault(verdict: Verdict) -> None:
    """Agreement, disagreement with class and reason, a wrong region."""
    assert verdict.fault(CLASSES) == ""


@pytest.mark.parametrize(
    "verdict",
    [
        replace(DISAGREES, own_class=""),
        replace(DISAGREES, own_class="CT3"),
        replace(DISAGREES, own_class="NTR_HIGH"),
        replace(DISAGREES, reason="  "),
        replace(AGREES, own_class="CT2"),
        replace(AGREES, reason="x" * (LONGEST_REASON + 1)),
    ],
)
def test_an_incomplete_one_is_refused(verdict: Verdict) -> None:
    """Disagreement needs another class of the same question and a reason; agreement has no class of its own."""
    assert verdict.fault(CLASSES)
