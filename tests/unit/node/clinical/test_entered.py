"""What a person enters: usable or refused at once, and with their name."""

from datetime import UTC, datetime

import pytest

from node.clinical.entered import entered
from node.domain.imaging import PatientIdentity
from node.errors import UsageError

NOW = datetime(2024, 5, 6, tzinfo=UTC)
PATIENT = PatientIdentity("4711")


def test_it_carries_the_name_and_needs_no_time() -> None:
    """Who says it vouches for it."""
    value = entered(PATIENT, "ca19_9", "37", "U/mL", " Dr Roe ", NOW, None)
    assert (value.read.value, value.source, value.by) == (37.0, "entered", "Dr Roe")


@pytest.mark.parametrize(
    ("patient", "variable", "text", "unit", "by", "words"),
    [
        (PATIENT, "ca-nineteen", "37", "U/mL", "x", "no clinical variable"),
        (PATIENT, "ca19_9", "37", "", "x", "has no unit"),
        (PATIENT, "ca19_9", "<0.6", "U/mL", "x", "is a limit"),
        (PATIENT, "ca19_9", "37", "U/mL", " ", "--by"),
        (PatientIdentity(" "), "ca19_9", "37", "U/mL", "x", "patient ID"),
        (PatientIdentity("x" * 65), "ca19_9", "37", "U/mL", "x", "patient ID"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(
    patient: PatientIdentity, variable: str, text: str, unit: str, by: str, words: str
) -> None:
    """A person can mend it; nothing is stored."""
    with pytest.raises(UsageError, match=words):
        entered(patient, variable, text, unit, by, NOW, None)


def test_the_future_is_refused() -> None:
    """A typing error in a date."""
    with pytest.raises(UsageError, match="future"):
        entered(PATIENT, "ca19_9", "37", "U/mL", "x", NOW, datetime(2025, 1, 1, tzinfo=UTC))
