"""Archives that misbehave on purpose: they store and commit, after failing in exactly the way that a test asks for.

What is stored goes to a shelf: in memory, or a real Orthanc behind, whose own word on commitment is then passed on.
"""

import hashlib
import struct
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.dsutils import create_file_meta
from pynetdicom.events import Event
from pynetdicom.presentation import build_context, build_role

from node.demo.pacs import DemoPacs
from node.dicom.commitment import STORAGE_COMMITMENT
from node.dicom.contexts import VERIFICATION
from node.dicom.files import write_dicom_file
from node.dicom.peer import Peer
from node.dicom.sending import send_files
from node.domain.identifiers import AeTitle
from tests.faults.processes import HOST, free_port

AE_TITLE: Final = "ARCHIVE"
_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
_NOT_HERE: Final = 0x0112
_SYNTAXES: Final = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_REPORTS_WITHIN_S: Final = 20.0

Reference = tuple[str, str]
"""SOP class and instance."""


class Shelf(Protocol):
    """Where an archive puts what it takes."""

    def put(self, uid: str, sop_class: str, data_set: bytes) -> int:
        """Keep an object; the status."""
        ...

    def missing(self, transaction_uid: str, references: Sequence[Reference]) -> list[str]:
        """Those of ``references`` that are not kept."""
        ...

    def lose(self, uid: str) -> None:
        """Keep an object no longer."""
        ...


@dataclass
class Memory:
    """Keeps digests."""

    kept: dict[str, str] = field(default_factory=dict)

    def put(self, uid: str, sop_class: str, data_set: bytes) -> int:  # noqa: ARG002 — as the shelf's
        """Keep it."""
        self.kept[uid] = hashlib.sha256(data_set).hexdigest()
        return 0x0000

    def missing(self, transaction_uid: str, references: Sequence[Reference]) -> list[str]:  # noqa: ARG002 — the same
        """What was never put here, or was lost."""
        return [uid for _, uid in references if uid not in self.kept]

    def lose(self, uid: str) -> None:
        """Forget it."""
        self.kept.pop(uid, None)


class OrthancShelf:
    """A real Orthanc: it stores, and it says itself, by N-EVENT-REPORT, what it has."""

    def __init__(self, orthanc: DemoPacs, remove: Callable[[str], None]) -> None:
        """``remove`` takes an instance out of Orthanc behind its back."""
        self._orthanc, self._remove = orthanc, remove
        self._reports: dict[str, tuple[list[str], list[str]]] = {}
        self._changed = threading.Condition()
        ae = AE(ae_title=AE_TITLE)
        ae.add_supported_context(STORAGE_COMMITMENT, _SYNTAXES, scu_role=False, scp_role=True)
        ae.add_supported_context(VERIFICATION)
        handlers = [(evt.EVT_N_EVENT_REPORT, self._reported)]
        self._server = ae.start_server((HOST, 0), block=False, evt_handlers=handlers)
        orthanc.route_to(Peer(AeTitle(AE_TITLE), HOST, self._server.server_address[1]))

    def put(self, uid: str, sop_class: str, data_set: bytes) -> int:
        """Have Orthanc store it."""
        meta = create_file_meta(sop_class_uid=sop_class, sop_instance_uid=uid, transfer_syntax=ExplicitVRLittleEndian)
        with tempfile.TemporaryDirectory() as folder:
            path = write_dicom_file(Path(folder) / "one.dcm", meta, data_set)
            (sent,) = send_files([path], self._orthanc.peer, AE_TITLE)
        return sent.status if sent.status is not None else 0xA700

    def missing(self, transaction_uid: str, references: Sequence[Reference]) -> list[str]:
        """What Orthanc says that it has not got."""
        request = Dataset()
        request.TransactionUID = transaction_uid
        request.ReferencedSOPSequence = [item_of(one) for one in references]
        ae = AE(ae_title=AE_TITLE)
        ae.add_requested_context(STORAGE_COMMITMENT, _SYNTAXES)
        association = ae.associate(self._orthanc.host, self._orthanc.port, ae_title=self._orthanc.ae_title)
        answer, _ = association.send_n_action(request, 1, STORAGE_COMMITMENT, _INSTANCE)
        association.release()
        assert answer.Status == 0x0000, f"Orthanc answered 0x{answer.Status:04X}"
        with self._changed:
            assert self._changed.wait_for(lambda: transaction_uid in self._reports, _REPORTS_WITHIN_S), "no report"
            _, failed = self._reports[transaction_uid]
        return failed

    def lose(self, uid: str) -> None:
        """Delete it in Orthanc."""
        self._remove(uid)

    def close(self) -> None:
        """Listen no longer."""
        self._server.shutdown()

    def _reported(self, event: Event) -> tuple[int, None]:
        found = event.event_information
        stored = [str(one.ReferencedSOPInstanceUID) for one in found.get("ReferencedSOPSequence") or ()]
        failed = [str(one.ReferencedSOPInstanceUID) for one in found.get("FailedSOPSequence") or ()]
        with self._changed:
            self._reports[str(found.TransactionUID)] = (stored, failed)
            self._changed.notify_all()
        return 0x0000, None


