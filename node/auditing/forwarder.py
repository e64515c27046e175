"""The forwarder: sends what the audit trail tells on to a repository, in order, for as long as it takes."""

import os
import socket
import threading
import time
from datetime import UTC, datetime
from typing import Final

from node import log
from node.auditing.messages import KINDS, Reporter, Subject, message
from node.auditing.syslog import Receiver, framed, send
from node.dicom.tls import client_context
from node.errors import Retryable
from node.settings import Settings, SyslogSettings
from node.store.forwarding import About, Batch, Forwarding
from node.store.session import Database

BATCH: Final = 100
_EVERY_S: Final = 2.0
_LONGEST_WAIT_S: Final = 60.0
_MOST_DOUBLINGS: Final = 6
"""Of the wait: it is at its longest by then, and the count of failures goes on for as long as an outage lasts."""


class Forwarder:
    """Sends the trail of one node to one repository."""

    def __init__(self, settings: Settings, repository: SyslogSettings, database: Database) -> None:
        """UsageError when the files for TLS cannot be used."""
        self._name = f"{repository.host}:{repository.port}"[:64]
        self._host = socket.gethostname()
        self._owner = f"{self._host} {os.getpid()}"
        self._forwarding = Forwarding(database)
        tls = repository.tls
        self._receiver = Receiver(
            repository.host, repository.port, client_context(tls.ca, tls.certificate, tls.key), repository.timeout_s
        )
        self._reporter = Reporter(
            repository.source, repository.site, settings.dicom.ae_title, settings.dicom.host, str(os.getpid())
        )
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Have everything sent that is written from now on."""
        self._forwarding.begin(self._name)

    def start(self) -> None:
        """Send in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="audit forwarder", daemon=True)
        self._thread.start()

    def finish(self, within_s: float) -> None:
        """Stop, and send what is left if that is quickly done; what is not is sent after the next start."""
        self._stop.set()
        deadline = time.monotonic() + within_s
        if self._thread is not None:
            self._thread.join(within_s)
        if self._thread is None or not self._thread.is_alive():
            while time.monotonic() < deadline and self.work():
                pass
            self._give_back()

    def work(self) -> bool:
        """Send the next batch; whether there was one that arrived."""
        try:
            batch = self._forwarding.take(self._name, self._owner, KINDS.keys(), BATCH)
            return batch is not None and self._send(batch)
        except Retryable as exc:
            log.get().warning(log.AUDIT_NOT_SENT, error=str(exc))
            return False

    def _send(self, batch: Batch) -> bool:
        events = [event for _, event in batch.rows]
        now = datetime.now(UTC)
        made = [
            message(event, _subject(about) if about else None, self._reporter)
            for event, about in zip(events, self._forwarding.about(events), strict=True)
        ]
        frames = [framed(one, now, self._host) for one in made if one is not None]
        if frames:
            try:
                send(self._receiver, frames)
            except Retryable as exc:
                attempts = self._forwarding.failed(self._name, self._owner, str(exc))
                log.get().warning(log.AUDIT_NOT_SENT, error=str(exc), attempts=attempts)
                self._stop.wait(min(2.0 ** min(attempts, _MOST_DOUBLINGS), _LONGEST_WAIT_S))
                return False
        return self._forwarding.sent(self._name, self._owner, batch)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                has_sent = self.work()
            except Exception as exc:  # noqa: BLE001 — whatever it is, the rows stay, and somebody must hear of it
                # Not its message: it may quote what a row is about.
                log.get().error(log.AUDIT_NOT_SENT, error=type(exc).__name__)
                has_sent = False
            if not has_sent:
                self._stop.wait(_EVERY_S)

    def _give_back(self) -> None:
        try:
            self._forwarding.give_back(self._name, self._owner)
        except Retryable:
            return  # the lease runs out


def _subject(found: About) -> Subject:
    return Subject(
        study_uid=found.study_uid,
        patient_id=found.patient_id,
        issuer=found.issuer,
        patient_name=found.patient_name,
        calling_ae=found.calling_ae,
        address=found.address,
        accession=found.accession,
        contents=found.contents,
    )
