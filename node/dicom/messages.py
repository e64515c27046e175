"""DIMSE messages put together from fragments (PS3.7 section 9, PS3.8 annex E.2), within bounds of memory.

A data set is written once, behind the header of the DICOM file that it will be, while it arrives. What is too large,
or names itself wrongly, is received to its end without being kept, so that its sender gets a status and not an abort.
"""

import hashlib
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

from node.dicom.commands import Command, CommandField, decode_command
from node.dicom.negotiation import Context
from node.dicom.pdus import Abort, Fragment, ProtocolFault
from node.domain.identifiers import InstanceUID, Uid
from node.domain.reasons import ReasonCode

_FREE_FRAGMENTS: Final = 1024
LONGEST_EVENT: Final = 2**20
"""Bytes of the data set of an N-EVENT-REPORT: some thousands of references, where a job has a dozen objects."""
_SMALLEST_FRAGMENT: Final = 64
"""Bytes that fragments must hold on average, once there are many: each costs us the same, however small."""
_PREAMBLE: Final = bytes(128) + b"DICM"
_SHORT: Final = struct.Struct("<HH2sH")  # PS3.5 section 7.1.2: an element of explicit VR with a short length
_FILE_VERSION: Final = struct.pack("<HH2sHI2s", 2, 0x0001, b"OB", 0, 2, b"\x00\x01")  # PS3.10 section 7.1


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A whole request."""

    context: Context
    command: Command
    content: bytes
    """Of a C-STORE that is not refused, the DICOM file (PS3.10) that its data set makes; of an N-EVENT-REPORT, its
    data set; else empty."""
    sha256: str
    """Of ``content``, in hexadecimal; empty when that is."""
    data_set_offset: int
    """Where in ``content`` the data set begins."""
    refusal: ReasonCode | None
    """Why the data set was not kept."""


class ByteBudget:
    """The bytes of unanswered messages that all associations may hold together.

    Who finds it spent waits, and its peer with it. The one that has held bytes for the longest never waits: it would
    keep the others waiting for ever. So the largest object comes on top of the budget, once.
    """

    def __init__(self, limit_bytes: int) -> None:
        """``limit_bytes``: what all may hold."""
        self._limit = limit_bytes
        self._held: dict[int, int] = {}
        self._used = 0
        self._changed = threading.Condition()
        self._is_open = True

    @property
    def used(self) -> int:
        """Bytes held now."""
        return self._used

    def take(self, holder: int, count: int, within_s: float) -> bool:
        """``count`` more bytes for ``holder``; False when there was no room in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(holder, count), within_s):
                return False
            self._held[holder] = self._held.get(holder, 0) + count
            self._used += count
            return True

    def give_back(self, holder: int) -> None:
        """Everything that ``holder`` holds."""
        with self._changed:
            self._used -= self._held.pop(holder, 0)
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    def _has_room(self, holder: int, count: int) -> bool:
        oldest = next(iter(self._held), holder)
        return not self._is_open or self._used + count <= self._limit or oldest == holder


@dataclass(slots=True)
class _Pending:
    """A message that is under way."""

    context: Context
    command_set: bytearray = field(default_factory=bytearray)
    command: Command | None = None
    body: BytesIO = field(default_factory=BytesIO)
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    """Of ``body``, made while it arrives: its sender is busy with the next part meanwhile."""
    data_set_offset: int = 0
    is_kept: bool = False
    """Whether the data set goes to ``body``."""
    refusal: ReasonCode | None = None
    received: int = 0
    fragments: int = 0

    def count(self, fragment: Fragment) -> None:
        """ProtocolFault when a request comes in crumbs, which costs its sender next to nothing and us a core."""
        self.received += len(fragment.data)
        self.fragments += 1
        if self.fragments > _FREE_FRAGMENTS + self.received // _SMALLEST_FRAGMENT:
            raise ProtocolFault(Abort.INVALID_PARAMETER, "a request comes in crumbs")

    def begin_store(self, command: Command, implementation_class_uid: str) -> None:
        """Make room for the data set of a C-STORE, or know why not."""
        try:
            sop_class, instance = Uid(uid_text(command.sop_class_uid)), InstanceUID(uid_text(command.sop_instance_uid))
        except ValueError:
            self.refusal = ReasonCode.UID_INVALID
            return
        if sop_class != self.context.abstract_syntax:
            self.refusal = ReasonCode.UID_MISMATCH
            return
        self.is_kept = True
        header = file_header(sop_class, instance, self.context.transfer_syntax, implementation_class_uid)
        self.data_set_offset = self.add(header)

    def begin_event(self) -> None:
        """Keep the data set of an N-EVENT-REPORT."""
        self.is_kept = True

    def add(self, data: bytes | memoryview) -> int:
        """Add to the body; how many bytes."""
        self.digest.update(data)
        return self.body.write(data)

    def drop(self, code: ReasonCode) -> None:
        """Keep nothing of the data set."""
        self.refusal, self.is_kept, self.body = code, False, BytesIO()

    def whole(self, command: Command) -> Message:
        """The message, when its last fragment is there. BytesIO gives its own bytes away here, without a copy."""
        content, sha256 = (self.body.getvalue(), self.digest.hexdigest()) if self.is_kept else (b"", "")
        return Message(self.context, command, content, sha256, self.data_set_offset, self.refusal)


