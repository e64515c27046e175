"""The listener: C-ECHO and C-STORE over pynetdicom. What it answers 0x0000 to is durable before it answers."""

import errno
import time
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined, unused-ignore]

from node import log
from node.dicom.completion import CompletionWatch
from node.dicom.contexts import accepted_contexts
from node.dicom.status import OUT_OF_RESOURCES, PROCESSING_FAILURE, REFUSAL_STATUS, SUCCESS, VERDICT_STATUS
from node.dicom.validation import validate
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, AeTitle
from node.domain.imaging import Instance
from node.domain.intake import Inbox, IntakeVerdict, ReceivedInstance
from node.domain.reasons import Reason, ReasonCode
from node.errors import RefusedAtDoor, Retryable
from node.settings import DicomSettings


class Trail(Protocol):
    """Remembers what happened."""

    def record(self, *events: AuditEvent) -> None:
        """Add events; Retryable when that cannot be done now."""
        ...


MAX_ASSOCIATIONS: Final = 64
MAX_PDU_BYTES: Final = 256 * 1024
NETWORK_TIMEOUT_S: Final = 60.0
_UNKNOWN_AE: Final = AeTitle("UNKNOWN")
_LONGEST_COMMENT: Final = 64
_DRAIN_TICK_S: Final = 0.05


class Listener:
    """The storage and verification SCP (PS3.4 annexes A and B)."""

    def __init__(self, settings: DicomSettings, inbox: Inbox, watch: CompletionWatch, trail: Trail) -> None:
        """``inbox`` takes responsibility for what arrives; ``watch`` decides when a series is complete."""
        self._settings = settings
        self._inbox = inbox
        self._watch = watch
        self._trail = trail
        self._peers = frozenset((peer.ae_title, peer.address) for peer in settings.peers)
        self._server: Any = None
        self._ae = self._entity()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Bind and serve in threads of their own; returns once associations are accepted."""
        handlers = [
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_RELEASED, self._ended),
            (evt.EVT_ABORTED, self._ended),
            (evt.EVT_CONN_CLOSE, self._ended),
        ]
        address = (self._settings.host, self._settings.port)
        self._server = self._ae.start_server(address, block=False, evt_handlers=handlers)
        self._watch.start()
        log.get().info(log.LISTENER_READY, ae_title=self._settings.ae_title, host=address[0], port=self.port)

    def stop(self, grace_s: float = 10.0) -> None:
        """Take no new association, let the running ones finish for ``grace_s``, then end them. Safe to repeat."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        deadline = time.monotonic() + grace_s
        while self._ae.active_associations and time.monotonic() < deadline:
            time.sleep(_DRAIN_TICK_S)
        for association in self._ae.active_associations:
            association.abort()
        self._watch.stop()

    def _entity(self) -> AE:
        entity = AE(ae_title=self._settings.ae_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.supported_contexts = accepted_contexts()
        entity.add_supported_context(Verification)
        entity.maximum_associations = MAX_ASSOCIATIONS
        entity.maximum_pdu_size = MAX_PDU_BYTES
        entity.network_timeout = NETWORK_TIMEOUT_S
        entity.require_called_aet = True
        entity.require_calling_aet = sorted({ae_title for ae_title, _ in self._peers})
        return entity

    def _store(self, event: Event) -> int | Dataset:
        """Answer a C-STORE request; every status comes from the table in ``status``."""
        calling_ae, address = _peer_of(event)
        try:
            self._require_peer(calling_ae, address)
            request = event.request
            content = event.encoded_dataset()
            instance = validate(
                content, sop_class_uid=request.AffectedSOPClassUID, sop_instance_uid=request.AffectedSOPInstanceUID
            )
            verdict = self._inbox.accept(ReceivedInstance(instance, content, calling_ae, address))
            return self._answer(instance, verdict, event, calling_ae)
        except RefusedAtDoor as exc:
            return self._refuse(exc.reason, calling_ae, address)
        except Retryable as exc:
            log.get().error(log.STORE_FAILED, calling_ae=calling_ae, error=str(exc))
            return _status(PROCESSING_FAILURE, "the object cannot be stored now, try again")
        except OSError as exc:
            log.get().error(
                log.STORE_FAILED, calling_ae=calling_ae, error=errno.errorcode.get(exc.errno or 0, "OSError")
            )
            return _status(OUT_OF_RESOURCES, "the object cannot be written")
        except Exception as exc:  # noqa: BLE001 — pynetdicom would answer 0xC211, after which senders give up
            return self._refuse(Reason(ReasonCode.INTERNAL, type(exc).__name__), calling_ae, address)

    def _answer(self, instance: Instance, verdict: IntakeVerdict, event: Event, calling_ae: AeTitle) -> int | Dataset:
        if verdict is IntakeVerdict.STORED:
            self._watch.arrived(instance, id(event.assoc))
            log.get().info(log.INSTANCE_STORED, instance_uid=instance.uid, calling_ae=calling_ae)
        if verdict is IntakeVerdict.CONFLICT:
            log.get().error(log.INSTANCE_CONFLICT, instance_uid=instance.uid, calling_ae=calling_ae)
            return _status(VERDICT_STATUS[verdict], ReasonCode.CONTENT_CONFLICT.name)
        return VERDICT_STATUS[verdict]

    def _require_peer(self, calling_ae: AeTitle, address: str) -> None:
        # An AE title is a claim: it counts only from the address that belongs to it.
        if self._peers and (calling_ae, address) not in self._peers:
            raise RefusedAtDoor(ReasonCode.PEER_NOT_ALLOWED)

    def _refuse(self, reason: Reason, calling_ae: AeTitle, address: str) -> Dataset:
        log.get().warning(log.INSTANCE_REFUSED, calling_ae=calling_ae, address=address, reason=reason.code.name)
        event = AuditEvent(
            at=datetime.now(UTC),
            actor=f"peer {calling_ae}",
            action=AuditAction.INSTANCE_REFUSED,
            outcome=AuditOutcome.REFUSED,
            reason=reason.code,
            details={"detail": reason.detail, "address": address},
        )
        try:
            self._trail.record(event)
        except Retryable as exc:
            log.get().error(log.STORE_FAILED, calling_ae=calling_ae, error=str(exc))
        return _status(REFUSAL_STATUS[reason.code], reason.code.name)

    def _ended(self, event: Event) -> None:
        self._watch.ended(id(event.assoc))


def _peer_of(event: Event) -> tuple[AeTitle, str]:
    requestor = event.assoc.requestor
    try:
        title = AeTitle(str(requestor.ae_title))
    except ValueError:
        title = _UNKNOWN_AE
    return title, str(requestor.address)


def _status(code: int, comment: str) -> Dataset:
    """A status with an Error Comment (0000,0902) that a sender's log will show."""
    status = Dataset()
    status.Status = code
    status.ErrorComment = comment[:_LONGEST_COMMENT]
    return status
