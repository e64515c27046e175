"""MLLP: HL7 v2 messages on a TCP connection, each between VT and FS CR (HL7 v2.5.1 appendix C, MLLP release 1).

Bounded in memory and time: a message that is too large is read to its end and thrown away, so that its sender can still
be answered; one that takes too long ends the connection.
"""

import socket
import time
from dataclasses import dataclass
from typing import Final

START: Final = b"\x0b"
END: Final = b"\x1c\r"

_CHUNK: Final = 65_536
_HEAD_BYTES: Final = 4096
"""Of a message that is too large: what holds its MSH."""
_LARGEST_FLOOD: Final = 64
"""Times the limit, after which a message that is too large is not read to its end any more."""


class Ended(Exception):
    """The connection is over; the text is a code: CLOSED, IDLE, SLOW, NOT_MLLP, FLOOD, STOPPED."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message as it came."""

    content: bytes
    is_too_large: bool = False
    """Then ``content`` is only its beginning."""


class Connection:
    """Reads frames from a socket."""

    def __init__(self, peer: socket.socket, *, max_bytes: int, message_s: float, idle_s: float) -> None:
        """``message_s``: for one message; ``idle_s``: between two."""
        self._socket = peer
        self._max_bytes = max_bytes
        self._message_s = message_s
        self._idle_s = idle_s
        self._buffer = bytearray()

    def next(self) -> Frame:
        """The next message.

        Raises:
            Ended: there will be none.
        """
        self._find_start()
        deadline = time.monotonic() + self._message_s
        searched, total, head = 0, 0, b""
        while True:
            end = self._buffer.find(END, max(0, searched - 1))
            if end >= 0:
                return self._cut(end, total, head)
            searched = len(self._buffer)
            if searched > self._max_bytes:
                head = head or bytes(self._buffer[:_HEAD_BYTES])
                total += searched - 1
                # The last byte may be the first of the end.
                del self._buffer[: searched - 1]
                searched = 1
            if total > _LARGEST_FLOOD * self._max_bytes:
                raise Ended("FLOOD")
            self._receive(deadline, "SLOW")

    def send(self, content: bytes) -> None:
        """Send one message.

        Raises:
            Ended: it could not be sent in time.
        """
        try:
            self._socket.settimeout(self._message_s)
            self._socket.sendall(START + content + END)
        except OSError as exc:
            raise Ended("CLOSED") from exc

    def _cut(self, end: int, total: int, head: bytes) -> Frame:
        content = bytes(self._buffer[:end])
        del self._buffer[: end + len(END)]
        if total or len(content) > self._max_bytes:
            return Frame(head or content[:_HEAD_BYTES], is_too_large=True)
        return Frame(content)

    def _find_start(self) -> None:
        deadline = time.monotonic() + self._idle_s
        while True:
            stripped = self._buffer.lstrip(b"\r\n \t\x00")
            if stripped[:1] == START:
                self._buffer = stripped[1:]
                return
            if stripped:
                raise Ended("NOT_MLLP")
            self._buffer.clear()
            self._receive(deadline, "IDLE")

    def _receive(self, deadline: float, why: str) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Ended(why)
        try:
            self._socket.settimeout(left)
            chunk = self._socket.recv(_CHUNK)
        except TimeoutError as exc:
            raise Ended(why) from exc
        except OSError as exc:
            raise Ended("CLOSED") from exc
        if not chunk:
            raise Ended("CLOSED")
        self._buffer += chunk