class Assembler:
    """Puts the messages of one association together, one at a time."""

    def __init__(
        self,
        contexts: Mapping[int, Context],
        *,
        implementation_class_uid: str,
        longest_command: int,
        longest_data_set: int,
        take: Callable[[int], bool],
    ) -> None:
        """``take`` asks for bytes of memory, and waits for them; False refuses the message."""
        self._contexts = contexts
        self._implementation = implementation_class_uid
        self._longest_command = longest_command
        self._longest_data_set = longest_data_set
        self._take = take
        self._pending: _Pending | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no message is under way."""
        return self._pending is None

    @property
    def received(self) -> int:
        """Bytes that have arrived of the message that is under way."""
        return self._pending.received if self._pending else 0

    def feed(self, fragment: Fragment) -> Message | None:
        """The message that ``fragment`` completes, if it does.

        Raises:
            ProtocolFault: it has no place here: another context than accepted or begun, data before a command, a
                command before the data of the last one, a command set that is none, crumbs.
        """
        pending = self._pending = self._place_of(fragment)
        pending.count(fragment)
        if fragment.is_command:
            self._add_command(pending, fragment)
        else:
            self._add_data(pending, fragment)
        command = pending.command
        if command is None or not fragment.is_last or (fragment.is_command and command.has_data_set):
            return None
        self._pending = None
        return pending.whole(command)

    def _place_of(self, fragment: Fragment) -> _Pending:
        context = self._contexts.get(fragment.context_id)
        if context is None:
            raise ProtocolFault(Abort.INVALID_PARAMETER, "a presentation context that was not accepted")
        pending = self._pending or _Pending(context)
        if pending.context != context:
            raise ProtocolFault(Abort.UNEXPECTED_PARAMETER, "another presentation context within a message")
        if fragment.is_command != (pending.command is None):
            raise ProtocolFault(Abort.UNEXPECTED_PARAMETER, "a command where data are due, or data without a command")
        return pending

    def _add_command(self, pending: _Pending, fragment: Fragment) -> None:
        pending.command_set += fragment.data
        if len(pending.command_set) > self._longest_command:
            raise ProtocolFault(Abort.INVALID_PARAMETER, "a command set is longer than allowed")
        if not fragment.is_last:
            return
        pending.command = decode_command(bytes(pending.command_set))
        if pending.command.field == CommandField.C_STORE_RQ:
            if not pending.command.has_data_set:
                raise ProtocolFault(Abort.INVALID_PARAMETER, "a C-STORE without a data set")
            pending.begin_store(pending.command, self._implementation)
        elif pending.command.field == CommandField.N_EVENT_REPORT_RQ:
            pending.begin_event()

    def _longest(self, pending: _Pending) -> int:
        is_event = pending.command is not None and pending.command.field == CommandField.N_EVENT_REPORT_RQ
        return LONGEST_EVENT if is_event else self._longest_data_set

    def _add_data(self, pending: _Pending, fragment: Fragment) -> None:
        count = len(fragment.data)
        if pending.is_kept and pending.body.tell() - pending.data_set_offset + count > self._longest(pending):
            pending.drop(ReasonCode.TOO_LARGE)
        if pending.is_kept and not self._take(count):
            pending.drop(ReasonCode.DISK_FULL)
        if pending.is_kept:
            pending.add(fragment.data)


def uid_text(value: bytes) -> str:
    """A UID without its padding (PS3.5 section 9.1); what is not ASCII makes it fail the grammar."""
    return value.rstrip(b"\0 ").decode("ascii", "replace")


def file_header(sop_class: str, instance: str, transfer_syntax: str, implementation_class: str) -> bytes:
    """What stands before a data set in a file (PS3.10 section 7.1): only what is required.

    So the same object makes the same file, whoever sent it and whichever version received it.
    """
    uids = ((0x0002, sop_class), (0x0003, instance), (0x0010, transfer_syntax), (0x0012, implementation_class))
    elements = b"".join((_FILE_VERSION, *(_uid_element(number, uid) for number, uid in uids)))
    return b"".join((_PREAMBLE, _SHORT.pack(2, 0, b"UL", 4), struct.pack("<I", len(elements)), elements))


def _uid_element(number: int, uid: str) -> bytes:
    value = uid.encode() + b"\0" * (len(uid) % 2)
    return _SHORT.pack(2, number, b"UI", len(value)) + value
