"""The listener: C-ECHO, C-STORE, reports of commitment. What it answers 0x0000 to is durable before it answers."""

import errno
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from pynetdicom.presentation import build_context

from node import log
from node.dicom.commands import UNRECOGNIZED_OPERATION
from node.dicom.commitment import PROCESSING_FAILURE as NOT_NOW
from node.dicom.commitment import STORAGE_COMMITMENT, SUCCESS, Desk, read_report, reporting_context
from node.dicom.completion import CompletionWatch
from node.dicom.contexts import VERIFICATION, accepted_contexts
from node.dicom.negotiation import Acceptor
from node.dicom.status import OUT_OF_RESOURCES, PROCESSING_FAILURE, REFUSAL_STATUS, VERDICT_STATUS
from node.dicom.tls import Certificates, server_context
from node.dicom.upper_layer import Answer, Association, End, EventReport, Limits, StoreRequest, UpperLayerServer
from node.dicom.validation import validate
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, AeTitle
from node.domain.imaging import Instance
from node.domain.intake import Inbox, IntakeVerdict, ReceivedInstance
from node.domain.reasons import Reason, ReasonCode
from node.errors import NoRoom, RefusedAtDoor, Retryable, StoreAway
from node.failpoints import Failpoint, hit
from node.settings import DicomSettings

_LONGEST_COMMENT: Final = 64
_NEWS_S: Final = 60.0
_MOST_STRANGERS: Final = 256

Count = Callable[[str, str], None]
"""Counts one thing: what it was, and of what kind."""


def _uncounted(_what: str, _kind: str) -> None:
    """Nobody counts."""


class Trail(Protocol):
    """Remembers what happened."""

    def record(self, *events: AuditEvent) -> None:
        """Add events; Retryable when that cannot be done now."""
        ...


