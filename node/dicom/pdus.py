"""Protocol data units (PS3.8 section 9.3) on a connection: each one whole, no longer than allowed, and in time.

Association requests and answers are encoded by pynetdicom (``negotiation``); here are the frame around every PDU, the
P-DATA-TF fragments (section 9.3.5), and the socket with its deadlines. All times are on ``time.monotonic``.
"""

import math
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from node.errors import CeladonError


class PduType(IntEnum):
    """The PDU types (PS3.8 sections 9.3.2 to 9.3.8)."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    DATA_TF = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class Abort(Enum):
    """Source and reason of an A-ABORT (PS3.8 table 9-26)."""

    BY_USER = (0, 0)
    NOT_SPECIFIED = (2, 0)
    UNRECOGNIZED_PDU = (2, 1)
    UNEXPECTED_PDU = (2, 2)
    UNEXPECTED_PARAMETER = (2, 5)
    INVALID_PARAMETER = (2, 6)


class ProtocolFault(CeladonError):
    """The peer does not speak DICOM as it should; answered with an A-ABORT. The message holds nothing it sent."""

    def __init__(self, abort: Abort, detail: str) -> None:
        """``abort`` is what the peer is told, ``detail`` what the log is told."""
        self.abort = abort
        super().__init__(detail)


class PeerLeft(CeladonError):
    """The connection is closed or broken."""


class TooSlow(CeladonError):
    """A deadline passed while the peer was to send or to read."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A presentation data value: part of a command or of a data set (PS3.8 annex E.2)."""

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview
    """Valid until the next PDU is read."""


_HEADER: Final = struct.Struct(">BxI")  # PS3.8 section 9.3.1: type, reserved, length of what follows
_VALUE_HEADER: Final = struct.Struct(">IBB")  # PS3.8 table 9-23 and section E.2: length, context id, control header
_COUNTED_HEADER_BYTES: Final = 2  # of a value's header, what its length counts
_IS_COMMAND: Final = 0b01
_IS_LAST: Final = 0b10
_MOST_VALUES: Final = 256
"""Presentation data values in one PDU: a sender that needs more is after our time."""
_RELEASE_RP: Final = _HEADER.pack(PduType.RELEASE_RP, 4) + bytes(4)
_DISCARD_BYTES: Final = 64 * 1024
_SILENT: Final = "the peer is silent or slow"


def abort_pdu(abort: Abort) -> bytes:
    """An A-ABORT PDU (PS3.8 table 9-26)."""
    return _HEADER.pack(PduType.ABORT, 4) + bytes((0, 0, *abort.value))


def release_response_pdu() -> bytes:
    """An A-RELEASE-RP PDU (PS3.8 table 9-25)."""
    return _RELEASE_RP


def command_pdus(context_id: int, command: bytes, longest: int) -> bytes:
    """A command set as P-DATA-TF PDUs, one value each, none longer than the peer's ``longest`` (0: no limit)."""
    step = (longest - _VALUE_HEADER.size if longest else len(command)) & ~1
    pdus = bytearray()
    for start in range(0, len(command), step):
        part = command[start : start + step]
        control = _IS_COMMAND | (_IS_LAST if start + step >= len(command) else 0)
        pdus += _HEADER.pack(PduType.DATA_TF, _VALUE_HEADER.size + len(part))
        pdus += _VALUE_HEADER.pack(_COUNTED_HEADER_BYTES + len(part), context_id, control)
        pdus += part
    return bytes(pdus)


def fragments(body: memoryview) -> Iterator[Fragment]:
    """The values in the body of a P-DATA-TF PDU (PS3.8 table 9-22); ProtocolFault when it is not made of values."""
    offset = count = 0
    while offset < len(body) or not count:
        count += 1
        if len(body) - offset < _VALUE_HEADER.size or count > _MOST_VALUES:
            raise ProtocolFault(Abort.INVALID_PARAMETER, "a P-DATA-TF PDU is not made of values, or of too many")
        length, context_id, control = _VALUE_HEADER.unpack_from(body, offset)
        start, offset = offset + _VALUE_HEADER.size, offset + 4 + length
        if length < _COUNTED_HEADER_BYTES or offset > len(body):
            raise ProtocolFault(Abort.INVALID_PARAMETER, "the length of a presentation data value is wrong")
        yield Fragment(context_id, bool(control & _IS_COMMAND), bool(control & _IS_LAST), body[start:offset])


