"""The upper layer service (PS3.8) as an acceptor that no peer can hold up: one guarded thread a connection, no polling.

Every wait has a deadline and every length a limit (``Limits``). A thread reads a request, answers it, and only then
reads on: a peer that sends without awaiting answers is held back by TCP, not by a queue. What reaches the user of the
service (``ServiceUser``) is whole, bounded requests. Negotiation and its encoding are pynetdicom's.
"""

import itertools
import selectors
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import Final, Protocol

from node import log
from node.dicom.commands import UNRECOGNIZED_OPERATION, CommandField, response_to
from node.dicom.messages import Assembler, ByteBudget, Message, uid_text
from node.dicom.negotiation import Acceptor, Rejection, accept, read_request, rejection_of, rejection_pdu
from node.dicom.pdus import (
    Abort,
    PduType,
    PeerLeft,
    ProtocolFault,
    TooSlow,
    Wire,
    abort_pdu,
    command_pdus,
    fragments,
    release_response_pdu,
)
from node.dicom.status import PROCESSING_FAILURE, REFUSAL_STATUS, SUCCESS
from node.domain.identifiers import AeTitle, InstanceUID, Uid
from node.domain.reasons import ReasonCode

BACKLOG: Final = 1024
"""Connections that the system keeps until we accept them: with 128, a flood made others wait for TCP's own repeats."""
_SWITCH_S: Final = 0.0005
"""How long a computing thread keeps the interpreter from those that only pass bytes on. With Python's 5 ms, ten busy
peers made a new one wait for seconds; with this, a tenth of one."""
_LIMIT_EXCEEDED: Final = rejection_pdu(Rejection.LOCAL_LIMIT_EXCEEDED)
_FLOOD_S: Final = 0.05
"""Refusals that follow each other sooner are a flood, in which a word of explanation costs too much."""
_OUT_OF_DESCRIPTORS_PAUSE_S: Final = 0.1
_REFUSALS_LOGGED_EVERY_S: Final = 10.0
_JOIN_S: Final = 1.0
_FIXED_PDU_BYTES: Final = 4  # PS3.8 tables 9-24 to 9-26: the length of release and abort PDUs

Answer = int | tuple[int, str]
"""A DIMSE status, or one with an Error Comment (0000,0902)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much and how long. Lengths in bytes, times in seconds."""

    request_pdu: int = 64 * 1024
    """Longest PDU before an association."""
    data_pdu: int = 256 * 1024
    """Longest PDU within one; what the requestor is told (PS3.8 section D.1)."""
    command_set: int = 64 * 1024
    data_set: int = 2**30
    in_flight: int = 128 * 2**20
    """Bytes of unanswered requests that all associations may hold; more must wait."""
    connections: int = 256
    connections_per_host: int = 32
    artim_s: float = 5.0
    """From the connection to the last byte of the association request (PS3.8 section 9.1.5)."""
    handshake_s: float = 5.0
    """For TLS."""
    pdu_s: float = 5.0
    """From the first byte of a PDU to its last, and for a peer to take an answer."""
    idle_s: float = 60.0
    """Silence between requests."""
    pause_s: float = 15.0
    """Silence between the PDUs of one request."""
    request_s: float = 30.0
    """For one request, and a second more for every ``slowest`` bytes that have arrived of it."""
    slowest: int = 16 * 1024
    """Bytes a second below which a peer does not send but block."""
    room_s: float = 30.0
    """To wait for a share of ``in_flight``; after that the object is refused, to be sent again later."""
    closing_s: float = 1.0
    """For the peer to close after the last PDU."""


class End(StrEnum):
    """How an association ended."""

    RELEASED = "released"
    ABORTED_BY_PEER = "aborted by peer"
    ABORTED = "aborted"
    LOST = "connection lost"


@dataclass(frozen=True, slots=True)
class Association:
    """An established association."""

    id: int
    """Unique within this server."""
    calling_ae: AeTitle
    """What the peer calls itself: a claim."""
    called_ae: AeTitle
    address: str
    """IP address of the peer."""


