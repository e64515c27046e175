"""Storage commitment, push model (PS3.4 annex J): asking an archive as SCU, and reading what it reports.

The report comes on the association of the request or, later, on one that the archive opens: to the listener.
"""

import socket
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, Protocol

from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContext, build_context

from node.dicom.contexts import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from node.dicom.peer import DEFAULT_TIMEOUT_S, Peer, association_with
from node.dicom.structure import structure_of
from node.domain.identifiers import AeTitle, InstanceUID, Uid
from node.domain.reporting import Commitment, CommitmentReport, ReportVerdict
from node.errors import RefusedAtDoor, Retryable
from node.settings import PacsSettings

STORAGE_COMMITMENT: Final = UID("1.2.840.10008.1.20.1")
_WELL_KNOWN_INSTANCE: Final = UID("1.2.840.10008.1.20.1.1")
_REQUEST: Final = 1
"""Action Type ID (PS3.4 table J.3-1)."""
_SUCCESS_EVENT, _FAILURE_EVENT = 1, 2
"""Event Type IDs (PS3.4 section J.3.3.1)."""

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_EVENT_TYPE: Final = 0x0113
INVALID_ARGUMENT: Final = 0x0115
"""PS3.7 section 10.1.1.1.8."""
_MOST_ELEMENTS: Final = 100_000
_UNKNOWN_REASON: Final = 0x0110
_READ: Final = frozenset({0x00081195, 0x00081198, 0x00081199})


class Ledger(Protocol):
    """Where requests are written down, and what is reported of them."""

    def report(self, report: CommitmentReport, destinations: Collection[str], reporter: str) -> ReportVerdict:
        """Write a report down, durably; ``destinations``: those that its sender may speak for."""
        ...


@dataclass(frozen=True, slots=True)
class Reporter:
    """An archive that was asked to commit, and who may report in its name."""

    ae_title: AeTitle
    host: str
    addresses: tuple[str, ...] = ()
    """IP addresses besides those of ``host``."""

    def is_at(self, calling_ae: str, address: str) -> bool:
        """Whether an association of ``calling_ae`` from ``address`` is this archive's."""
        return calling_ae == self.ae_title and (address in self.addresses or address in _addresses(self.host))


@dataclass(frozen=True, slots=True)
class Desk:
    """Takes reports: of archives that were asked, of transactions that are known, written down before the reply."""

    ledger: Ledger
    reporters: Mapping[str, Reporter]
    """By the name of the destination."""

    def knows(self, calling_ae: str, address: str) -> bool:
        """Whether any archive that may report is there."""
        return bool(self._names(calling_ae, address))

    def take(self, calling_ae: str, address: str, event_type: int | None, report: CommitmentReport | None) -> int:
        """The status that answers a report on an association that somebody opened with the listener.

        ``report`` is None when it could not be read.

        Raises:
            Retryable: it cannot be written down now.
        """
        return self._take(self._names(calling_ae, address), f"peer {calling_ae}", event_type, report)

    def take_from(self, name: str, event_type: int | None, report: CommitmentReport | None) -> int:
        """The same on an association that we opened with the destination ``name``."""
        return self._take((name,), f"archive {name}", event_type, report)

    def _take(
        self, names: Collection[str], reporter: str, event_type: int | None, report: CommitmentReport | None
    ) -> int:
        if event_type not in (_SUCCESS_EVENT, _FAILURE_EVENT):
            return NO_SUCH_EVENT_TYPE
        if report is None:
            return INVALID_ARGUMENT
        verdict = self.ledger.report(report, names, reporter)
        return INVALID_ARGUMENT if verdict is ReportVerdict.UNKNOWN else SUCCESS

    def _names(self, calling_ae: str, address: str) -> tuple[str, ...]:
        return tuple(name for name, one in self.reporters.items() if one.is_at(calling_ae, address))


def reporters(archives: Mapping[str, PacsSettings]) -> dict[str, Reporter]:
    """Those of ``archives`` that are asked to commit, by name."""
    return {
        name: Reporter(AeTitle(one.ae_title), one.host, one.commitment_addresses)
        for name, one in archives.items()
        if one.commitment
    }


def reporting_context() -> PresentationContext:
    """What the listener accepts, so that archives report on associations of their own (PS3.4 section J.3.3)."""
    context = build_context(STORAGE_COMMITMENT, [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN])
    # Whoever opens the association is the SCP here; some say so (PS3.7 section D.3.3.4), some just report.
    context.scu_role, context.scp_role = False, True
    return context