class Wire:
    """A connection that is read PDU by PDU and never waits beyond a deadline.

    One thread reads and writes; any thread may ``cut`` it.
    """

    def __init__(self, connected: socket.socket) -> None:
        """Takes the socket over: ``close`` or ``finish`` must be called."""
        connected.settimeout(0)  # what is here is read at once; with a timeout, every read would cost two calls more
        self._socket = connected
        self._header = bytearray(_HEADER.size)
        self._body = bytearray()
        self._is_cut = False
        self._lock = threading.Lock()

    def secure(self, context: ssl.SSLContext, within_s: float) -> None:
        """Shake hands as a TLS server; TooSlow or PeerLeft when that does not succeed."""
        try:
            with self._lock:
                self._socket = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
            self._socket.settimeout(within_s)  # bounds the handshake as a whole
            self._socket.do_handshake()
        except TimeoutError as exc:
            raise TooSlow("TLS handshake") from exc
        except (OSError, ValueError) as exc:
            raise PeerLeft("TLS handshake") from exc
        if self._is_cut:
            raise PeerLeft("cut")
        self._socket.settimeout(0)

    def read_pdu(
        self, *, begin_by: float, whole_within_s: float, longest: int, whole_by: float = float("inf")
    ) -> tuple[int, memoryview]:
        """The next PDU: its type and its body, which is valid until the next call.

        Its first byte must arrive by ``begin_by``; its last within ``whole_within_s`` of the first and by ``whole_by``.

        Raises:
            ProtocolFault: it is of no type that there is, or longer than ``longest``; its body is not read.
            TooSlow: a deadline passed.
            PeerLeft: the connection ended.
        """
        header = memoryview(self._header)
        received = self._receive(header, begin_by)
        whole_by = min(whole_by, time.monotonic() + whole_within_s)
        self._fill(header[received:], whole_by)
        kind, length = _HEADER.unpack(header)
        if not PduType.ASSOCIATE_RQ <= kind <= PduType.ABORT:
            raise ProtocolFault(Abort.UNRECOGNIZED_PDU, "a PDU of no known type")
        if length > longest:
            raise ProtocolFault(Abort.INVALID_PARAMETER, "a PDU is longer than allowed")
        if length > len(self._body):
            self._body = bytearray(length)
        body = memoryview(self._body)[:length]
        self._fill(body, whole_by)
        return kind, body

    def send(self, pdus: bytes, within_s: float) -> None:
        """Send all of ``pdus``; TooSlow when the peer does not take them in time, PeerLeft when it is gone."""
        deadline, left = time.monotonic() + within_s, memoryview(pdus)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(select.POLLOUT, deadline, "the peer does not read")
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, deadline, "the peer does not read")
            except OSError as exc:
                raise PeerLeft(type(exc).__name__) from exc

    def cut(self) -> None:
        """Let the thread that reads find the connection at its end; what it sends still leaves."""
        with self._lock:
            self._is_cut = True
            try:
                # The plain socket's: an SSLSocket's own would take its TLS state away under the thread that reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RD)
            except OSError:
                return

    def finish(self, within_s: float) -> None:
        """Wait for the peer to close (PS3.8 table 9-10, Sta13), discarding what still comes, then close.

        Closing with unread bytes would reset the connection, and what we sent last would be lost.
        """
        deadline = time.monotonic() + within_s
        try:
            self._socket.settimeout(within_s)
            if isinstance(self._socket, ssl.SSLSocket):
                self._close_notify(self._socket)
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.settimeout(0)
            scratch = memoryview(bytearray(_DISCARD_BYTES))
            while True:
                self._receive(scratch, deadline)
        except (OSError, PeerLeft, TooSlow):
            return
        finally:
            self.close()

    def close(self) -> None:
        """Close at once."""
        with self._lock:
            self._socket.close()

    @staticmethod
    def _close_notify(secured: ssl.SSLSocket) -> None:
        try:
            secured.unwrap()
        except (OSError, ValueError):
            return

    def _fill(self, view: memoryview, deadline: float) -> None:
        while view:
            view = view[self._receive(view, deadline) :]

    def _receive(self, view: memoryview, deadline: float) -> int:
        """At least one byte into ``view``: how many."""
        while time.monotonic() < deadline:
            try:
                count = self._socket.recv_into(view)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(select.POLLIN, deadline, _SILENT)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, deadline, _SILENT)
            except OSError as exc:
                raise PeerLeft(type(exc).__name__) from exc
            else:
                if not count:
                    raise PeerLeft("closed")
                return count
        raise TooSlow(_SILENT)

    def _wait(self, event: int, deadline: float, why: str) -> None:
        """Until the socket is ready for more; TooSlow, with ``why``, when it is not by ``deadline``."""
        remaining_s = deadline - time.monotonic()
        ready = select.poll()
        ready.register(self._socket, event)
        if remaining_s <= 0 or not ready.poll(math.ceil(remaining_s * 1000)):
            raise TooSlow(why)