@dataclass(frozen=True, slots=True, eq=False)
class StoreRequest:
    """A C-STORE-RQ (PS3.7 section 9.1.1) with all of its data set."""

    association: Association
    abstract_syntax: str
    transfer_syntax: str
    sop_class_uid: Uid
    sop_instance_uid: InstanceUID
    message_id: int
    content: bytes
    """The DICOM file (PS3.10) that the data set makes: preamble zeroed, the data set as received."""
    sha256: str
    """Of ``content``, in hexadecimal."""
    data_set_offset: int
    """Where in ``content`` the data set begins."""

    @property
    def data_set(self) -> bytes:
        """The data set alone (a copy)."""
        return self.content[self.data_set_offset :]


@dataclass(frozen=True, slots=True, eq=False)
class EventReport:
    """An N-EVENT-REPORT-RQ (PS3.7 section 10.1.1) with all of its data set."""

    association: Association
    abstract_syntax: str
    transfer_syntax: str
    event_type: int | None
    data_set: bytes


class ServiceUser(Protocol):
    """What the service is run for. Called in the threads of the associations, for one of them in order."""

    def admit(self, calling_ae: AeTitle, address: str) -> bool:
        """Whether this peer may have an association."""
        ...

    def on_store(self, request: StoreRequest) -> Answer:
        """Take an object; the status goes to its sender. Any exception is answered 0x0110."""
        ...

    def on_refused(self, association: Association, code: ReasonCode) -> None:
        """An object was refused before it was whole, with the status that its reason has."""
        ...

    def on_event(self, report: EventReport) -> Answer:
        """Take an event report; the status goes to its sender. Any exception is answered 0x0110."""
        ...

    def on_ended(self, association: Association, end: End) -> None:
        """An association is over; called once for each."""
        ...


class _Action(Enum):
    """What is done with a PDU, named as in PS3.8 tables 9-6 to 9-9."""

    AE_6 = auto()
    """Examine the association request."""
    DT_2 = auto()
    """Take the data."""
    AR_2 = auto()
    """Answer the release request."""
    AA_3 = auto()
    """The peer has aborted."""
    AA_2 = auto()
    """Close."""


# PS3.8 table 9-10, for an acceptor that never asks for a release itself: so there is no release collision (Sta9 to
# Sta12), and a release response answers nothing. Whatever is not here is aborted: AA-1 in Sta2, AA-8 in Sta6.
_STA2: Final = MappingProxyType({PduType.ASSOCIATE_RQ: _Action.AE_6, PduType.ABORT: _Action.AA_2})
_STA6: Final = MappingProxyType(
    {PduType.DATA_TF: _Action.DT_2, PduType.RELEASE_RQ: _Action.AR_2, PduType.ABORT: _Action.AA_3}
)


