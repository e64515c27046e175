"""The supervisor: starts the processes of an embedded node, restarts those that die, and stops them in order.

``python -m node.supervisor up`` runs the whole node on this machine, ``… work`` the working processes alone.
"""

import argparse
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from node import log
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.errors import CeladonError, Fatal, UsageError
from node.settings import Settings, read_settings
from node.stopping import StopRequest
from node.store.audit import AuditTrail
from node.store.session import Database

READY_WITHIN_S: Final = 180.0
"""Loading and warming the models takes seconds, on a busy machine many."""
STOP_WITHIN_S: Final = 18.0
"""SIGTERM to exit takes less than 20 s; what has not finished by then is killed and its work is claimed again."""
LONGEST_BACKOFF_S: Final = 30.0
_STEADY_AFTER_S: Final = 60.0
_TICK_S: Final = 0.1
_ENDS_WITHIN_S: Final = 2.0
_WRONG_USAGE: Final = 2
LISTENER_MEMORY: Final = (
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
)
"""Of glibc (mallopt(3)): a thread for each association would have an arena of its own, which keeps what a flood of
peers once needed; so it is given back to the system. Other C libraries know no such variables."""


@dataclass(frozen=True, slots=True)
class Role:
    """A process to keep running."""

    name: str
    arguments: tuple[str, ...]
    """Of the Python interpreter."""
    environment: tuple[tuple[str, str], ...] = ()
    """Set for this process unless somebody has set it already."""


@dataclass(slots=True)
class _Child:
    """A role with the process that fills it now."""

    role: Role
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    ready_fd: int = -1
    started_s: float = 0.0
    failures: int = 0
    restart_at_s: float = 0.0
    announced: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        """Start the process with a pipe that it announces itself on; the pipe stays open for as long as it lives."""
        self._close_pipe()
        self.ready_fd, write_end = os.pipe()
        command = [sys.executable, *self.role.arguments, "--ready-fd", str(write_end)]
        self.process = subprocess.Popen(command, pass_fds=(write_end,), env=self.environment)  # noqa: S603 — ours alone
        os.close(write_end)
        self.started_s = time.monotonic()
        log.get().info(log.CHILD_STARTED, worker=self.role.name, pid=self.process.pid)

    def wait_ready(self, deadline_s: float) -> None:
        """Wait for the announcement.

        Raises:
            UsageError: the process ended because of a setting; it has said which.
            Fatal: the process ended, or took too long.
        """
        with selectors.DefaultSelector() as selector, os.fdopen(self.ready_fd, closefd=False) as announcements:
            selector.register(announcements, selectors.EVENT_READ)
            selector.select(max(0.0, deadline_s - time.monotonic()))
            line = announcements.readline() if selector.select(0) else ""
        if line:
            self.announced = json.loads(line)
            return
        code = self._exit_code_soon()
        if code == _WRONG_USAGE:
            raise UsageError(f"{self.role.name} could not start with these settings")
        raise Fatal(f"{self.role.name} did not become ready (exit code {code})")

    def _close_pipe(self) -> None:
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
            self.ready_fd = -1

    def _exit_code_soon(self) -> int | None:
        """The exit code of a process that has just closed its pipe; None when it goes on without having announced."""
        try:
            return self.process.wait(_ENDS_WITHIN_S) if self.process else None
        except subprocess.TimeoutExpired:
            return None

    def revive(self) -> None:
        """Start the process again when it has died, later each time it dies soon."""
        now = time.monotonic()
        if self.process is not None and (code := self.process.poll()) is not None:
            self.failures = 1 if now - self.started_s > _STEADY_AFTER_S else self.failures + 1
            self.restart_at_s = now + min(2.0 ** (self.failures - 1), LONGEST_BACKOFF_S)
            log.get().error(log.CHILD_DIED, worker=self.role.name, exit_code=code, seconds=self.restart_at_s - now)
            self.process = None
        if self.process is None and now >= self.restart_at_s:
            self.start()

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def end(self, deadline_s: float) -> None:
        """Wait until ``deadline_s``, then kill."""
        self._close_pipe()
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.get().error(log.CHILD_KILLED, worker=self.role.name, pid=self.process.pid)
            self.process.kill()
            self.process.wait()


