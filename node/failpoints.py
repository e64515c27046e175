"""Failpoints: named places in the store and the listener where a test has the process die, fail or stand still.

One variable of the environment arms one of them for the life of a process: ``CELADON_FAILPOINT=name:action[:count]``,
for instance ``blob.written:eio`` or ``inbox.committed:kill:3``. It is no setting: it is read apart from the settings,
by ``arm`` alone, and only in the processes that call it. Not armed, a failpoint costs one comparison.
"""

import errno
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from node.errors import UsageError

VARIABLE: Final = "CELADON_FAILPOINT"


class Failpoint(StrEnum):
    """Where a fault can be placed, in the order of an instance's way through the node."""

    LISTENER_RECEIVED = "listener.received"
    """A whole C-STORE request is here; nothing of it is stored."""
    LISTENER_VALIDATED = "listener.validated"
    """It may be stored."""
    BLOB_OPENED = "blob.opened"
    """The part file exists and is empty. The five of the blob are for received objects and for results alike."""
    BLOB_WRITTEN = "blob.written"
    """The part file has all its bytes, in the system's memory."""
    BLOB_SYNCED = "blob.synced"
    """They are on the disk; the name is still the part's."""
    BLOB_RENAMED = "blob.renamed"
    """The blob has its name, in the system's memory."""
    BLOB_DIRECTORY_SYNCED = "blob.directory_synced"
    """The name is on the disk: the blob is durable."""
    INBOX_BEFORE_INSERT = "inbox.before_insert"
    """No row speaks of the blob."""
    INBOX_BEFORE_COMMIT = "inbox.before_commit"
    """All rows are written in a transaction that is still open."""
    INBOX_COMMITTED = "inbox.committed"
    """The instance is durable; nobody has been told."""
    LISTENER_BEFORE_REPLY = "listener.before_reply"
    """The watch for complete series knows; the sender does not."""
    COMPLETION_BEFORE = "completion.before"
    """A series is found complete; its job is still collecting."""
    COMPLETION_COMMITTED = "completion.committed"
    """Its job waits to be claimed."""
    CLAIM_COMMITTED = "claim.committed"
    """A worker has a job and has not begun."""
    RESULTS_BLOBS_WRITTEN = "results.blobs_written"
    """The bytes of all result objects are durable; no row speaks of them."""
    RESULTS_BEFORE_COMMIT = "results.before_commit"
    """Results, outbox, state and audit are written in a transaction that is still open."""
    RESULTS_COMMITTED = "results.committed"
    """They are durable."""
    OUTBOX_LEASED = "outbox.leased"
    """A deliverer has the objects of a job; nothing is sent."""
    OUTBOX_SENT = "outbox.sent"
    """The destination has answered; the answers are in memory alone."""
    OUTBOX_RECORDED = "outbox.recorded"
    """The answers are durable."""
    COMMITMENT_WRITTEN = "commitment.written"
    """A Transaction UID is durable; the archive has not been asked."""
    COMMITMENT_ASKED = "commitment.asked"
    """The archive has been asked; its answer is in memory alone."""
    REPORT_BEFORE_COMMIT = "report.before_commit"
    """What the archive reports is written in a transaction that is still open."""
    REPORT_COMMITTED = "report.committed"
    """It is durable; the archive has not been told."""
    HL7_RECEIVED = "hl7.received"
    """A whole HL7 message is here; nothing of it is stored."""
    CLINICAL_BEFORE_COMMIT = "clinical.before_commit"
    """All rows of the values are written in a transaction that is still open."""
    CLINICAL_COMMITTED = "clinical.committed"
    """The values are durable; nobody has been told."""
    HL7_BEFORE_REPLY = "hl7.before_reply"
    """The acknowledgement is made and not sent."""


class Action(StrEnum):
    """What happens at an armed failpoint."""

    KILL = "kill"
    """The process gets SIGKILL: no handler, no buffer, no ``finally`` runs any more."""
    ENOSPC = "enospc"
    """OSError: no space left on the device."""
    EIO = "eio"
    """OSError: the device has failed."""
    HANG = "hang"
    """The thread never comes back."""


_ERRORS: Final = {Action.ENOSPC: errno.ENOSPC, Action.EIO: errno.EIO}


@dataclass(slots=True)
class _Armed:
    """A failpoint with what happens there."""

    point: Failpoint
    action: Action
    only: int | None
    """The one hit that counts; every one when None."""
    _hits: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def parse(cls, text: str) -> Self:
        """``name:action[:count]``, or UsageError with what was expected."""
        name, _, rest = text.partition(":")
        action, _, count = rest.partition(":")
        if name not in set(Failpoint):
            raise UsageError(f"{VARIABLE}: there is no failpoint {name!r}; known: {', '.join(Failpoint)}")
        if action not in set(Action):
            raise UsageError(f"{VARIABLE}: there is no action {action!r}; known: {', '.join(Action)}")
        if count and not (count.isdecimal() and int(count)):
            raise UsageError(f"{VARIABLE}: {count!r} is not a number of hits from 1 up")
        return cls(Failpoint(name), Action(action), int(count) if count else None)

    def hit(self, point: Failpoint) -> None:
        if point is not self.point:
            return
        with self._lock:
            self._hits += 1
            is_due = self.only in (None, self._hits)
        if is_due:
            self._act()

    def _act(self) -> None:
        if self.action is Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.action in _ERRORS:
            number = _ERRORS[self.action]
            raise OSError(number, f"{os.strerror(number)} (failpoint {self.point})")
        threading.Event().wait()


_armed: _Armed | None = None


def hit(point: Failpoint) -> None:
    """Pass ``point``; what happens there is up to who armed it, and usually nothing.

    Raises:
        OSError: it is armed with ``enospc`` or ``eio``.
    """
    if _armed is not None:
        _armed.hit(point)


def arm(environment: Mapping[str, str]) -> str:
    """Arm the failpoint that ``environment`` names, or none; gives what was armed, for the log.

    Called once, when a process starts.

    Raises:
        UsageError: there is no such failpoint or action.
    """
    global _armed  # noqa: PLW0603 — the one place; a context handed to every write would cost more than it tells
    text = environment.get(VARIABLE, "")
    _armed = _Armed.parse(text) if text else None
    return text
