"""The processes of a node for fault tests: the real listener, analyser and deliverer, quick to start and to kill.

They are forked from a server that has imported everything, so that a restart costs milliseconds. The analyser has
stand-ins for the models, since what is tested is what becomes of their results; leases and pauses are short.
"""

import json
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from node import __main__ as command
from node.destinations.registry import destinations
from node.dicom.peer import Peer
from node.domain.coding import Anatomy
from node.domain.identifiers import AeTitle, InstanceUID, SeriesUID
from node.domain.prediction import Case, Prediction
from node.domain.reporting import ObjectKind, Report, ReportObject
from node.failpoints import VARIABLE
from node.settings import Settings
from node.store import jobs, outbox, session
from node.store.session import Database
from node.stores import Stores
from tests.factories import as_file, ct_slice
from tests.fakes import HERE, FakePredictor, FakeSegmenter, FakeSource
from tests.faults import links
from workers import __main__ as workers_command
from workers import attempt, endings
from workers.bootstrap import Workshop

HOST: Final = "127.0.0.1"
LEASE: Final = timedelta(seconds=0.6)
QUIET_MIN_S: Final = 0.2
QUIET_MAX_S: Final = 3.0
READY_WITHIN_S: Final = 60.0
PREDICTS_FOR: Final = "CELADON_FAULTS_PREDICT_S"
"""The variable that makes the stand-in for a model slow: seconds of a prediction."""
_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


class Role(StrEnum):
    """A process of the node."""

    LISTENER = "listener"
    ANALYSER = "analyser"
    DELIVERER = "deliverer"


def free_port() -> int:
    """A port that nobody listens on, outside the range that the system gives to clients: it is free again later."""
    while True:
        port = random.randrange(15_000, 30_000)  # noqa: S311 — a port, not a secret
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) != 0:
                return port


@dataclass(frozen=True)
class Site:
    """Where a node keeps what it has, and whom it knows."""

    folder: Path
    url: str
    archive: Peer
    busy_timeout_s: float = 5.0
    """How long a process waits for a locked SQLite database."""
    port: int = field(default_factory=free_port)
    archive_settings: Mapping[str, object] = field(default_factory=dict)
    """Of the destination, besides its address."""
    together: int = 1
    """How many cases an analyser predicts at once."""

    def __post_init__(self) -> None:
        """Make the database."""
        self.folder.mkdir(parents=True, exist_ok=True)
        Database(self.url).upgrade()

    @property
    def listener(self) -> Peer:
        """The node as a sender calls it."""
        return Peer(AeTitle("CELADON"), HOST, self.port)

    @property
    def environment(self) -> dict[str, str]:
        """The settings of its processes."""
        archive: dict[str, object] = {
            "ae_title": self.archive.ae_title,
            "host": self.archive.host,
            "port": self.archive.port,
        }
        archive |= self.archive_settings
        return {
            "CELADON_DATA_DIR": str(self.folder),
            "CELADON_DATABASE_URL": self.url,
            "CELADON_DICOM__PORT": str(self.port),
            "CELADON_DICOM__MIN_FREE_GB": "0",
            "CELADON_COMPLETION__QUIET_MIN_S": str(QUIET_MIN_S),
            "CELADON_COMPLETION__QUIET_MAX_S": str(QUIET_MAX_S),
            "CELADON_PACS": json.dumps({"archive": archive}),
            "CELADON_WORKERS__TOGETHER": str(self.together),
            "CELADON_RULES": json.dumps([{"predictor": "fake", "when": {"RoiAnatomy": "pancreas"}}]),
        }

    def stored(self) -> dict[str, bytes]:
        """Every blob by its name."""
        paths = (self.folder / "blobs").glob("*/*")
        return {path.name: path.read_bytes() for path in paths if path.suffix != ".part"}

    def start(self, role: Role, failpoint: str = "") -> BaseProcess:
        """Start a process, with a failpoint when one is named; returns once it is ready, or has died of it already."""
        process, read_end, log = self.fork(role, {VARIABLE: failpoint})
        assert read_end.poll(READY_WITHIN_S), f"the {role} did not become ready, see {log}"
        read_end.close()
        return process

    def fork(
        self, role: Role, more: Mapping[str, str], lease: timedelta = LEASE
    ) -> tuple[BaseProcess, Connection, Path]:
        """Start a process with ``more`` environment; what it says can be read from the connection."""
        read_end, write_end = _CONTEXT.Pipe(duplex=False)
        log = self.folder.with_name(f"{self.folder.name}.{role}.log")
        arguments = (role, self.environment | dict(more), log, self.busy_timeout_s, write_end, lease)
        process = _CONTEXT.Process(target=_run, args=arguments, daemon=True)
        process.start()
        write_end.close()
        return process, read_end, log