class Supervisor:
    """Keeps a set of roles running."""

    def __init__(self, settings: Settings, roles: Sequence[Role], environment: Mapping[str, str]) -> None:
        """``environment``: what the processes inherit."""
        self._settings = settings
        self._children = [_Child(role, dict(role.environment) | dict(environment)) for role in roles]
        self._stop = StopRequest()

    def run(self) -> None:
        """Start everything, say so, watch until asked to stop, stop.

        Raises:
            UsageError, Fatal: a process could not start.
        """
        self._stop.install()
        try:
            self._start()
            while not self._stop.wait(_TICK_S):
                for child in self._children:
                    child.revive()
        finally:
            self._end()

    def _start(self) -> None:
        for child in self._children:
            child.start()
        deadline = time.monotonic() + READY_WITHIN_S
        for child in self._children:
            child.wait_ready(deadline)
            if "hl7" in child.announced:
                child.environment["CELADON_CLINICAL__HL7__PORT"] = str(child.announced["hl7"])
            if "port" in child.announced:
                # A listener that is started again takes the port that peers know, also when it was a free one.
                child.environment["CELADON_DICOM__PORT"] = str(child.announced["port"])
        self._announce()

    def _announce(self) -> None:
        port = next((child.announced["port"] for child in self._children if "port" in child.announced), None)
        hl7 = next((child.announced["hl7"] for child in self._children if "hl7" in child.announced), None)
        dicom = self._settings.dicom
        if port is not None:
            runtime = {"dicom": port, "web": None, "hl7": hl7, "pid": os.getpid()}
            part = self._settings.runtime_file.with_suffix(".part")
            part.write_text(json.dumps(runtime))
            part.replace(self._settings.runtime_file)
        address = f"dicom={dicom.ae_title}@{dicom.host}:{port} " if port is not None else ""
        if hl7 is not None and self._settings.clinical.hl7 is not None:
            address += f"hl7={self._settings.clinical.hl7.host}:{hl7} "
        line = f"celadon ready {address}data={self._settings.data_dir.absolute()}"
        print(line, flush=True)  # noqa: T201 — people and scripts wait for this line
        log.get().info(log.NODE_READY, port=port, ae_title=dicom.ae_title, pid=os.getpid())

    def _end(self) -> None:
        log.get().info(log.NODE_STOPPING)
        deadline = time.monotonic() + STOP_WITHIN_S
        for child in self._children:
            child.ask_to_stop()
        for child in self._children:
            child.end(deadline)
        self._settings.runtime_file.unlink(missing_ok=True)


def roles(task: str, settings: Settings, config: Path | None) -> tuple[Role, ...]:
    """The processes of ``up`` (everything) or ``work`` (all but the listener)."""
    common = ("--config", str(config)) if config else ()
    working = tuple(
        Role(f"analyser {number + 1}", ("-m", "workers", "analyse", *common)) for number in range(settings.workers.cpu)
    )
    deliverer = Role("deliverer", ("-m", "workers", "deliver", *common))
    arguments = ("-m", "node", "listen", "--parent", str(os.getpid()), *common)
    listener = Role("listener", arguments, LISTENER_MEMORY)
    if task != "up":
        return (*working, deliverer)
    if settings.clinical.hl7 is None:
        return (listener, *working, deliverer)
    hl7 = Role("hl7 listener", ("-m", "node", "clinical", "listen", "--parent", str(os.getpid()), *common))
    return (listener, hl7, *working, deliverer)


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m node.supervisor", description=__doc__)
    parser.add_argument("task", choices=("up", "work"))
    parser.add_argument("--config", type=Path)
    arguments = parser.parse_args()
    log.configure("supervisor")
    try:
        settings = read_settings(arguments.config)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        trail = _open(arguments.task, settings)
        _record(trail, AuditAction.NODE_STARTED)
        Supervisor(settings, roles(arguments.task, settings, arguments.config), os.environ).run()
        _record(trail, AuditAction.NODE_STOPPED)
    except CeladonError as exc:
        print(f"celadon: {exc}", file=sys.stderr)  # noqa: T201 — said to a person
        return _WRONG_USAGE if isinstance(exc, UsageError) else 1
    return 0


def _open(task: str, settings: Settings) -> AuditTrail:
    database = Database(settings.url)
    # A whole node on one machine looks after its own schema; on several, one person upgrades it for all.
    if task == "up":
        database.upgrade()
    database.require_current()
    return AuditTrail(database)


def _record(trail: AuditTrail, action: AuditAction) -> None:
    event = AuditEvent(datetime.now(UTC), f"supervisor {os.getpid()}", action, AuditOutcome.SUCCESS)
    trail.record(event)


if __name__ == "__main__":
    sys.exit(main())
