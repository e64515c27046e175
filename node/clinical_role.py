"""The process that listens for HL7 v2 messages until it is asked to stop."""

import json
import os
from pathlib import Path

from node import failpoints, log
from node.clinical.hl7_listener import Hl7Listener
from node.errors import UsageError
from node.settings import read_settings
from node.stopping import StopRequest
from node.store.audit import AuditTrail
from node.store.clinical import ClinicalStore
from node.stores import open_database


def listen(config: Path | None, ready_fd: int | None = None, parent: int | None = None) -> None:
    """Listen; ``ready_fd`` is where a supervisor, the process ``parent``, waits for the port.

    Raises:
        UsageError: no port is configured, or it cannot be had.
    """
    log.configure("hl7 listener")
    if armed := failpoints.arm(os.environ):
        log.get().warning(log.FAILPOINT_ARMED, detail=armed)
    settings = read_settings(config)
    wanted = settings.clinical.hl7
    if wanted is None:
        raise UsageError("clinical.hl7.port is not set: there is nothing to listen on")
    database = open_database(settings)
    database.require_current()
    store = ClinicalStore(database, settings.clinical.issuer)
    stop = StopRequest()
    stop.install()
    listener = Hl7Listener(wanted, settings.clinical.issuer, store.accept, AuditTrail(database).record)
    listener.start()
    if ready_fd is not None:
        os.write(ready_fd, json.dumps({"hl7": listener.port}).encode() + b"\n")
        os.close(ready_fd)
    # A supervisor that was killed must not leave a listener behind that nobody watches.
    while not stop.wait(1.0) and parent in (None, os.getppid()):
        pass
    listener.stop()
