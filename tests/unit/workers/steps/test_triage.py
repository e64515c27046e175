"""Triage hands the input contract's verdict on."""

import pytest

from node.domain.reasons import ReasonCode
from node.errors import Refused
from tests.factories import ct_slices, series_of
from workers.steps.triage import triage


def test_an_axial_series_becomes_a_stack() -> None:
    """In spatial order, with its grid."""
    made = triage(series_of(ct_slices(4)[::-1]))
    assert made.geometry.shape_zyx == (4, 16, 20)
    positions = [one.image_position_mm for one in made.instances]
    assert positions == sorted(positions)


def test_what_breaks_the_contract_is_refused() -> None:
    """With the reason of the clause."""
    with pytest.raises(Refused) as refused:
        triage(series_of(ct_slices(4, Modality="MR")))
    assert refused.value.reason.code is ReasonCode.NOT_CT
