"""Reasons: one code and one sentence each."""

import pytest

from node.domain.reasons import Reason, ReasonCode


@pytest.mark.parametrize("code", ReasonCode)
def test_a_reason_is_a_sentence_for_people_and_a_code_for_programs(code: ReasonCode) -> None:
    """A whole sentence, and a name that fits its column."""
    assert code.sentence[0].isupper()
    assert code.sentence.endswith(".")
    assert len(code.name) <= 64


def test_no_two_reasons_say_the_same() -> None:
    """Equal values would make one an alias of the other."""
    assert len(ReasonCode.__members__) == len(list(ReasonCode))


def test_a_reason_shows_its_detail_or_its_sentence() -> None:
    """The code always."""
    assert str(Reason(ReasonCode.NOT_CT, "modality MR")) == "NOT_CT: modality MR"
    assert str(Reason(ReasonCode.NOT_CT)) == "NOT_CT: The series is not CT."
