"""C-STORE as SCU: files to a peer, byte for byte, with a verdict on each (PS3.4 annex B).

A file's data set is sent as it stands, without being parsed: what was written once is what arrives, damage included.
The one exception: an uncompressed object is rewritten in Implicit VR Little Endian for a peer that takes nothing else.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pynetdicom
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from node.dicom.contexts import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, VERIFICATION, proposed_contexts
from node.dicom.peer import DEFAULT_TIMEOUT_S, Peer, association_with, close, open_association
from node.domain.lifecycle import DeliveryState
from node.errors import Retryable

# pynetdicom's switch for sending a file as it is; with it off, every file is parsed and written anew.
pynetdicom._config.STORE_SEND_CHUNKED_DATASET = True  # noqa: SLF001  (the documented place of the switch)

_SUCCESS: Final = 0x0000

STORED, LATER, FAILED = DeliveryState.STORED, DeliveryState.PENDING, DeliveryState.FAILED

# PS3.4 table B.2-1 (storage) and PS3.7 annex C (all services): first and last status, what follows, the sentence.
_VERDICTS: Final[tuple[tuple[int, int, DeliveryState, str], ...]] = (
    (0x0000, 0x0000, STORED, ""),
    (0xB000, 0xB000, STORED, "the peer changed data elements"),
    (0xB006, 0xB006, STORED, "the peer discarded data elements"),
    (0xB007, 0xB007, STORED, "the peer found that the object does not match its SOP class"),
    (0x0107, 0x0107, STORED, "the peer did not understand some attributes"),
    (0x0116, 0x0116, STORED, "the peer found a value out of range"),
    (0xA700, 0xA7FF, LATER, "the peer is out of resources"),
    (0x0213, 0x0213, LATER, "the peer is at a resource limit"),
    (0x0110, 0x0110, LATER, "the peer could not process it"),
    (0x0210, 0x0210, LATER, "the peer was still busy with a message of the same number"),
    (0xFE00, 0xFE00, LATER, "the peer cancelled"),
    (0x0111, 0x0111, FAILED, "the peer already holds an object with this UID"),
    (0x0117, 0x0117, FAILED, "the peer finds the UID invalid"),
    (0x0122, 0x0122, FAILED, "the peer does not support this SOP class"),
    (0x0124, 0x0124, FAILED, "the peer does not allow this sender to store"),
    (0xA900, 0xA9FF, FAILED, "the peer refused it: the object does not match its SOP class"),
    (0xC000, 0xCFFF, FAILED, "the peer cannot understand it"),
)


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of one file."""

    path: Path
    instance_uid: str
    """Empty when the file does not say."""
    sop_class_uid: str
    state: DeliveryState
    """STORED, PENDING (try again later) or FAILED (for good)."""
    status: int | None
    """The C-STORE status; None when there was no answer."""
    detail: str
    """What a person reads; a warning's text when stored; empty after plain success. Never patient data."""

    @property
    def is_stored(self) -> bool:
        """Whether the peer has taken responsibility for the object."""
        return self.state is DeliveryState.STORED


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A file whose meta information was read (PS3.10 section 7.1)."""

    path: Path
    instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str

    def result(self, state: DeliveryState, status: int | None, detail: str) -> SendResult:
        return SendResult(self.path, self.instance_uid, self.sop_class_uid, state, status, detail)


def verdict(status: int) -> tuple[DeliveryState, str]:
    """What a C-STORE status means for the sender; a status that nobody defined is a failure for good."""
    for first, last, state, sentence in _VERDICTS:
        if first <= status <= last:
            return state, sentence
    return FAILED, f"the peer answered with the status 0x{status:04X}, which PS3.4 does not define for storage"


def send_files(
    paths: Iterable[Path],
    peer: Peer,
    calling_ae: str,
    on_progress: Callable[[SendResult], None] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> tuple[SendResult, ...]:
    """Store ``paths`` at ``peer``: one result a file, in the order given; a peer that fails raises nothing.

    ``on_progress`` is called with each result as it is known. ``timeout_s`` bounds each wait for the peer.
    """
    ordered = list(paths)
    results: dict[Path, SendResult] = {}

    def note(result: SendResult) -> None:
        results[result.path] = result
        if on_progress is not None:
            on_progress(result)

    outgoing = []
    for path in ordered:
        prepared = _prepare(path)
        if isinstance(prepared, SendResult):
            note(prepared)
        else:
            outgoing.append(prepared)
    sender = _Sender(peer, calling_ae, note, timeout_s)
    for contexts, files in _by_association(outgoing):
        sender.send_all(contexts, files)
    return tuple(results[path] for path in ordered)


def echo(peer: Peer, calling_ae: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
    """Ask ``peer`` whether it is there (C-ECHO, PS3.4 annex A); Retryable with a sentence when it is not."""
    with association_with(peer, calling_ae, [build_context(VERIFICATION)], timeout_s) as association:
        if not association.accepted_contexts:
            raise Retryable(f"{peer} does not offer C-ECHO")
        status = association.send_c_echo().get("Status")
    if status != _SUCCESS:
        raise Retryable(f"{peer} did not answer the C-ECHO" if status is None else f"{peer} answered 0x{status:04X}")


class _Sender:
    """Sends groups of files, opening a new association where one was lost."""

    def __init__(self, peer: Peer, calling_ae: str, note: Callable[[SendResult], None], timeout_s: float) -> None:
        self._peer = peer
        self._calling_ae = calling_ae
        self._note = note
        self._timeout_s = timeout_s
        self._unreachable = ""

    def send_all(self, contexts: Sequence[PresentationContext], files: Sequence[_Outgoing]) -> None:
        """Send ``files`` under ``contexts``; each association that is lost costs one file, so this ends."""
        waiting = list(files)
        while waiting and not self._unreachable:
            try:
                association = open_association(self._peer, self._calling_ae, contexts, self._timeout_s)
            except Retryable as exc:
                self._unreachable = str(exc)
                break
            waiting = self._send_until_lost(association, waiting)
            close(association)
        for file in waiting:
            self._note(file.result(LATER, None, self._unreachable))

    def _send_until_lost(self, association: Association, files: list[_Outgoing]) -> list[_Outgoing]:
        """Send one after the other; the files that are left when the association is lost."""
        for number, file in enumerate(files):
            started = time.monotonic()
            result = self._send(association, file, number)
            self._note(result)
            if result.state is LATER and result.status is None:
                # pynetdicom notices an abort only later; the next message on this association would wait in vain.
                association.abort()
                if time.monotonic() - started >= self._timeout_s:
                    # A peer that hangs once would hang for every file.
                    self._unreachable = result.detail
                return files[number + 1 :]
        return []

    def _send(self, association: Association, file: _Outgoing, number: int) -> SendResult:
        """Send one file and judge the answer."""
        message_id = number % 0xFFFF + 1
        payload = _payload(association, file)
        if payload is None:
            return file.result(FAILED, None, "the peer does not accept this SOP class in this transfer syntax")
        try:
            answer = association.send_c_store(payload, msg_id=message_id)
        except RuntimeError as exc:
            return file.result(LATER, None, f"the association with {self._peer} was lost: {exc}")
        except _UNSENDABLE as exc:
            return file.result(FAILED, None, f"the file cannot be sent: {type(exc).__name__}")
        if "Status" not in answer:
            return file.result(LATER, None, f"{self._peer} gave no answer before the association ended")
        state, sentence = verdict(answer.Status)
        return file.result(state, answer.Status, sentence)


# What pydicom and pynetdicom raise on a file that is missing, is not DICOM, or cannot be encoded.
_UNSENDABLE: Final = (OSError, InvalidDicomError, AttributeError, ValueError, TypeError, KeyError, EOFError)


def _prepare(path: Path) -> _Outgoing | SendResult:
    """The file's identity from its meta information, or the result that says why it cannot be sent."""
    try:
        meta = read_file_meta_info(path)
        return _Outgoing(
            path,
            str(meta.MediaStorageSOPInstanceUID),
            str(meta.MediaStorageSOPClassUID),
            str(meta.TransferSyntaxUID),
        )
    except _UNSENDABLE as exc:
        return SendResult(path, "", "", FAILED, None, f"not a DICOM file that can be sent: {type(exc).__name__}")


def _by_association(
    files: Sequence[_Outgoing],
) -> list[tuple[list[PresentationContext], list[_Outgoing]]]:
    """The files by the association that they go over, in order, and the contexts of each."""
    groups = []
    for contexts in proposed_contexts((file.sop_class_uid, file.transfer_syntax_uid) for file in files):
        offered = {(context.abstract_syntax, syntax) for context in contexts for syntax in context.transfer_syntax}
        members = [file for file in files if (file.sop_class_uid, file.transfer_syntax_uid) in offered]
        groups.append((contexts, members))
    return groups


def _payload(association: Association, file: _Outgoing) -> Path | Dataset | None:
    """What to send: the file as it is, or rewritten in the default transfer syntax; None when neither is taken."""
    accepted = {
        syntax
        for context in association.accepted_contexts
        if context.abstract_syntax == file.sop_class_uid
        for syntax in context.transfer_syntax
    }
    if file.transfer_syntax_uid in accepted:
        return file.path
    if file.transfer_syntax_uid == EXPLICIT_LITTLE_ENDIAN and IMPLICIT_LITTLE_ENDIAN in accepted:
        return dcmread(file.path)
    return None
