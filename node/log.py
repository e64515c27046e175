"""Logging: one JSON line an event on stderr, with an allow-list of fields so that no patient data can reach a log.

Event names are constants here; fields that are not allowed are dropped and counted in ``dropped``: a mistake is seen.
"""

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Final

import structlog

ALLOWED_FIELDS: Final = frozenset(
    {
        "event", "level", "timestamp", "logger", "role", "pid", "port", "host", "ae_title", "calling_ae", "address",
        "status", "reason", "detail", "job_id", "study_uid", "series_uid", "instance_uid", "sop_class_uid", "state",
        "step", "seconds", "count", "bytes", "destination", "attempts", "predictor", "digest", "training_status",
        "disclaimer", "error", "exit_code", "path", "version", "worker",
        "dropped",
    }
)  # fmt: skip

# node
NODE_READY = "node ready"
NODE_STOPPING = "node stopping"
FAILPOINT_ARMED = "failpoint armed: this process will fail on purpose"
PRUNED = "old series pruned"
SWEPT = "blobs swept"
BLOB_DAMAGED = "a blob is not what its name says"
BLOBS_OF_ANOTHER_DATABASE = "blobs belong to another database: left alone"
TIDYING_FAILED = "tidying failed"
CHILD_STARTED = "process started"
CHILD_NOT_STARTED = "process could not be started"
CHILD_DIED = "process died"
CHILD_ENDED = "process ended because it took too much"
CHILD_KILLED = "process killed after the grace period"
ALARM_RAISED = "alarm"
ALARM_OVER = "alarm over"
ALARM_NOT_TOLD = "alarm not told"
# intake
LISTENER_READY = "listener ready"
INSTANCE_STORED = "instance stored"
INSTANCE_REFUSED = "instance refused"
INSTANCE_CONFLICT = "instance conflict"
STORE_FAILED = "store failed"
ASSOCIATION_REJECTED = "association rejected"
ASSOCIATION_ABORTED = "association aborted"
ASSOCIATION_FAILED = "association ended in an error"
CONNECTIONS_REFUSED = "connections refused"
SERIES_COMPLETE = "series complete"
COMPLETION_FAILED = "completion check failed"
ARCHIVE_NOT_ANSWERING = "archive did not say how many instances it holds"
HL7_READY = "hl7 listener ready"
HL7_STORED = "hl7 message stored"
HL7_REFUSED = "hl7 message refused"
HL7_CONNECTION_REFUSED = "hl7 connection refused"
HL7_CONNECTION_ENDED = "hl7 connection ended"
HL7_FAILED = "hl7 message failed"
# work
WORKER_READY = "worker ready"
MODEL_LOADED = "model loaded"
NO_GPU = "no gpu can be used: models run on the cpu"
GPU_FULL = "the gpu has no room: the case runs on the cpu"
GPU_BUSY = "the gpu has too little free memory: nothing is claimed"
FAST_PATH_READY = "fast path ready"
FAST_PATH_REFUSED = "fast path not used: the network runs as it is"
ARTEFACT_DROPPED = "compiled network dropped"
ARTEFACT_NOT_KEPT = "compiled network not kept"
DECODER_ENDED = "decoder gave no answer and was replaced"
JOB_CLAIMED = "job claimed"
STEP_DONE = "step done"
JOB_REFUSED = "job not analysed"
JOB_QUARANTINED = "job quarantined"
NOTICE_FAILED = "notice not written"
JOB_RELEASED = "job given back"
JOB_AWAITING = "job waits for clinical values"
JOB_COMMITTED = "results committed"
JOB_FENCED = "result discarded: the job has moved on"
JOB_STRUCK = "job taken back from a process that ended"
JOB_HANDED_OVER = "job handed over to another queue"
LEASE_LOST = "lease lost"
POLL_FAILED = "poll failed"
NOT_TOGETHER = "not predicted together"
BELL_BROKEN = "the broker cannot be used: workers look for themselves"
# page
WEB_READY = "web ready"
WEB_PLAIN = "web listens on other addresses than loopback without https"
REQUEST_FAILED = "request failed"
OVERLAY_DAMAGED = "a result of ours cannot be read and is not shown"
AUDIT_NOT_SENT = "audit messages not sent: tried again"
AUDIT_FORWARDED = "audit messages are sent to a repository"
AUDIT_HEAD_NOT_EXPORTED = "head of the audit chain not exported"
# delivery
OBJECT_DELIVERED = "object delivered"
DELIVERY_POSTPONED = "delivery postponed"
DELIVERY_FAILED = "delivery failed"
DELIVERY_HELD = "delivery held: the archive has another identity"
DELIVERY_SPARED = "object not needed: another form of it was stored"
COMMITMENT_REQUESTED = "storage commitment requested"
COMMITMENT_POSTPONED = "storage commitment not taken"
REPORT_TAKEN = "storage commitment reported"
REPORT_REFUSED = "storage commitment report refused"
REPORT_FAILED = "storage commitment report failed"
IDENTITY_CORRECTED = "identity corrected by the archive: results are made anew"


def _allow_listed(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    dropped = [name for name in event if name not in ALLOWED_FIELDS]
    for name in dropped:
        del event[name]
    if dropped:
        event["dropped"] = len(dropped)
    return event


class _Lines(structlog.PrintLogger):
    """Writes lines, and loses one that cannot be written: on a full disk, or to a reader that is gone.

    A log explains and changes nothing: a heartbeat or a delivery must not end because it could not be told of.
    """

    def msg(self, message: str) -> None:
        """Write one line."""
        with suppress(OSError, ValueError):  # the second from a stream that was closed
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


def configure(role: str, *, level: int = logging.INFO) -> None:
    """Send this process' log to stderr as JSON lines, each marked with ``role``."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _allow_listed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(role=role)
    # The libraries log values of the data sets they read, and warn of them: never let them through.
    logging.captureWarnings(capture=True)
    for library in (
        "pydicom",
        "pynetdicom",
        "highdicom",
        "alembic",
        "httpx",
        "httpcore",
        "py.warnings",
        "uvicorn",
        "uvicorn.error",
        "uvicorn.access",
        "authlib",
        "asyncio",
        "celery",
        "kombu",
        "redis",
    ):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def get() -> structlog.typing.FilteringBoundLogger:
    """The logger to write events to."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
