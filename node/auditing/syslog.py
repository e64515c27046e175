"""Syslog over TLS: messages of RFC 5424 in the frames of RFC 5425, and how one knows that they have arrived.

Syslog itself acknowledges nothing. A batch counts as arrived when the receiver has answered our close_notify with its
own (RFC 5425 section 4.4): it has then read everything before it. Anything else, and the batch is sent again.
"""

import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from node.errors import Retryable

MESSAGE_ID: Final = "DICOM+RFC3881"
"""PS3.15 section A.6."""
_PRIORITY: Final = 10 * 8 + 5
"""Facility 10, security and authorisation; severity 5, normal but significant (PS3.15 section A.6)."""
_APPLICATION: Final = "celadon"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where messages go."""

    host: str
    port: int
    context: ssl.SSLContext
    timeout_s: float


def framed(content: bytes, at: datetime, host: str) -> bytes:
    """A syslog message with its length in front: MSG-LEN SP SYSLOG-MSG (RFC 5425 section 4.3)."""
    moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    header = f"<{_PRIORITY}>1 {moment} {_name(host)} {_APPLICATION} {os.getpid()} {MESSAGE_ID} - "
    whole = header.encode("ascii") + content
    return f"{len(whole)} ".encode("ascii") + whole


def send(receiver: Receiver, frames: Sequence[bytes]) -> None:
    """Send ``frames`` on a connection of their own and wait until all of them have arrived.

    Raises:
        Retryable: they may not have arrived; some of them may have.
    """
    try:
        with (
            socket.create_connection((receiver.host, receiver.port), receiver.timeout_s) as plain,
            receiver.context.wrap_socket(plain, server_hostname=receiver.host) as secured,
        ):
            for frame in frames:
                secured.sendall(frame)
            _close(secured)
    except OSError as exc:  # every error of the ssl module among them
        raise Retryable(f"audit repository: {type(exc).__name__}") from exc


def _close(secured: ssl.SSLSocket) -> None:
    """Say that this was all, and wait for the receiver to say that it has read it."""
    try:
        secured.unwrap()
    except ssl.SSLEOFError:
        # It has closed in order, but without the notice: it would have reset the connection with anything unread.
        return


def _name(host: str) -> str:
    """A host name as the header may hold it (RFC 5424 section 6.2.4)."""
    printable = "".join(character for character in host if "!" <= character <= "~")
    return printable[:255] or "-"
