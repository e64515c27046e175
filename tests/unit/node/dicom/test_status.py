"""DIMSE statuses: nothing that can happen to an object is without an answer."""

import ast
from pathlib import Path

import pytest

import node
from node.dicom.status import OUT_OF_RESOURCES, PROCESSING_FAILURE, REFUSAL_STATUS, SUCCESS, VERDICT_STATUS
from node.domain.intake import IntakeVerdict
from node.domain.reasons import ReasonCode

CANNOT_UNDERSTAND = range(0xC000, 0xD000)
"""PS3.4 table B.2-1."""


def raised_at_the_door() -> set[ReasonCode]:
    """The reasons that the source code gives to RefusedAtDoor."""
    found = set()
    for path in Path(node.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "RefusedAtDoor":
                found.add(ReasonCode[ast.unparse(call.args[0]).removeprefix("ReasonCode.")])
    return found


def test_every_reason_that_is_given_at_the_door_has_a_status() -> None:
    """A refusal can always be answered, and the table answers more than one reason."""
    raised = raised_at_the_door()
    assert len(raised) > 5
    assert raised <= REFUSAL_STATUS.keys()


def test_no_refusal_is_a_success_or_a_warning() -> None:
    """A sender that is refused still has the object, and must know it (PS3.7 annex C)."""
    for status in REFUSAL_STATUS.values():
        assert status != SUCCESS
        assert status >> 12 != 0xB


def test_every_verdict_has_a_status() -> None:
    """Stored, duplicate, own result and conflict are all answered."""
    assert VERDICT_STATUS.keys() == set(IntakeVerdict)


def test_only_what_is_here_is_success() -> None:
    """Success for what this node holds; a conflict is Duplicate SOP Instance."""
    assert {verdict for verdict, status in VERDICT_STATUS.items() if status == SUCCESS} == {
        IntakeVerdict.STORED,
        IntakeVerdict.DUPLICATE,
        IntakeVerdict.OWN_RESULT,
    }
    assert VERDICT_STATUS[IntakeVerdict.CONFLICT] == 0x0111


@pytest.mark.parametrize("reason", [ReasonCode.NOT_PARSEABLE, ReasonCode.PIXEL_DATA_LENGTH, ReasonCode.TOO_DEEP])
def test_broken_objects_are_not_understood(reason: ReasonCode) -> None:
    """A sender must not try a broken object again and again."""
    assert REFUSAL_STATUS[reason] in CANNOT_UNDERSTAND


def test_what_is_our_fault_is_tried_again() -> None:
    """Senders repeat what failed for want of room, or inside this node."""
    assert REFUSAL_STATUS[ReasonCode.DISK_FULL] == OUT_OF_RESOURCES
    assert REFUSAL_STATUS[ReasonCode.STORE_AWAY] == OUT_OF_RESOURCES
    assert REFUSAL_STATUS[ReasonCode.INTERNAL] == PROCESSING_FAILURE


@pytest.mark.parametrize("table", [VERDICT_STATUS, REFUSAL_STATUS])
def test_the_tables_cannot_be_changed(table: dict[object, int]) -> None:
    """A status is what this file says it is."""
    with pytest.raises(TypeError):
        table["anything"] = SUCCESS