class _Strangers:
    """Addresses that were refused lately: each is news once a minute, and there is an end to how many are kept."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_news(self, address: str) -> bool:
        """Whether this address was not refused within the last minute."""
        now = time.monotonic()
        with self._lock:
            self._seen = {one: at for one, at in self._seen.items() if now - at < _NEWS_S}
            if address in self._seen or len(self._seen) >= _MOST_STRANGERS:
                return False
            self._seen[address] = now
        return True


class Listener:
    """The storage and verification SCP (PS3.4 annexes A and B), over the guarded upper layer."""

    def __init__(
        self,
        settings: DicomSettings,
        inbox: Inbox,
        watch: CompletionWatch,
        trail: Trail,
        limits: Limits | None = None,
        desk: Desk | None = None,
        count: Count = _uncounted,
    ) -> None:
        """``inbox`` takes responsibility for what arrives; ``watch`` decides when a series is complete.

        ``count`` hears of every association (``accepted``, ``refused``) and of every refusal, with its reason.

        ``desk`` takes the reports of archives that were asked to commit; None: nobody was.

        Raises:
            UsageError: the TLS files cannot be used.
        """
        self._settings = settings
        self._inbox = inbox
        self._watch = watch
        self._trail = trail
        self._desk = desk
        self._count = count
        self._peers = frozenset((peer.ae_title, peer.address) for peer in settings.peers)
        self._strangers = _Strangers()
        tls = settings.tls
        secure = server_context(Certificates(tls.certificate, tls.key, tls.client_ca)) if tls else None
        self._server = UpperLayerServer(self._acceptor(), self, limits, secure)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._server.port

    @property
    def active_count(self) -> int:
        """Associations that are established."""
        return self._server.active_count

    def start(self) -> None:
        """Bind and serve in threads of their own; returns once associations are accepted."""
        self._server.start(self._settings.host, self._settings.port)
        self._watch.start()
        settings = self._settings
        log.get().info(log.LISTENER_READY, ae_title=settings.ae_title, host=settings.host, port=self.port)

    def stop(self, grace_s: float = 10.0) -> None:
        """Take no new association, let the running ones finish for ``grace_s``, then end them. Safe to repeat."""
        self._server.stop(grace_s)
        self._watch.stop()

    def admit(self, calling_ae: AeTitle, address: str) -> bool:
        """Whether this peer may have an association. An AE title is a claim: it counts only from its own address."""
        is_known = self._may_store(calling_ae, address) or (
            self._desk is not None and self._desk.knows(calling_ae, address)
        )
        self._count("association", "accepted" if is_known else "refused")
        if not is_known and self._strangers.is_news(address):
            # Who knocks without end must not be able to fill the audit trail.
            reason = Reason(ReasonCode.PEER_NOT_ALLOWED, f"called itself {calling_ae}")
            self._remember(AuditAction.ASSOCIATION_REFUSED, reason, calling_ae, address)
        return is_known

    def on_store(self, request: StoreRequest) -> Answer:
        """Take an object; every status comes from the table in ``status``."""
        peer = request.association
        try:
            return self._take(request)
        except RefusedAtDoor as exc:
            return self._refuse(exc.reason, peer)
        except (NoRoom, StoreAway) as exc:
            code = ReasonCode.DISK_FULL if isinstance(exc, NoRoom) else ReasonCode.STORE_AWAY
            return self._refuse(Reason(code, str(exc)), peer)
        except Retryable as exc:
            log.get().error(log.STORE_FAILED, calling_ae=peer.calling_ae, error=str(exc))
            return PROCESSING_FAILURE, "the object cannot be stored now, try again"
        except OSError as exc:
            error = errno.errorcode.get(exc.errno or 0, "OSError")
            log.get().error(log.STORE_FAILED, calling_ae=peer.calling_ae, error=error)
            return OUT_OF_RESOURCES, "the object cannot be written"
        except Exception as exc:  # noqa: BLE001 — a fault of ours: the sender should try again, and a person look
            return self._refuse(Reason(ReasonCode.INTERNAL, type(exc).__name__), peer)

    def on_event(self, report: EventReport) -> Answer:
        """Take a report of storage commitment: written down before it is answered."""
        peer = report.association
        if self._desk is None or report.abstract_syntax != STORAGE_COMMITMENT:
            return UNRECOGNIZED_OPERATION
        found = read_report(report.data_set, report.transfer_syntax)
        try:
            status = self._desk.take(peer.calling_ae, peer.address, report.event_type, found)
        except Retryable as exc:
            log.get().error(log.REPORT_FAILED, calling_ae=peer.calling_ae, error=str(exc))
            return NOT_NOW, "the report cannot be written down now, report again"
        told = log.get().info if status == SUCCESS else log.get().warning
        event = log.REPORT_TAKEN if status == SUCCESS else log.REPORT_REFUSED
        told(event, calling_ae=peer.calling_ae, address=peer.address, status=f"0x{status:04X}")
        return status

    def on_refused(self, association: Association, code: ReasonCode) -> None:
        """An object was refused before it was whole."""
        self._refuse(Reason(code), association)

    def on_ended(self, association: Association, end: End) -> None:  # noqa: ARG002 — ServiceUser's signature
        """An association is over, however it ended."""
        self._watch.ended(association.id)

    def _may_store(self, calling_ae: str, address: str) -> bool:
        return not self._peers or (calling_ae, address) in self._peers

    def _acceptor(self) -> Acceptor:
        return Acceptor(
            ae_title=AeTitle(self._settings.ae_title),
            contexts=(
                *accepted_contexts(),
                build_context(VERIFICATION),
                *([reporting_context()] if self._desk else []),
            ),
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
        )

    def _take(self, request: StoreRequest) -> Answer:
        peer = request.association
        if not self._may_store(peer.calling_ae, peer.address):
            # An archive that may report what it has committed to, and nothing else.
            raise RefusedAtDoor(ReasonCode.PEER_NOT_ALLOWED, f"called itself {peer.calling_ae}")
        hit(Failpoint.LISTENER_RECEIVED)
        instance = validate(
            request.content, sop_class_uid=request.sop_class_uid, sop_instance_uid=request.sop_instance_uid
        )
        hit(Failpoint.LISTENER_VALIDATED)
        received = ReceivedInstance(instance, request.content, peer.calling_ae, peer.address, request.sha256)
        answer = self._answer(instance, self._inbox.accept(received), peer)
        hit(Failpoint.LISTENER_BEFORE_REPLY)
        return answer

    def _answer(self, instance: Instance, verdict: IntakeVerdict, peer: Association) -> Answer:
        if verdict in (IntakeVerdict.STORED, IntakeVerdict.DUPLICATE):
            # A duplicate too: the first may have been stored just when the database was lost, and nobody told.
            self._watch.arrived(instance, peer.id)
        if verdict is IntakeVerdict.STORED:
            # One line an image would be noise, and time: the audit trail has it.
            log.get().debug(log.INSTANCE_STORED, instance_uid=instance.uid, calling_ae=peer.calling_ae)
        if verdict is IntakeVerdict.CONFLICT:
            log.get().error(log.INSTANCE_CONFLICT, instance_uid=instance.uid, calling_ae=peer.calling_ae)
            return VERDICT_STATUS[verdict], ReasonCode.CONTENT_CONFLICT.name
        return VERDICT_STATUS[verdict]

    def _refuse(self, reason: Reason, peer: Association) -> Answer:
        log.get().warning(
            log.INSTANCE_REFUSED, calling_ae=peer.calling_ae, address=peer.address, reason=reason.code.name
        )
        self._count("refusal", reason.code.name)
        self._remember(AuditAction.INSTANCE_REFUSED, reason, peer.calling_ae, peer.address)
        return REFUSAL_STATUS[reason.code], reason.code.name[:_LONGEST_COMMENT]

    def _remember(self, action: AuditAction, reason: Reason, calling_ae: AeTitle, address: str) -> None:
        event = AuditEvent(
            at=datetime.now(UTC),
            actor=f"peer {calling_ae}",
            action=action,
            outcome=AuditOutcome.REFUSED,
            reason=reason.code,
            details={"detail": reason.detail, "address": address},
        )
        try:
            self._trail.record(event)
        except Retryable as exc:
            log.get().error(log.STORE_FAILED, calling_ae=calling_ae, error=str(exc))
