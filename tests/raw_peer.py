"""A peer that speaks in single PDUs, right or wrong, and a user of the service that remembers what it was told."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext, build_context

from node.dicom.contexts import accepted_contexts
from node.dicom.negotiation import Acceptor
from node.dicom.upper_layer import Answer, Association, End, Limits, StoreRequest, UpperLayerServer
from node.domain.identifiers import AeTitle
from node.domain.reasons import ReasonCode

HOST = "127.0.0.1"
NODE = AeTitle("CELADON")
ME = AeTitle("SCANNER")
VERIFICATION = UID("1.2.840.10008.1.1")
FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
IMPLEMENTATION = "2.25.7100"
# The contexts that a raw peer proposes, by id.
CT, ECHO, UNSUPPORTED = 1, 3, 5
ANSWER_WITHIN_S = 10.0


@dataclass
class Recorder:
    """A user of the service: takes everything, and remembers it."""

    answer: Callable[[StoreRequest], Answer] = lambda _: 0
    admitted: Callable[[str, str], bool] = lambda _, __: True
    stored: list[StoreRequest] = field(default_factory=list)
    refused: list[ReasonCode] = field(default_factory=list)
    ended: list[tuple[int, End]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def admit(self, calling_ae: AeTitle, address: str) -> bool:
        """What the test decided."""
        return self.admitted(calling_ae, address)

    def on_store(self, request: StoreRequest) -> Answer:
        """Remember, and answer what the test decided."""
        self.stored.append(request)
        return self.answer(request)

    def on_refused(self, _: Association, code: ReasonCode) -> None:
        """Remember."""
        self.refused.append(code)

    def on_ended(self, association: Association, end: End) -> None:
        """Remember, and let the test go on."""
        self.ended.append((association.id, end))
        self.over.set()

    def how_it_ended(self) -> End:
        """How the first association ended, once it has."""
        assert self.over.wait(ANSWER_WITHIN_S), "the association has not ended"
        return self.ended[0][1]


def acceptor(**changes: object) -> Acceptor:
    """What Celadon accepts."""
    contexts = (*accepted_contexts(), build_context(VERIFICATION))
    fields = {
        "ae_title": NODE,
        "contexts": contexts,
        "implementation_class_uid": IMPLEMENTATION,
        "implementation_version_name": "TEST",
    }
    return Acceptor(**(fields | changes))  # type: ignore[arg-type]


@contextmanager
def serving(
    user: Recorder | None = None,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    accepts: Acceptor | None = None,
) -> Iterator[UpperLayerServer]:
    """A server on a free port of the loopback interface."""
    server = UpperLayerServer(accepts or acceptor(), user or Recorder(), limits, tls)
    server.start(HOST, 0)
    try:
        yield server
    finally:
        server.stop(0.0)


class RawPeer:
    """One connection to a server."""

    def __init__(self, port: int, source: str = HOST, tls: ssl.SSLContext | None = None) -> None:
        """Connect from the loopback address ``source``."""
        self.socket = socket.create_connection((HOST, port), ANSWER_WITHIN_S, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self.socket.sendall(data)

    def answer(self) -> tuple[int, bytes] | None:
        """The next PDU, type and body; None when the server has closed the connection."""
        try:
            header = self._exactly(6)
            kind, length = struct.unpack(">BxI", header)
            return kind, self._exactly(length)
        except (EOFError, ConnectionError):
            return None

    def abort_reason(self) -> tuple[int, int]:
        """Source and reason of the A-ABORT that must come next, before the connection closes."""
        kind, body = self.expect(7)
        assert kind == 7
        assert self.answer() is None
        return body[2], body[3]

    def expect(self, kind: int) -> tuple[int, bytes]:
        """The next PDU, which must be of ``kind``."""
        answer = self.answer()
        assert answer is not None, "closed without an answer"
        assert answer[0] == kind, f"PDU type {answer[0]}, expected {kind}"
        return answer

    def associate(self, **changes: object) -> Self:
        """Have an association."""
        self.send(associate_rq(**changes))  # type: ignore[arg-type]
        self.expect(2)
        return self

    def status(self) -> int:
        """The status of the next response."""
        return int.from_bytes(elements_of(self.response())[0x0900], "little")

    def response(self) -> bytes:
        """The command set of the next response, put together."""
        command, is_last = b"", False
        while not is_last:
            _, body = self.expect(4)
            command += body[6:]
            is_last = bool(body[5] & 2)
        return command

    def echo(self) -> int:
        """The status of a C-ECHO."""
        self.send(data_tf(value(ECHO, echo_rq())))
        return self.status()

    def release(self) -> None:
        """Release, and see the connection closed."""
        self.send(RELEASE_RQ)
        self.expect(6)
        self.socket.close()

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data


RELEASE_RQ = struct.pack(">BxI4x", 5, 4)
RELEASE_RP = struct.pack(">BxI4x", 6, 4)
ABORT = struct.pack(">BxI4x", 7, 4)


def associate_rq(
    called: str = NODE,
    calling: str = ME,
    contexts: Sequence[PresentationContext] | None = None,
    longest: int = 16384,
    application: str = "1.2.840.10008.3.1.1.1",
    window: tuple[int, int] | None = None,
) -> bytes:
    """An A-ASSOCIATE-RQ PDU."""
    request = A_ASSOCIATE()
    request.application_context_name = application
    request.called_ae_title, request.calling_ae_title = called, calling
    request.presentation_context_definition_list = list(contexts or usual_contexts())
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = longest
    implementation.implementation_class_uid = UID("2.25.7101")
    request.user_information = [length, implementation]
    if window:
        asynchronous = AsynchronousOperationsWindowNegotiation()
        asynchronous.maximum_number_operations_invoked, asynchronous.maximum_number_operations_performed = window
        request.user_information.append(asynchronous)
    return bytes(A_ASSOCIATE_RQ(request).encode())


def usual_contexts() -> list[PresentationContext]:
    """CT, verification, and something that a listener does not know."""
    contexts = [
        build_context(CTImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]),
        build_context(VERIFICATION),
        build_context(FIND),
    ]
    for number, context in zip((CT, ECHO, UNSUPPORTED), contexts, strict=True):
        context.context_id = number
    return contexts


def pdu(kind: int, body: bytes) -> bytes:
    """A PDU of any type."""
    return struct.pack(">BxI", kind, len(body)) + body


def value(context_id: int, data: bytes, *, command: bool = True, last: bool = True) -> bytes:
    """A presentation data value."""
    return struct.pack(">IBB", len(data) + 2, context_id, command | last << 1) + data


def data_tf(*values: bytes) -> bytes:
    """A P-DATA-TF PDU."""
    return pdu(4, b"".join(values))


def command_set(*elements: tuple[int, bytes]) -> bytes:
    """A command set, without its group length, of element numbers and values as they stand."""
    return b"".join(struct.pack("<HHI", 0, number, len(one)) + one for number, one in elements)


def us(number: int) -> bytes:
    """A value of VR US."""
    return struct.pack("<H", number)


def ui(uid: str) -> bytes:
    """A value of VR UI."""
    return uid.encode() + b"\0" * (len(uid) % 2)


def echo_rq(message_id: int = 1, field_: int = 0x0030) -> bytes:
    """A C-ECHO-RQ, or another request without a data set."""
    return command_set((2, ui(VERIFICATION)), (0x100, us(field_)), (0x110, us(message_id)), (0x800, us(0x0101)))


def store_rq(message_id: int = 1, uid: str = "2.25.1", sop_class: str = CTImageStorage) -> bytes:
    """A C-STORE-RQ."""
    return command_set(
        (2, ui(sop_class)), (0x100, us(1)), (0x110, us(message_id)), (0x700, us(0)), (0x800, us(0)), (0x1000, ui(uid))
    )


def store(data_set: bytes, message_id: int = 1, *, step: int = 16000, **changes: str) -> bytes:
    """The PDUs of a whole C-STORE, its data set in values of ``step`` bytes."""
    parts = [data_set[start : start + step] for start in range(0, len(data_set), step)]
    last = len(parts) - 1
    values = [value(CT, part, command=False, last=number == last) for number, part in enumerate(parts)]
    return data_tf(value(CT, store_rq(message_id, **changes))) + b"".join(data_tf(one) for one in values)


def elements_of(command: bytes) -> dict[int, bytes]:
    """Element number → value of a command set."""
    found, offset = {}, 0
    while offset < len(command):
        _, number, length = struct.unpack_from("<HHI", command, offset)
        found[number] = command[offset + 8 : offset + 8 + length]
        offset += 8 + length
    return found


def bytewise(data: bytes, pause_s: float) -> Iterable[bytes]:
    """``data`` a byte at a time."""
    for number in range(len(data)):
        yield data[number : number + 1]
        time.sleep(pause_s)