def read_report(data_set: bytes, transfer_syntax: str) -> CommitmentReport | None:
    """The report in the data set of an N-EVENT-REPORT (PS3.4 table J.3-3), or None when it is none."""
    is_implicit = transfer_syntax == IMPLICIT_LITTLE_ENDIAN
    try:
        structure = structure_of(data_set, 0, implicit=is_implicit, big_endian=False, read=_READ)
        if structure.elements > _MOST_ELEMENTS:
            return None
        found = read_dataset(BytesIO(data_set), is_implicit_VR=is_implicit, is_little_endian=True)
        return report_in(found)
    except (RefusedAtDoor, ValueError, AttributeError, TypeError, KeyError, EOFError, NotImplementedError):
        return None


def report_in(found: Dataset) -> CommitmentReport:
    """The report in a data set; ValueError or AttributeError when it is none."""
    return CommitmentReport(
        Uid(str(found.TransactionUID)),
        tuple(_instance(item) for item in found.get("ReferencedSOPSequence") or ()),
        tuple((_instance(item), _reason(item)) for item in found.get("FailedSOPSequence") or ()),
    )


def require_commitment(peer: Peer, calling_ae: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
    """Ask ``peer`` whether it offers storage commitment, and ask it for none; Retryable with a sentence otherwise."""
    contexts = [build_context(STORAGE_COMMITMENT, [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN])]
    with association_with(peer, calling_ae, contexts, timeout_s) as association:
        if not association.accepted_contexts:
            raise Retryable(f"{peer} does not offer storage commitment")


def request_commitment(
    peer: Peer,
    calling_ae: str,
    commitment: Commitment,
    on_report: Callable[[int | None, CommitmentReport | None], int],
    *,
    wait_s: float = 0.0,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> bool:
    """Ask ``peer`` to commit to what ``commitment`` names; whether it reported before the association ended.

    ``on_report`` is called with the event type and the report, and gives the status that answers it. ``wait_s``: how
    long the association is kept open for it.

    Raises:
        Retryable: the request was not taken, with a sentence.
    """
    reported = threading.Event()

    def take(event: Event) -> tuple[int, None]:
        try:
            return on_report(event.event_type, _quietly(event)), None
        except Retryable:
            return PROCESSING_FAILURE, None
        finally:
            reported.set()

    contexts = [build_context(STORAGE_COMMITMENT, [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN])]
    options = {"evt_handlers": [(evt.EVT_N_EVENT_REPORT, take)]}
    with association_with(peer, calling_ae, contexts, timeout_s, **options) as association:
        if not association.accepted_contexts:
            raise Retryable(f"{peer} does not offer storage commitment")
        answer, _ = association.send_n_action(
            _request(commitment.transaction_uid, commitment.references),
            _REQUEST,
            STORAGE_COMMITMENT,
            _WELL_KNOWN_INSTANCE,
        )
        status = answer.get("Status")
        if status is None:
            raise Retryable(f"{peer} did not answer the request for storage commitment")
        if status != SUCCESS:
            raise Retryable(f"{peer} answered the request for storage commitment with the status 0x{status:04X}")
        reported.wait(wait_s)
    return reported.is_set()


def _request(transaction_uid: Uid, references: Sequence[tuple[str, InstanceUID]]) -> Dataset:
    """Action Information (PS3.4 table J.3-2)."""
    request = Dataset()
    request.TransactionUID = transaction_uid
    request.ReferencedSOPSequence = [_reference(*one) for one in references]
    return request


def _reference(sop_class_uid: str, instance_uid: InstanceUID) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = instance_uid
    return item


def _quietly(event: Event) -> CommitmentReport | None:
    try:
        return report_in(event.event_information)
    except Exception:  # noqa: BLE001 — whatever an archive sends, it gets a status
        return None


def _instance(item: Dataset) -> InstanceUID:
    return InstanceUID(str(item.ReferencedSOPInstanceUID))


def _reason(item: Dataset) -> int:
    value: Any = item.get("FailureReason")
    return value if isinstance(value, int) else _UNKNOWN_REASON


def _addresses(host: str) -> frozenset[str]:
    """The IP addresses of a host name; none when it cannot be resolved now."""
    try:
        return frozenset(str(found[4][0]) for found in socket.getaddrinfo(host, None))
    except OSError:
        return frozenset()
