"""The HL7 v2 listener: messages are stored, and only then acknowledged (original mode, HL7 v2.5.1 section 2.9.2).

A message that says that it cannot be stored now is answered AE, and its sender tries again; one that can never be taken
is answered AR. What was stored and not acknowledged, because the process died in between, is sent again, is known, and
is acknowledged without being stored twice.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from node import log
from node.clinical.hl7_content import Reader, Unacceptable
from node.clinical.hl7_text import Message, NotHl7, is_batch, read_messages
from node.clinical.mllp import Connection, Ended, Frame
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.clinical_intake import Accepted, Intake
from node.errors import Retryable, UsageError
from node.failpoints import Failpoint, hit
from node.settings import Hl7Settings, TlsSettings

ENDS_WITHIN_S: Final = 10.0
BYTES_PER_MB: Final = 1_000_000

_BACKLOG: Final = 32
_TICK_S: Final = 0.5
_HANDSHAKE_S: Final = 10.0


class Hl7Listener:
    """Accepts connections and stores what they bring."""

    def __init__(
        self,
        settings: Hl7Settings,
        issuer: str,
        accept: Callable[[Intake], Accepted],
        record: Callable[[AuditEvent], None],
    ) -> None:
        """``accept`` stores durably or raises Retryable; ``record`` writes the audit trail."""
        self._settings = settings
        self._reader = Reader(issuer, settings.codes, settings.reports)
        self._accept = accept
        self._record = record
        self._tls = _context(settings.tls) if settings.tls else None
        self._server: socket.socket | None = None
        self._is_stopping = threading.Event()
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}

    @property
    def port(self) -> int:
        """The port that was taken."""
        return int(self._server.getsockname()[1]) if self._server else self._settings.port

    def start(self) -> None:
        """Take the port and accept in the background.

        Raises:
            UsageError: the port cannot be had.
        """
        try:
            family = socket.AF_INET6 if ":" in self._settings.host else socket.AF_INET
            address = (self._settings.host, self._settings.port)
            self._server = socket.create_server(address, family=family, backlog=_BACKLOG)
        except OSError as exc:
            where = f"{self._settings.host}:{self._settings.port}"
            raise UsageError(f"clinical.hl7.port: {where} cannot be listened on: {exc.strerror}") from exc
        self._server.settimeout(_TICK_S)
        threading.Thread(target=self._serve, args=(self._server,), name="hl7 accept", daemon=True).start()
        log.get().info(log.HL7_READY, host=self._settings.host, port=self.port)

    def stop(self) -> None:
        """Take no new connection, let messages that are being stored be acknowledged, and close."""
        self._is_stopping.set()
        if self._server is not None:
            self._server.close()
        with self._lock:
            open_now = dict(self._connections)
        for peer in open_now.values():
            # Reading ends; an acknowledgement can still be written.
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RD)
        deadline = time.monotonic() + ENDS_WITHIN_S
        for thread in open_now:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _serve(self, server: socket.socket) -> None:
        while not self._is_stopping.is_set():
            try:
                peer, (address, *_) = server.accept()
            except TimeoutError:
                continue
            except OSError:
                # Closed by ``stop``, or out of descriptors: the loop's condition tells which.
                time.sleep(_TICK_S / 10)
                continue
            self._admit(peer, str(address))

    def _admit(self, peer: socket.socket, address: str) -> None:
        allowed = not self._settings.peers or address in self._settings.peers
        with self._lock:
            has_room = len(self._connections) < self._settings.connections
            if allowed and has_room:
                thread = threading.Thread(target=self._run, args=(peer, address), name="hl7 connection", daemon=True)
                self._connections[thread] = peer
                thread.start()
                return
        peer.close()
        log.get().warning(log.HL7_CONNECTION_REFUSED, address=address, reason="BUSY" if allowed else "PEER_NOT_ALLOWED")

    def _run(self, peer: socket.socket, address: str) -> None:
        why = "FAILED"
        stream = peer
        try:
            stream = self._secured(peer)
            with self._lock:
                self._connections[threading.current_thread()] = stream
            self._converse(stream, address)
        except Ended as exc:
            why = str(exc)
        except OSError:
            why = "TLS"
        finally:
            with self._lock:
                self._connections.pop(threading.current_thread(), None)
            stream.close()
            log.get().info(log.HL7_CONNECTION_ENDED, address=address, reason=why)

    def _secured(self, peer: socket.socket) -> socket.socket:
        if self._tls is None:
            return peer
        peer.settimeout(_HANDSHAKE_S)
        return self._tls.wrap_socket(peer, server_side=True)

    def _converse(self, peer: socket.socket, address: str) -> None:
        wanted = self._settings
        connection = Connection(
            peer, max_bytes=int(wanted.max_mb * BYTES_PER_MB), message_s=wanted.message_s, idle_s=wanted.idle_s
        )
        while not self._is_stopping.is_set():
            frame = connection.next()
            hit(Failpoint.HL7_RECEIVED)
            reply = self.answer(frame, address)
            hit(Failpoint.HL7_BEFORE_REPLY)
            connection.send(reply)
        raise Ended("STOPPED")

    def answer(self, frame: Frame, address: str) -> bytes:
        """The acknowledgement of a frame, once what is in it is durable."""
        if frame.is_too_large:
            self._refused(address, "TOO_LARGE")
            return _acknowledgement("AR", _control_id(frame.content), "too large")
        try:
            messages = read_messages(frame.content, self._settings.encoding)
        except NotHl7 as exc:
            self._refused(address, str(exc))
            return _acknowledgement("AR", _control_id(frame.content), f"not read: {exc}")
        replies = [self._store(message, address) for message in messages]
        if not is_batch(frame.content):
            return b"".join(replies)
        return b"BHS|^~\\&|CELADON\r" + b"".join(replies) + f"BTS|{len(replies)}\r".encode()

    def _store(self, message: Message, address: str) -> bytes:
        try:
            intake = self._reader.intake(message, datetime.now(UTC))
            accepted = self._accept(intake)
        except Unacceptable as exc:
            self._refused(address, exc.text)
            return _acknowledgement(exc.code, message.control_id, exc.text)
        except Retryable as exc:
            log.get().error(log.HL7_FAILED, address=address, error=str(exc))
            return _acknowledgement("AE", message.control_id, "207 cannot be stored now, try again")
        except Exception as exc:  # noqa: BLE001 — one message must not end the connection; its sender keeps it
            # Only the kind: what the error says may quote the message.
            log.get().error(log.HL7_FAILED, address=address, error=type(exc).__name__)
            return _acknowledgement("AE", message.control_id, "207 application error")
        log.get().info(log.HL7_STORED, address=address, count=len(intake.values))
        return _acknowledgement("AA", message.control_id, "known already" if accepted.is_duplicate else "")

    def _refused(self, address: str, reason: str) -> None:
        log.get().warning(log.HL7_REFUSED, address=address, reason=reason)
        event = AuditEvent(
            datetime.now(UTC),
            "hl7 listener",
            AuditAction.MESSAGE_REFUSED,
            AuditOutcome.REFUSED,
            details={"address": address, "why": reason},
        )
        try:
            self._record(event)
        except Retryable as exc:
            log.get().error(log.HL7_FAILED, address=address, error=str(exc))


def _acknowledgement(code: str, control_id: str, text: str) -> bytes:
    """An ACK (HL7 v2.5.1 section 2.14.1, MSA section 2.15.8); the control ID as it was sent, made harmless."""
    now = datetime.now(UTC)
    echoed = "".join(char for char in control_id[:199] if char.isprintable() and char not in "|\r\n")
    own = f"C{now:%Y%m%d%H%M%S%f}"
    header = f"MSH|^~\\&|CELADON||||{now:%Y%m%d%H%M%S}+0000||ACK|{own}|P|2.5.1||||||UNICODE UTF-8"
    return f"{header}\rMSA|{code}|{echoed}|{text}\r".encode()


def _control_id(head: bytes) -> str:
    """MSH-10 of what cannot be read otherwise, as far as it can be found."""
    start = head.find(b"MSH")
    fields = head[start : start + 4096].split(b"\r")[0].split(head[start + 3 : start + 4] or b"|") if start >= 0 else []
    return fields[9].decode("ascii", "ignore") if len(fields) > 9 else ""  # noqa: PLR2004 — MSH-10


def _context(files: TlsSettings) -> ssl.SSLContext:
    """Mutual TLS, 1.2 or 1.3 (IHE ITI TF-2 section 3.19.6.2, ATNA); UsageError when a file cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(files.certificate, files.key, password="")
        context.load_verify_locations(files.client_ca)
    except (OSError, ValueError) as exc:
        raise UsageError(f"clinical.hl7.tls: a certificate or key cannot be used: {exc}") from exc
    return context