def end(process: BaseProcess, *, gently: bool = False) -> None:
    """Kill a process, or ask it to stop."""
    if process.is_alive():
        process.terminate() if gently else process.kill()
    process.join(30)
    assert process.exitcode is not None, "a process did not end"


def died_within(process: BaseProcess, seconds: float) -> bool:
    """Whether a process has been killed by then."""
    process.join(seconds)
    return process.exitcode is not None


# ---- inside the processes


def _run(
    role: Role,
    environment: Mapping[str, str],
    log: Path,
    busy_timeout_s: float,
    ready: object,
    lease: timedelta = LEASE,
) -> None:
    links.leave(environment)
    ready_fd = os.dup(ready.fileno())  # type: ignore[attr-defined]
    ready.close()  # type: ignore[attr-defined]
    fill(role, environment, log, busy_timeout_s, ready_fd, lease)


def fill(
    role: Role,
    environment: Mapping[str, str],
    log: Path,
    busy_timeout_s: float,
    ready_fd: int,
    lease: timedelta = LEASE,
) -> None:
    """Be a process of the node until told to stop; ``ready_fd`` hears when it is ready."""
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 2)
    os.set_blocking(2, True)
    session._BUSY_TIMEOUT_S = busy_timeout_s  # type: ignore[misc]
    jobs.LEASE = outbox.LEASE = lease  # type: ignore[misc]
    endings.RETRY_AFTER = timedelta(seconds=0.3)  # type: ignore[misc]
    attempt.HEARTBEAT_S = lease.total_seconds() / 4  # type: ignore[attr-defined]
    workers_command.ANALYSE_INTERVAL_S = workers_command.DELIVER_INTERVAL_S = 0.05  # type: ignore[misc]
    workers_command.open_workshop = workshop
    if role is Role.LISTENER:
        command.listen(ready_fd=ready_fd)
        return
    sys.argv = ["workers", "analyse" if role is Role.ANALYSER else "deliver", "--ready-fd", str(ready_fd)]
    sys.exit(workers_command.main())


def workshop(settings: Settings, _device: str = "cpu") -> Workshop:
    """The workshop of an analyser without models."""
    return Workshop(
        settings=settings,
        stores=Stores.open(settings),
        decoder=HERE,
        segmenters=((FakeSegmenter(), (Anatomy.PANCREAS,)),),
        predictors={"fake": _Mortal(hook=_think)},
        sources=(FakeSource(),),
        writers=(DicomWriter(ObjectKind.SUMMARY), DicomWriter(ObjectKind.STRUCTURED_REPORT)),
        destinations=destinations(settings),
        node_version="0.0.0",
        together=settings.workers.together or 1,
    )


POISON: Final[Mapping[int, str]] = {24: "crash", 25: "hang", 26: "memory"}
"""Rows of the images of series that are the end of a worker, and how."""
SLOW: Final = 27
"""Rows of the images of series that take long."""
SLOW_S: Final = 3.0


class _Mortal(FakePredictor):
    """A predictor that some images are the end of."""

    def predict(self, case: Case) -> Prediction:
        """The same for everyone else."""
        rows = case.volume.hu.shape[1]
        poison = POISON.get(rows)
        if rows == SLOW:
            time.sleep(SLOW_S)
        if poison == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if poison == "hang":
            threading.Event().wait()
        if poison == "memory":
            held = []
            while True:
                held.append(b"x" * 2**24)
                time.sleep(0.01)
        return super().predict(case)


def _think() -> None:
    # Not ``time.sleep``, which libfaketime does not let sleep.
    threading.Event().wait(float(os.environ.get(PREDICTS_FOR, "0")))


@dataclass(frozen=True)
class DicomWriter:
    """Writes an object that an archive takes, and whose bytes say which claim it was made for."""

    kind: ObjectKind

    def write(self, report: Report) -> tuple[ReportObject, ...]:
        """The same manifest and time, the same bytes."""
        names = (report.job_id, report.manifest, self.kind.name)
        uid, series = InstanceUID.derived("result", *names), SeriesUID.derived("results", *names)
        made_at = report.fixed_at
        image = ct_slice(
            series=series, SOPInstanceUID=uid, ContentDate=f"{made_at:%Y%m%d}", ContentTime=f"{made_at:%H%M%S}"
        )
        return (ReportObject(self.kind, uid, image.SOPClassUID, series, "AI", as_file(image), ()),)


def pause() -> None:
    """A moment, for whoever polls."""
    time.sleep(0.03)