class UpperLayerServer:
    """Listens, counts, and gives every connection a thread of its own."""

    def __init__(
        self,
        acceptor: Acceptor,
        user: ServiceUser,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``tls``: shake hands with every peer first (``node.dicom.tls``)."""
        self.acceptor = acceptor
        self.user = user
        self.limits = limits or Limits()
        self.tls = tls
        self.budget = ByteBudget(self.limits.in_flight)
        self.ids = itertools.count(1)
        self.is_stopping = False
        self._connections: dict[_Connection, threading.Thread] = {}
        self._per_host: dict[str, int] = {}
        self._changed = threading.Condition()
        self._refused = 0
        self._refused_at = float("-inf")
        self._refusals_logged_at = float("-inf")
        self._listening: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._wake_in, self._wake_out = socket.socketpair()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        if self._listening is None:
            raise RuntimeError("the server has not been started")
        return int(self._listening.getsockname()[1])

    @property
    def active_count(self) -> int:
        """Associations that are established."""
        with self._changed:
            return sum(connection.association is not None for connection in self._connections)

    @property
    def connection_count(self) -> int:
        """Connections, with an association or not."""
        with self._changed:
            return len(self._connections)

    def start(self, host: str, port: int) -> None:
        """Bind and serve; returns at once. OSError when the address cannot be bound.

        The whole process changes threads more often from here on.
        """
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_S))
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._listening.settimeout(0)
        self._listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by what is accepted
        self._accepting = threading.Thread(target=self._accept_all, args=(self._listening,), name="accept", daemon=True)
        self._accepting.start()

    def stop(self, grace_s: float) -> None:
        """Accept nobody more, let associations finish for ``grace_s``, then abort those that are left."""
        if self.is_stopping:
            return
        self.is_stopping = True
        self._wake_in.send(b"\0")
        if self._accepting:
            self._accepting.join()
        if not self._wait_until_empty(grace_s):
            self._cut_all()
            self._wait_until_empty(self.limits.closing_s + _JOIN_S)
        for closing in (self._listening, self._wake_in, self._wake_out):
            if closing:
                closing.close()

    def left(self, connection: "_Connection") -> None:
        """A connection is closed; called by its thread."""
        with self._changed:
            del self._connections[connection]
            self._per_host[connection.address] -= 1
            if not self._per_host[connection.address]:
                del self._per_host[connection.address]
            self._changed.notify_all()

    def _wait_until_empty(self, within_s: float) -> bool:
        with self._changed:
            threads = list(self._connections.values())
            is_empty = self._changed.wait_for(lambda: not self._connections, within_s)
        if is_empty:
            for thread in threads:
                thread.join(_JOIN_S)
        return is_empty

    def _cut_all(self) -> None:
        with self._changed:
            for connection in self._connections:
                connection.cut()
        self.budget.close()

    def _accept_all(self, listening: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(listening, selectors.EVENT_READ)
            selector.register(self._wake_out, selectors.EVENT_READ)
            while not self.is_stopping:
                selector.select()
                while not self.is_stopping and self._accept(listening):
                    pass
        listening.close()

    def _accept(self, listening: socket.socket) -> bool:
        """Whether there was a connection to accept."""
        try:
            connected, address = listening.accept()
        except (BlockingIOError, ConnectionError):
            return False
        except OSError:
            # No descriptor or memory is left; those that are connected will give some back.
            time.sleep(_OUT_OF_DESCRIPTORS_PAUSE_S)
            return False
        host = address[0]
        if self._has_place(host):
            self._serve(_Connection(self, connected, host))
        else:
            self._refuse(connected, host)
        return True

    def _has_place(self, host: str) -> bool:
        with self._changed:
            is_free = len(self._connections) < self.limits.connections
            return is_free and self._per_host.get(host, 0) < self.limits.connections_per_host

    def _serve(self, connection: "_Connection") -> None:
        thread = threading.Thread(target=connection.run, name="association", daemon=True)
        with self._changed:
            self._connections[connection] = thread
            self._per_host[connection.address] = self._per_host.get(connection.address, 0) + 1
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads
            connection.close()

    def _refuse(self, connected: socket.socket, host: str) -> None:
        """Reject at once, without waiting for the request or for anything else; in a flood, just close."""
        now = time.monotonic()
        is_flood = now - self._refused_at < _FLOOD_S
        self._refused_at = now
        self._refused += 1
        with connected, suppress(OSError):
            if self.tls is None and not is_flood:
                connected.settimeout(0)
                connected.send(_LIMIT_EXCEEDED)
                connected.shutdown(socket.SHUT_WR)
                connected.recv(self.limits.request_pdu)
        if now - self._refusals_logged_at >= _REFUSALS_LOGGED_EVERY_S:
            log.get().warning(log.CONNECTIONS_REFUSED, address=host, count=self._refused)
            self._refused, self._refusals_logged_at = 0, now


class _Connection:
    """One peer, from the connection to its end, in one thread."""

    def __init__(self, server: UpperLayerServer, connected: socket.socket, address: str) -> None:
        self.address = address
        self.association: Association | None = None
        self._server = server
        self._limits = server.limits
        self._wire = Wire(connected)
        self._id = next(server.ids)
        self._longest_answer = 0
        self._begun = 0.0
        """When the request that is under way began."""
        self._waited_s = 0.0
        """For memory, while it arrived: not the peer's fault."""

    def run(self) -> None:
        """Serve the peer; whatever happens, the connection is closed and the server knows."""
        try:
            if self._server.tls:
                self._wire.secure(self._server.tls, self._limits.handshake_s)
            assembler = self._establish()
            if assembler:
                self._converse(assembler)
        except ProtocolFault as exc:
            self._abort(exc.abort if self.association else Abort.BY_USER, str(exc))
        except TooSlow as exc:
            self._too_slow(exc)
        except PeerLeft:
            self._peer_left()
        except Exception as exc:  # noqa: BLE001 — a fault of ours ends this association, not its thread's silence
            self._abort(Abort.BY_USER, type(exc).__name__)
        finally:
            self.close()

    def cut(self) -> None:
        """Abort as soon as the request that is being answered is answered; called by another thread."""
        self._wire.cut()

    def close(self) -> None:
        """Close at once, and be forgotten."""
        self._wire.close()
        self._server.budget.give_back(self._id)
        self._server.left(self)

    # ---- Sta2: awaiting the association request

    def _establish(self) -> Assembler | None:
        artim = time.monotonic() + self._limits.artim_s
        kind, body = self._wire.read_pdu(
            begin_by=artim, whole_by=artim, whole_within_s=self._limits.pdu_s, longest=self._limits.request_pdu
        )
        action = _STA2.get(PduType(kind))
        if action is None:
            raise ProtocolFault(Abort.UNEXPECTED_PDU, "a PDU other than an association request")
        return self._examine(body) if action is _Action.AE_6 else None

    def _examine(self, body: memoryview) -> Assembler | None:
        server, limits = self._server, self._limits
        request = read_request(body)
        rejection = (
            Rejection.TEMPORARY_CONGESTION
            if server.is_stopping
            else rejection_of(request, server.acceptor, self.address, server.user.admit)
        )
        if rejection:
            log.get().warning(log.ASSOCIATION_REJECTED, address=self.address, reason=rejection.name)
            self._last(rejection_pdu(rejection))
            return None
        answer, contexts = accept(request, server.acceptor, limits.data_pdu)
        calling = AeTitle(request.primitive.calling_ae_title)
        self.association = Association(self._id, calling, server.acceptor.ae_title, self.address)
        self._longest_answer = request.longest_pdu
        self._wire.send(answer, limits.pdu_s)
        return Assembler(
            contexts,
            implementation_class_uid=server.acceptor.implementation_class_uid,
            longest_command=limits.command_set,
            longest_data_set=limits.data_set,
            take=self._take,
        )

    # ---- Sta6: data transfer

    def _converse(self, assembler: Assembler) -> None:
        while self.association:
            kind, body = self._wire.read_pdu(
                begin_by=self._begin_by(assembler), whole_within_s=self._limits.pdu_s, longest=self._limits.data_pdu
            )
            action = _STA6.get(PduType(kind))
            if action is _Action.DT_2:
                self._take_data(body, assembler)
            elif action is None or len(body) != _FIXED_PDU_BYTES:
                raise ProtocolFault(Abort.UNEXPECTED_PDU, "a PDU that has no place within an association")
            elif action is _Action.AR_2:
                self._ended(End.RELEASED)
                self._last(release_response_pdu())
            else:
                self._ended(End.ABORTED_BY_PEER)

    def _begin_by(self, assembler: Assembler) -> float:
        """When the next PDU must begin."""
        limits, now = self._limits, time.monotonic()
        if assembler.is_idle:
            return now + limits.idle_s
        request_by = self._begun + self._waited_s + limits.request_s + assembler.received / limits.slowest
        return min(now + limits.pause_s, request_by)

    def _take_data(self, body: memoryview, assembler: Assembler) -> None:
        for fragment in fragments(body):
            if assembler.is_idle:
                self._begun, self._waited_s = time.monotonic(), 0.0
            message = assembler.feed(fragment)
            if message:
                self._respond(message)
                self._server.budget.give_back(self._id)

    def _take(self, count: int) -> bool:
        before = time.monotonic()
        has_room = self._server.budget.take(self._id, count, self._limits.room_s)
        self._waited_s += time.monotonic() - before
        if not has_room:
            self._server.budget.give_back(self._id)
        return has_room

    def _respond(self, message: Message) -> None:
        answer = _RESPONDERS.get(message.command.field, _unrecognized)(self, message)
        if answer is None:
            return
        status, comment = answer if isinstance(answer, tuple) else (answer, "")
        response = response_to(message.command, status, comment)
        self._wire.send(command_pdus(message.context.id, response, self._longest_answer), self._limits.pdu_s)

    def store(self, message: Message) -> Answer:
        """Answer a C-STORE-RQ."""
        try:
            return self._refused(message.refusal) if message.refusal else self._user_store(message)
        except Exception as exc:  # noqa: BLE001 — the sender must get a status that says "try again", and live on
            log.get().error(log.STORE_FAILED, address=self.address, error=type(exc).__name__)
            return PROCESSING_FAILURE, type(exc).__name__

    def _user_store(self, message: Message) -> Answer:
        command, context = message.command, message.context
        request = StoreRequest(
            association=self._established(),
            abstract_syntax=context.abstract_syntax,
            transfer_syntax=context.transfer_syntax,
            sop_class_uid=Uid(uid_text(command.sop_class_uid)),
            sop_instance_uid=InstanceUID(uid_text(command.sop_instance_uid)),
            message_id=command.message_id,
            content=message.content,
            sha256=message.sha256,
            data_set_offset=message.data_set_offset,
        )
        return self._server.user.on_store(request)

    def event(self, message: Message) -> Answer:
        """Answer an N-EVENT-REPORT-RQ."""
        if message.refusal:
            return PROCESSING_FAILURE, message.refusal.name
        context = message.context
        report = EventReport(
            association=self._established(),
            abstract_syntax=context.abstract_syntax,
            transfer_syntax=context.transfer_syntax,
            event_type=message.command.event_type,
            data_set=message.content,
        )
        try:
            return self._server.user.on_event(report)
        except Exception as exc:  # noqa: BLE001 — as above: the sender should report again
            log.get().error(log.REPORT_FAILED, address=self.address, error=type(exc).__name__)
            return PROCESSING_FAILURE, type(exc).__name__

    def _refused(self, code: ReasonCode) -> Answer:
        self._server.user.on_refused(self._established(), code)
        return REFUSAL_STATUS[code], code.name

    def _established(self) -> Association:
        if self.association is None:
            raise RuntimeError("there is no association")
        return self.association

    # ---- Sta13: awaiting the end of the connection

    def _last(self, pdu: bytes) -> None:
        """Send the last PDU and wait for the peer to close."""
        with suppress(PeerLeft, TooSlow):
            self._wire.send(pdu, self._limits.closing_s)
        self._wire.finish(self._limits.closing_s)

    def _too_slow(self, why: TooSlow) -> None:
        if self.association:
            self._abort(Abort.NOT_SPECIFIED, str(why))  # else AA-2: an expired ARTIM timer just closes

    def _peer_left(self) -> None:
        if self._server.is_stopping and self.association:
            self._abort(Abort.BY_USER, "the node stops")
        else:
            self._ended(End.LOST)

    def _abort(self, abort: Abort, why: str) -> None:
        log.get().warning(log.ASSOCIATION_ABORTED, address=self.address, reason=abort.name, detail=why)
        self._ended(End.ABORTED)
        self._last(abort_pdu(abort))

    def _ended(self, end: End) -> None:
        association, self.association = self.association, None
        if association is None:
            return
        try:
            self._server.user.on_ended(association, end)
        except Exception as exc:  # noqa: BLE001 — the connection must be closed whatever its user makes of it
            log.get().error(log.ASSOCIATION_FAILED, address=self.address, error=type(exc).__name__)


def _echo(_: _Connection, __: Message) -> Answer:
    return SUCCESS


def _ignore(_: _Connection, __: Message) -> None:
    """A C-CANCEL-RQ has no answer, and comes too late for operations that are answered in order."""


def _unrecognized(_: _Connection, __: Message) -> Answer:
    return UNRECOGNIZED_OPERATION


_RESPONDERS: Final[Mapping[int, Callable[[_Connection, Message], Answer | None]]] = MappingProxyType(
    {
        CommandField.C_STORE_RQ: _Connection.store,
        CommandField.C_ECHO_RQ: _echo,
        CommandField.N_EVENT_REPORT_RQ: _Connection.event,
        CommandField.C_CANCEL_RQ: _ignore,
    }
)