@dataclass
class Behaviour:
    """How an archive fails before it does what it should."""

    statuses: dict[int, int] = field(default_factory=dict)
    """Answer to the n-th C-STORE (from 0) instead of success."""
    always: int | None = None
    """Answer to every C-STORE of ``only``."""
    only: Callable[[str], bool] = lambda _: True
    hangs: int = 0
    """For how many C-STOREs it says nothing."""
    hang_s: float = 3.0
    commitment: str = "new"
    """How it reports: see ``_REPORTERS``."""


class Archive:
    """An archive on a fixed port, which can go away and come back."""

    def __init__(self, shelf: Shelf, behaviour: Behaviour, reports_to: Callable[[], Peer]) -> None:
        """``reports_to``: the listener, once it is known."""
        self.shelf, self.behaviour, self._reports_to = shelf, behaviour, reports_to
        self.port = free_port()
        self.received: dict[str, Counter[str]] = {}
        """The digests of every content that came under a UID."""
        self.reports: Counter[str] = Counter()
        """How reports were answered."""
        self._stores, self._requests = 0, 0
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._server: Any = None

    @property
    def peer(self) -> Peer:
        """The archive as the node calls it."""
        return Peer(AeTitle(AE_TITLE), HOST, self.port)

    def start(self) -> None:
        """Be there."""
        ae = AE(ae_title=AE_TITLE)
        ae.add_supported_context(VERIFICATION)
        ae.add_supported_context(CTImageStorage, ExplicitVRLittleEndian)
        ae.add_supported_context(STORAGE_COMMITMENT, _SYNTAXES)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._asked)]
        self._server = ae.start_server((HOST, self.port), block=False, evt_handlers=handlers)

    def stop(self) -> None:
        """Be away, at once."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        for thread in self._threads:
            thread.join()

    def _store(self, event: Event) -> int:
        behaviour, data_set = self.behaviour, event.request.DataSet.getvalue()
        uid = str(event.request.AffectedSOPInstanceUID)
        with self._lock:
            number, self._stores = self._stores, self._stores + 1
        if number < behaviour.hangs:
            time.sleep(behaviour.hang_s)
        status = behaviour.statuses.get(number, 0x0000)
        if behaviour.always is not None and behaviour.only(uid):
            status = behaviour.always
        if status in (0x0000, 0xB000):
            with self._lock:
                digest = hashlib.sha256(data_set).hexdigest()
                self.received.setdefault(uid, Counter())[digest] += 1
            status = self.shelf.put(uid, str(event.request.AffectedSOPClassUID), data_set) or status
        return status

    def _asked(self, event: Event) -> tuple[int, None]:
        asked = event.action_information
        transaction = str(asked.TransactionUID)
        references = [
            (str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID)) for one in asked.ReferencedSOPSequence
        ]
        with self._lock:
            number, self._requests = self._requests, self._requests + 1
        args = (event.assoc, transaction, references, number)
        thread = threading.Thread(target=_REPORTERS[self.behaviour.commitment], args=(self, *args), daemon=True)
        self._threads.append(thread)
        thread.start()
        return 0x0000, None

    def report(self, transaction: str, references: Sequence[Reference], *, calling: str = AE_TITLE) -> None:
        """Report on a new association, again and again until the listener answers."""
        found = self.judged(transaction, references)
        for _ in range(100):
            status = send_report(self._reports_to(), calling, found)
            if status is not None:
                self.reports[f"0x{status:04X}"] += 1
                return
            time.sleep(0.1)

    def judged(
        self, transaction: str, references: Sequence[Reference], *, only: Callable[[str], bool] | None = None
    ) -> Dataset:
        """What the shelf has to say; ``only``: of these alone."""
        missing = set(self.shelf.missing(transaction, references))
        wanted = [one for one in references if only is None or only(one[1])]
        found = Dataset()
        found.TransactionUID = transaction
        found.ReferencedSOPSequence = [item_of(one) for one in wanted if one[1] not in missing]
        if gone := [one for one in wanted if one[1] in missing]:
            found.FailedSOPSequence = [item_of(one, _NOT_HERE) for one in gone]
        return found

    # ---- ways to report: the association of the request, Transaction UID, references, number of the request

    def _new(self, _: Any, transaction: str, references: Sequence[Reference], __: int) -> None:
        self.report(transaction, references)

    def _same(self, association: Any, transaction: str, references: Sequence[Reference], _: int) -> None:
        found = self.judged(transaction, references)
        time.sleep(0.05)  # after the answer to the request
        status, _reply = association.send_n_event_report(found, _event_type(found), STORAGE_COMMITMENT, _INSTANCE)
        self.reports[f"0x{status.Status:04X}"] += 1

    def _partial(self, _: Any, transaction: str, references: Sequence[Reference], number: int) -> None:
        """The first time one object has been lost, and of another nothing is said."""
        if number == 0:
            self.shelf.lose(references[0][1])
            found = self.judged(transaction, references, only=lambda uid: uid != references[-1][1])
            status = send_report(self._reports_to(), AE_TITLE, found)
            self.reports[f"0x{status or 0:04X}"] += 1
            return
        self.report(transaction, references)

    def _unknown(self, _: Any, transaction: str, references: Sequence[Reference], number: int) -> None:
        """First of a transaction that nobody has begun."""
        if number == 0:
            found = self.judged(transaction, references)
            found.TransactionUID = "2.25.99"
            self.reports[f"0x{send_report(self._reports_to(), AE_TITLE, found) or 0:04X}"] += 1
        self.report(transaction, references)

    def _late(self, _: Any, transaction: str, references: Sequence[Reference], number: int) -> None:
        """The first report after the node has asked anew, and with the second."""
        if number == 0:
            time.sleep(4.0)
        self.report(transaction, references)

    def _twice(self, _: Any, transaction: str, references: Sequence[Reference], __: int) -> None:
        self.report(transaction, references)
        self.report(transaction, references)

    def _stranger(self, _: Any, transaction: str, references: Sequence[Reference], __: int) -> None:
        """First somebody else says that nothing of it is there, and then that all is."""
        for status in (None, _NOT_HERE):
            found = Dataset()
            found.TransactionUID = transaction
            items = [item_of(one, status) for one in references]
            found.ReferencedSOPSequence = items if status is None else []
            if status is not None:
                found.FailedSOPSequence = items
            self.reports[f"0x{send_report(self._reports_to(), 'STRANGER', found) or 0:04X}"] += 1
        self.report(transaction, references)

    def _never(self, _: Any, transaction: str, references: Sequence[Reference], number: int) -> None:
        """Not the first time."""
        if number:
            self.report(transaction, references)


_REPORTERS: Final[dict[str, Callable[..., None]]] = {
    "new": Archive._new,
    "same": Archive._same,
    "partial": Archive._partial,
    "unknown": Archive._unknown,
    "late": Archive._late,
    "twice": Archive._twice,
    "stranger": Archive._stranger,
    "never": Archive._never,
}
VARIANTS: Final = tuple(_REPORTERS)


def send_report(listener: Peer, calling: str, found: Dataset) -> int | None:
    """Report to ``listener`` on an association of its own, as SCP; the status, or None without an answer."""
    ae = AE(ae_title=calling)
    contexts = [build_context(STORAGE_COMMITMENT, _SYNTAXES)]
    association = ae.associate(
        listener.host, listener.port, contexts, ae_title=listener.ae_title,
        ext_neg=[build_role(STORAGE_COMMITMENT, scp_role=True)],
    )  # fmt: skip
    if not association.is_established:
        return None
    answer, _ = association.send_n_event_report(found, _event_type(found), STORAGE_COMMITMENT, _INSTANCE)
    if association.is_established:
        association.release()
    return answer.Status if "Status" in answer else None


def item_of(reference: Reference, reason: int | None = None) -> Dataset:
    """An item of a sequence of references."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference
    if reason is not None:
        item.FailureReason = reason
    return item


def data_set_digest(file: bytes) -> str:
    """SHA-256 of the data set of a DICOM file, whatever meta information precedes it."""
    (length,) = struct.unpack_from("<I", file, 140)
    return hashlib.sha256(file[144 + length :]).hexdigest()


def _event_type(found: Dataset) -> int:
    return 2 if found.get("FailedSOPSequence") else 1
