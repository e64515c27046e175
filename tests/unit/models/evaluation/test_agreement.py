"""Agreement: the example of Shrout & Fleiss, as R's psych computes it."""

import numpy as np
import pytest

from models.evaluation.agreement import agreement
from node.errors import UsageError
from tests.unit.models.evaluation.references import said

R = said()["agreement"]
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)


def test_both_forms_and_their_intervals_are_those_of_r() -> None:
    """ICC2 is our absolute agreement, ICC3 our consistency."""
    found = agreement(JUDGES)
    for ours, form in ((found.absolute, "ICC2"), (found.consistency, "ICC3")):
        index = R["type"].index(form)
        assert ours.value == pytest.approx(R["icc"][index], rel=1e-9)
        assert (ours.low, ours.high) == pytest.approx((R["low"][index], R["high"][index]), rel=1e-6)


def test_an_offset_spoils_absolute_agreement_alone() -> None:
    """An observer who always says two more is consistent."""
    base = np.array([1.0, 3.0, 7.0, 9.0, 4.0])
    found = agreement(np.column_stack((base, base + 2)))
    assert found.consistency.value == pytest.approx(1)
    assert found.absolute.value is not None
    assert found.absolute.value < 0.9


@pytest.mark.parametrize(
    "measurements", [np.ones((1, 3)), np.ones((3, 1)), np.ones((3, 3)), np.array([[1.0, np.nan], [2.0, 3.0]])]
)
def test_what_cannot_agree_is_wrong_usage(measurements: np.ndarray) -> None:
    """One target, one observer, no spread, a gap."""
    with pytest.raises(UsageError, match="agreement"):
        agreement(measurements)
