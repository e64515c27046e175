"""DIMSE command sets (PS3.7 sections 6.3 and 9.3, annex E): those that the listener reads and writes.

A command set is Implicit VR Little Endian whatever the context's transfer syntax. It is small and comes with every
image, so it is read and written here in a few microseconds instead of as a data set.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from node.dicom.pdus import Abort, ProtocolFault


class CommandField(IntEnum):
    """Command Field (0000,0100) of the requests that are known here (PS3.7 table E.1-1)."""

    C_STORE_RQ = 0x0001
    C_ECHO_RQ = 0x0030
    N_EVENT_REPORT_RQ = 0x0100
    C_CANCEL_RQ = 0x0FFF


class Tag(IntEnum):
    """Element numbers in group 0000 (PS3.7 table E.1-1)."""

    GROUP_LENGTH = 0x0000
    AFFECTED_SOP_CLASS_UID = 0x0002
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    MESSAGE_ID_RESPONDED_TO = 0x0120
    DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    ERROR_COMMENT = 0x0902
    AFFECTED_SOP_INSTANCE_UID = 0x1000
    EVENT_TYPE_ID = 0x1002


@dataclass(frozen=True, slots=True)
class Command:
    """A request as it came; the identifiers are not checked."""

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: bytes
    sop_instance_uid: bytes
    event_type: int | None = None
    """Of an N-EVENT-REPORT-RQ."""


UNRECOGNIZED_OPERATION: Final = 0x0211  # PS3.7 section C.5.21
_RESPONSE: Final = 0x8000
_NO_DATA_SET: Final = 0x0101
_LONGEST_COMMENT: Final = 64  # LO, PS3.5 table 6.2-1
_ELEMENT: Final = struct.Struct("<HHI")
_US: Final = struct.Struct("<H")
_US_ELEMENT: Final = struct.Struct("<HHIH")
_UL_ELEMENT: Final = struct.Struct("<HHII")
# In a C-CANCEL-RQ (PS3.7 table 9.3-13) the message that is meant stands in place of a message id.
_REQUIRED: Final = (Tag.COMMAND_FIELD, Tag.DATA_SET_TYPE)
_MESSAGE_IDS: Final = (Tag.MESSAGE_ID, Tag.MESSAGE_ID_RESPONDED_TO)


def decode_command(command_set: bytes) -> Command:
    """The request in a whole command set; ProtocolFault when it is not one."""
    elements = _elements(command_set)
    if any(tag not in elements for tag in _REQUIRED) or not any(tag in elements for tag in _MESSAGE_IDS):
        raise ProtocolFault(Abort.INVALID_PARAMETER, "a command set lacks what every command has")
    field = _number(elements[Tag.COMMAND_FIELD])
    if field & _RESPONSE:
        raise ProtocolFault(Abort.UNEXPECTED_PARAMETER, "a response to nothing that was asked")
    return Command(
        field=field,
        message_id=_number(next(elements[tag] for tag in _MESSAGE_IDS if tag in elements)),
        has_data_set=_number(elements[Tag.DATA_SET_TYPE]) != _NO_DATA_SET,
        sop_class_uid=elements.get(Tag.AFFECTED_SOP_CLASS_UID, b""),
        sop_instance_uid=elements.get(Tag.AFFECTED_SOP_INSTANCE_UID, b""),
        event_type=_number(elements[Tag.EVENT_TYPE_ID]) if Tag.EVENT_TYPE_ID in elements else None,
    )


def response_to(request: Command, status: int, comment: str = "") -> bytes:
    """The command set that answers ``request`` (PS3.7 tables 9.3-2, 9.3-12 and 10.3-2).

    A comment is shown by senders' logs.
    """
    elements = b"".join(
        (
            _text(Tag.AFFECTED_SOP_CLASS_UID, request.sop_class_uid, b"\0"),
            _US_ELEMENT.pack(0, Tag.COMMAND_FIELD, 2, request.field | _RESPONSE),
            _US_ELEMENT.pack(0, Tag.MESSAGE_ID_RESPONDED_TO, 2, request.message_id),
            _US_ELEMENT.pack(0, Tag.DATA_SET_TYPE, 2, _NO_DATA_SET),
            _US_ELEMENT.pack(0, Tag.STATUS, 2, status),
            _text(Tag.ERROR_COMMENT, _printable(comment), b" "),
            _text(Tag.AFFECTED_SOP_INSTANCE_UID, request.sop_instance_uid, b"\0"),
            b"" if request.event_type is None else _US_ELEMENT.pack(0, Tag.EVENT_TYPE_ID, 2, request.event_type),
        )
    )
    return _UL_ELEMENT.pack(0, Tag.GROUP_LENGTH, 4, len(elements)) + elements


def _elements(command_set: bytes) -> dict[int, bytes]:
    """Element number → value, of group 0000, ascending, each within the set (PS3.7 section 6.3.1)."""
    elements: dict[int, bytes] = {}
    offset, last = 0, -1
    while offset < len(command_set):
        if len(command_set) - offset < _ELEMENT.size:
            raise ProtocolFault(Abort.INVALID_PARAMETER, "a command set ends within an element")
        group, number, length = _ELEMENT.unpack_from(command_set, offset)
        start, offset = offset + _ELEMENT.size, offset + _ELEMENT.size + length
        if group or number <= last or offset > len(command_set):
            raise ProtocolFault(Abort.INVALID_PARAMETER, "a command set has elements out of group, order or bounds")
        elements[number] = command_set[start:offset]
        last = number
    return elements


def _number(value: bytes) -> int:
    if len(value) != _US.size:
        raise ProtocolFault(Abort.INVALID_PARAMETER, "a number in a command set is not of two bytes")
    return int(_US.unpack(value)[0])


def _text(number: int, value: bytes, padding: bytes) -> bytes:
    """An element of text, padded to even length; nothing when it is empty."""
    if not value:
        return b""
    even = value + padding * (len(value) % 2)
    return _ELEMENT.pack(0, number, len(even)) + even


def _printable(comment: str) -> bytes:
    return "".join(one if one.isprintable() and one.isascii() and one != "\\" else "?" for one in comment)[
        :_LONGEST_COMMENT
    ].encode()
