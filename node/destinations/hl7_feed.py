"""A receiver of results as HL7 v2 messages over MLLP: one connection for the messages of a job, an answer for each.

Original mode (HL7 v2.5.1 section 2.9.2): AA is success, AE an error in the message, AR a refusal that may pass unless
its code says that messages of this kind are never taken.
"""

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from node.clinical.hl7_text import Message, NotHl7, read_messages
from node.clinical.mllp import Connection, Ended
from node.destinations.oru import escaped
from node.dicom.tls import client_context
from node.domain.lifecycle import DeliveryState
from node.domain.reporting import Delivery, DeliveryOutcome
from node.settings import FeedSettings

_STORED, _PENDING, _FAILED = DeliveryState.STORED, DeliveryState.PENDING, DeliveryState.FAILED
_LARGEST_ANSWER_BYTES: Final = 1 << 20
# HL7 table 0008 and its enhanced mode.
_ANSWERS: Final = {
    "AA": (_STORED, ""),
    "CA": (_STORED, ""),
    "AE": (_FAILED, "the receiver finds an error in the message"),
    "CE": (_FAILED, "the receiver finds an error in the message"),
    "AR": (_PENDING, "the receiver does not take it now"),
    "CR": (_PENDING, "the receiver does not take it now"),
}
_NEVER_TAKEN: Final = frozenset({"200", "201", "202", "203"})
"""HL7 table 0357: unsupported message type, event, processing id or version."""
_FACILITY, _APPLICATION, _RECEIVING_FACILITY = 3, 4, 5
"""Where MSH-4, MSH-5 and MSH-6 stand when MSH is split at its separator, which is MSH-1."""


class FeedDestination:
    """One configured receiver; implements ``node.domain.ports.Destination``."""

    def __init__(self, name: str, settings: FeedSettings) -> None:
        """``name``: as configured. UsageError when its TLS files cannot be used."""
        self.name = name
        self._settings = settings
        tls = settings.tls
        self._tls = client_context(tls.ca, tls.certificate, tls.key) if tls else None

    def deliver(self, deliveries: Sequence[Delivery]) -> tuple[DeliveryOutcome, ...]:
        """Send the messages one after the other; a receiver that is away makes every outcome PENDING."""
        told: dict[str, DeliveryOutcome] = {}
        try:
            with _connected(self._settings, self._tls) as connection:
                for one in deliveries:
                    told[one.object_uid] = self._send(connection, one)
        except Ended as exc:
            why = f"the connection to the receiver ended: {exc}"
        except (OSError, ssl.SSLError) as exc:
            why = f"no connection to the receiver: {type(exc).__name__}"
        else:
            why = ""
        return tuple(told.get(one.object_uid, DeliveryOutcome(one.object_uid, _PENDING, why)) for one in deliveries)

    def _send(self, connection: Connection, one: Delivery) -> DeliveryOutcome:
        try:
            text = addressed(one.path.read_bytes().decode(), self._settings)
        except OSError as exc:
            return DeliveryOutcome(one.object_uid, _PENDING, f"the message cannot be read: {exc.strerror}")
        connection.send(text.encode())
        frame = connection.next()
        try:
            (answer,) = read_messages(frame.content, "utf-8")
        except (NotHl7, ValueError):
            return DeliveryOutcome(one.object_uid, _PENDING, "the receiver's answer cannot be read")
        (sent,) = read_messages(text.encode(), "utf-8")
        return DeliveryOutcome(one.object_uid, *judged(answer, sent.control_id))


def addressed(text: str, settings: FeedSettings) -> str:
    """The message with this site and its receiver in MSH-4 to MSH-6."""
    header, _, rest = text.partition("\r")
    fields = header.split("|")
    fields[_FACILITY] = escaped(settings.sending_facility)
    fields[_APPLICATION] = escaped(settings.application)
    fields[_RECEIVING_FACILITY] = escaped(settings.facility)
    return "|".join(fields) + "\r" + rest


def judged(answer: Message, control_id: str) -> tuple[DeliveryState, str]:
    """What an acknowledgement means for the message with ``control_id``."""
    named = {segment.name: segment for segment in answer.segments}
    if "MSA" not in named or named["MSA"].component(2) != control_id:
        return _PENDING, "the receiver acknowledged another message"
    state, sentence = _ANSWERS.get(named["MSA"].component(1), (_PENDING, "the receiver's answer cannot be read"))
    codes = {named["ERR"].component(3)} if "ERR" in named else {named["MSA"].component(6)}
    if state is _PENDING and codes & _NEVER_TAKEN:
        return _FAILED, f"the receiver does not take such messages ({', '.join(sorted(codes))})"
    return state, sentence


@contextmanager
def _connected(settings: FeedSettings, tls: ssl.SSLContext | None) -> Iterator[Connection]:
    with socket.create_connection((settings.host, settings.port), settings.timeout_s) as plain:
        secure = tls.wrap_socket(plain, server_hostname=settings.host) if tls else plain
        with secure:
            yield Connection(
                secure,
                max_bytes=_LARGEST_ANSWER_BYTES,
                message_s=settings.timeout_s,
                idle_s=settings.timeout_s,
            )
