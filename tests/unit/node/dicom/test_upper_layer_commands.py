"""Command sets and the byte budget, without a connection."""

import threading
from io import BytesIO

import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dsutils import decode, encode

from node.dicom.commands import Command, decode_command, response_to
from node.dicom.messages import ByteBudget, uid_text
from node.dicom.pdus import ProtocolFault
from tests.raw_peer import VERIFICATION, command_set, echo_rq, store_rq, ui, us

SOON_S = 0.2


def _encoded(message: C_ECHO_RQ | C_STORE_RQ, primitive: C_ECHO | C_STORE) -> bytes:
    message.primitive_to_message(primitive)
    encoded = encode(message.command_set, is_implicit_vr=True, is_little_endian=True)
    assert encoded
    return bytes(encoded)


def test_what_pynetdicom_writes_is_read() -> None:
    """A C-STORE-RQ with everything that it may have, and a C-ECHO-RQ, are read as they were meant."""
    store = C_STORE()
    store.MessageID, store.Priority = 513, 2
    store.AffectedSOPClassUID, store.AffectedSOPInstanceUID = CTImageStorage, "2.25.123"
    store.MoveOriginatorApplicationEntityTitle, store.MoveOriginatorMessageID = "PACS", 7
    store.DataSet = None
    echo = C_ECHO()
    echo.MessageID, echo.AffectedSOPClassUID = 65535, VERIFICATION
    read = decode_command(_encoded(C_STORE_RQ(), store))
    assert (read.field, read.message_id) == (1, 513)
    assert (uid_text(read.sop_class_uid), uid_text(read.sop_instance_uid)) == (CTImageStorage, "2.25.123")
    assert decode_command(_encoded(C_ECHO_RQ(), echo)) == Command(
        0x30, 65535, has_data_set=False, sop_class_uid=ui(VERIFICATION), sop_instance_uid=b""
    )


def test_what_is_answered_can_be_read() -> None:
    """What is sent is a response to pydicom, with its group length, and finds what was asked and what is said."""
    response = response_to(decode_command(store_rq(9, uid="2.25.12")), 0xA700, "no room")
    read = decode(BytesIO(response), is_implicit_vr=True, is_little_endian=True)
    expected = Dataset()
    expected.CommandGroupLength = len(response) - 12
    expected.AffectedSOPClassUID, expected.AffectedSOPInstanceUID = CTImageStorage, "2.25.12"
    expected.CommandField, expected.MessageIDBeingRespondedTo = 0x8001, 9
    expected.CommandDataSetType, expected.Status, expected.ErrorComment = 0x0101, 0xA700, "no room"
    assert read == expected


def test_elements_of_no_use_are_passed_over() -> None:
    """Retired and unknown elements of group 0000 do no harm where they stand in order."""
    known = store_rq()
    extra = command_set((0x0001, b"1234")) + known + command_set((0x5010, us(1)))
    assert decode_command(extra) == decode_command(known)


@pytest.mark.parametrize("end", range(1, len(echo_rq())))
def test_a_truncated_command_is_a_fault(end: int) -> None:
    """Wherever a C-ECHO-RQ is cut off, it is not taken for a whole one."""
    with pytest.raises(ProtocolFault):
        decode_command(echo_rq()[:end])


def test_the_budget_is_never_exceeded_but_by_the_oldest() -> None:
    """Others wait and give up in time; the oldest holder takes more than there is."""
    budget = ByteBudget(100)
    assert budget.take(1, 60, SOON_S)
    assert budget.take(2, 40, SOON_S)
    assert not budget.take(2, 1, SOON_S)
    assert not budget.take(3, 1, SOON_S)
    assert budget.take(1, 50, SOON_S)
    assert budget.used == 150
    budget.give_back(1)
    assert budget.take(3, 60, SOON_S)
    budget.give_back(2)
    budget.give_back(3)
    assert budget.used == 0


@pytest.mark.parametrize("relieve", [lambda budget: budget.give_back(1), lambda budget: budget.close()])
def test_who_waits_goes_on_as_soon_as_there_is_room(relieve: object) -> None:
    """Bytes that are given back, or a server that stops, wake those that wait."""
    budget = ByteBudget(100)
    assert budget.take(1, 100, SOON_S)
    taken: list[bool] = []
    waiting = threading.Thread(target=lambda: taken.append(budget.take(2, 1, 30.0)))
    waiting.start()
    assert callable(relieve)
    relieve(budget)
    waiting.join(10.0)
    assert taken == [True]
