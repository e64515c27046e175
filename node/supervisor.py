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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from node import gpus, log
from node.auditing.forwarder import Forwarder
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import JobId
from node.domain.lifecycle import Queue
from node.errors import CeladonError, Fatal, Retryable, UsageError
from node.settings import Settings, WebSettings, fingerprint, read_settings
from node.stopping import StopRequest
from node.store.audit import AuditFilter, AuditTrail
from node.store.counters import Counted, Counters
from node.store.jobs import JobStore
from node.store.session import Database
from node.stores import BYTES_PER_GB, open_database
from node.watch import Limits, Lines, Task, Watch, end_family, ended_by, memory_by_default, memory_of

READY_WITHIN_S: Final = 180.0
"""Loading and warming the models takes seconds, on a busy machine many."""
STOP_WITHIN_S: Final = 18.0
"""SIGTERM to exit takes less than 20 s; what has not finished by then is killed and its work is claimed again."""
LONGEST_BACKOFF_S: Final = 30.0
_STEADY_AFTER_S: Final = 60.0
_TICK_S: Final = 0.1
_TOLD_WITHIN_S: Final = 1.5
"""For the audit messages that are left when everything has stopped."""
_WEIGHED_EVERY_S: Final = 0.5
ALL: Final = "all"
_SEGMENTER_SLACK_S: Final = 60.0
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
    forced: tuple[tuple[str, str], ...] = ()
    """Set for this process whatever is set already."""
    limits: Limits | None = None
    """What it may take; None: nobody looks."""


Ended = Callable[[Task, str], None]
"""Told what a process was at when it ended, and how it did."""


def _unheard(_task: Task, _why: str) -> None:
    """Tell nobody: the lease runs out, and the job is taken over."""


@dataclass(slots=True)
class _Child:
    """A role with the process that fills it now."""

    role: Role
    environment: dict[str, str]
    on_end: Ended = _unheard
    process: subprocess.Popen[bytes] | None = None
    ready_fd: int = -1
    started_s: float = 0.0
    failures: int = 0
    restart_at_s: float = 0.0
    announced: dict[str, Any] = field(default_factory=dict)
    lines: Lines | None = None
    watch: Watch | None = None
    weighed_s: float = 0.0
    breach: str = ""

    def start(self) -> None:
        """Start the process with a pipe that it announces itself on; the pipe stays open for as long as it lives.

        Where the system has no memory, no number for a process or no descriptor left there is no process, and another
        try is due at ``restart_at_s``: the other roles go on, and the system may have room then.
        """
        self._close_pipe()
        self.lines = self.watch = None
        self.breach = ""
        try:
            self._open()
        except OSError as exc:
            self._close_pipe()
            self._wait_longer()
            why, seconds = os.strerror(exc.errno or 0), self.restart_at_s - time.monotonic()
            log.get().error(
                log.CHILD_NOT_STARTED, worker=self.role.name, error=why, attempts=self.failures, seconds=seconds
            )

    def _open(self) -> None:
        self.ready_fd, write_end = os.pipe()
        command = [sys.executable, *self.role.arguments, "--ready-fd", str(write_end)]
        try:
            process = subprocess.Popen(command, pass_fds=(write_end,), env=self.environment)  # noqa: S603 — ours alone
        finally:
            os.close(write_end)
        self.process = process
        self.lines = Lines(self.ready_fd)
        self.watch = Watch(self.role.limits) if self.role.limits else None
        self.started_s = time.monotonic()
        log.get().info(log.CHILD_STARTED, worker=self.role.name, pid=process.pid)

    def _wait_longer(self) -> None:
        """Try again later each time."""
        self.failures += 1
        self.restart_at_s = time.monotonic() + min(2.0 ** (self.failures - 1), LONGEST_BACKOFF_S)

    def wait_ready(self, deadline_s: float) -> None:
        """Wait for the announcement.

        Raises:
            UsageError: the process ended because of a setting; it has said which.
            Fatal: the process ended, or took too long.
        """
        while self.process is None and self.failures and self.restart_at_s < deadline_s:
            time.sleep(max(0.0, self.restart_at_s - time.monotonic()))
            self.start()
        if self.lines is None:
            raise Fatal(f"{self.role.name} was never started")
        with selectors.DefaultSelector() as selector:
            selector.register(self.ready_fd, selectors.EVENT_READ)
            while not self.lines.is_over and selector.select(max(0.0, deadline_s - time.monotonic())):
                if said := list(self.lines.read()):
                    self.announced, *rest = said
                    self._hear(rest)
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

    def look(self) -> None:
        """Hear what the process says, and end it when it takes more than it may."""
        if self.process is None or self.lines is None or self.watch is None:
            return
        self._hear(self.lines.read())
        now = time.monotonic()
        if self.breach or now < self.weighed_s + _WEIGHED_EVERY_S:
            return
        self.weighed_s = now
        if why := self.watch.breach(memory_of(self.process.pid)):
            self.breach = why
            log.get().error(log.CHILD_ENDED, worker=self.role.name, pid=self.process.pid, detail=why)
            end_family(self.process.pid)

    def _was_at_work(self) -> bool:
        if self.lines is not None:
            self._hear(self.lines.read())
        return self.watch is not None and self.watch.task is not None

    def _tell(self, exit_code: int) -> None:
        """Say what the process was at when it ended, if it was at something."""
        if self.watch is not None and self.watch.task is not None:
            self.on_end(self.watch.task, self.breach or ended_by(exit_code))
            self.watch.task = None

    def _hear(self, said: Iterable[dict[str, Any]]) -> None:
        for one in said:
            if self.watch is not None:
                self.watch.heard(one)

    def revive(self) -> None:
        """Start the process again when it has died, later each time it dies soon."""
        self.look()
        now = time.monotonic()
        if self.process is not None and (code := self.process.poll()) is not None:
            if self._was_at_work():
                # The job is what ended it, and has a strike for it: three are all that it can cost the others.
                self.failures, self.restart_at_s = 0, now
            else:
                self.failures = 0 if now - self.started_s > _STEADY_AFTER_S else self.failures
                self._wait_longer()
            log.get().error(log.CHILD_DIED, worker=self.role.name, exit_code=code, seconds=self.restart_at_s - now)
            self._tell(code)
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

    def __init__(
        self, settings: Settings, roles: Sequence[Role], environment: Mapping[str, str], on_end: Ended = _unheard
    ) -> None:
        """``environment``: what the processes inherit; ``on_end``: hears what a process was at that ended."""
        self._settings = settings
        self._children = [
            _Child(role, dict(role.environment) | dict(environment) | dict(role.forced), on_end) for role in roles
        ]
        self._stop = StopRequest()
        self._is_announced = False
        """Whether ``runtime.json`` is ours: workers that are started beside a node in the same folder write none."""

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
            if "web" in child.announced:
                child.environment["CELADON_WEB__PORT"] = str(child.announced["web"])
            if "port" in child.announced:
                # A listener that is started again takes the port that peers know, also when it was a free one.
                child.environment["CELADON_DICOM__PORT"] = str(child.announced["port"])
        self._announce()

    def _announce(self) -> None:
        port = next((child.announced["port"] for child in self._children if "port" in child.announced), None)
        hl7 = next((child.announced["hl7"] for child in self._children if "hl7" in child.announced), None)
        web = next((child.announced["web"] for child in self._children if "web" in child.announced), None)
        dicom = self._settings.dicom
        if port is not None:
            runtime = {"dicom": port, "web": web, "hl7": hl7, "pid": os.getpid()}
            part = self._settings.runtime_file.with_suffix(".part")
            part.write_text(json.dumps(runtime))
            part.replace(self._settings.runtime_file)
            self._is_announced = True
        address = f"dicom={dicom.ae_title}@{dicom.host}:{port} " if port is not None else ""
        if hl7 is not None and self._settings.clinical.hl7 is not None:
            address += f"hl7={self._settings.clinical.hl7.host}:{hl7} "
        if web is not None:
            address += f"web={_web_address(self._settings.web, web)} "
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
        if self._is_announced:
            self._settings.runtime_file.unlink(missing_ok=True)


def _web_address(web: WebSettings, port: int) -> str:
    """Where a browser finds the page."""
    host = f"[{web.host}]" if ":" in web.host else web.host
    return web.public_url or f"{'https' if web.tls else 'http'}://{host}:{port}/"


def roles(
    task: str, settings: Settings, config: Path | None, queue: str = ALL, devices: Sequence[str] = ()
) -> tuple[Role, ...]:
    """The processes of ``up`` (everything) or ``work`` (all but the listener).

    ``queue``: whose work is done here; ``devices``: the GPUs that there are. Delivery belongs to the CPU's work.
    """
    common = ("--config", str(config)) if config else ()
    working = _analysers(settings, common, queue, devices)
    if queue == Queue.GPU:
        return working
    deliverer = Role("deliverer", ("-m", "workers", "deliver", *common))
    arguments = ("-m", "node", "listen", "--parent", str(os.getpid()), *common)
    listener = Role("listener", arguments, LISTENER_MEMORY)
    if task != "up":
        return (*working, deliverer)
    web = Role("web", ("-m", "node", "web", "--parent", str(os.getpid()), *common))
    if settings.clinical.hl7 is None:
        return (listener, *working, deliverer, web)
    hl7 = Role("hl7 listener", ("-m", "node", "clinical", "listen", "--parent", str(os.getpid()), *common))
    return (listener, hl7, *working, deliverer, web)


def _analysers(settings: Settings, common: tuple[str, ...], queue: str, devices: Sequence[str]) -> tuple[Role, ...]:
    """One process a GPU, which nobody else uses, and as many without as are configured.

    Where there is no GPU the others do its work too: more slowly, which ``celadon doctor`` says.
    """
    used = devices if settings.workers.gpu is None else devices[: settings.workers.gpu]
    limits = _limits(settings)
    command = ("-m", "workers", "analyse", *common)
    on_gpus = tuple(
        Role(
            f"analyser gpu {number + 1}",
            (*command, "--queue", Queue.GPU.value, "--device", "auto"),
            forced=((gpus.VARIABLE, device),),
            limits=limits,
        )
        for number, device in enumerate(used)
    )
    if queue == Queue.GPU and on_gpus:
        return on_gpus
    served = Queue.CPU.value if on_gpus and queue == ALL else queue
    chosen = () if served == ALL else ("--queue", served)
    without = tuple(
        Role(f"analyser {number + 1}", (*command, *chosen), limits=limits) for number in range(settings.workers.cpu)
    )
    return without if queue == Queue.CPU else (*without, *on_gpus)


def _limits(settings: Settings) -> Limits:
    """What an analysing process may take; a segmentation program has a time of its own, which is waited for."""
    memory = settings.workers.memory_gb
    longest = max((one.within_s + _SEGMENTER_SLACK_S for one in settings.segmenters.values()), default=0.0)
    return Limits(
        memory_bytes=int(memory * BYTES_PER_GB) if memory else memory_by_default(),
        step_s=max(settings.workers.step_s, longest),
    )


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m node.supervisor", description=__doc__)
    parser.add_argument("task", choices=("up", "work"))
    parser.add_argument("--config", type=Path)
    parser.add_argument("--queue", choices=(ALL, *Queue), default=ALL)
    arguments = parser.parse_args()
    log.configure("supervisor")
    try:
        settings = read_settings(arguments.config)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        database = _open(arguments.task, settings)
        trail, forwarder = AuditTrail(database), _forwarder(settings, database)
        _started(trail, settings)
        try:
            filled = roles(arguments.task, settings, arguments.config, arguments.queue, gpus.visible())
            striker = _Striker(JobStore(database), Counters(database))
            Supervisor(settings, filled, os.environ, striker.strike).run()
            _record(trail, AuditAction.NODE_STOPPED)
        finally:
            if forwarder is not None:
                forwarder.finish(_TOLD_WITHIN_S)
    except CeladonError as exc:
        print(f"celadon: {exc}", file=sys.stderr)  # noqa: T201 — said to a person
        return _WRONG_USAGE if isinstance(exc, UsageError) else 1
    return 0


class _Striker:
    """Takes jobs back from processes that have ended at them."""

    def __init__(self, jobs: JobStore, counters: Counters) -> None:
        self._jobs, self._counters = jobs, counters

    def strike(self, task: Task, why: str) -> None:
        """Have a job wait again at once, with a strike; where that cannot be written, its lease runs out.

        And those beside it: whose fault it was nobody knows, and whatever has a strike is done alone. So a job that
        ends workers costs another one strike at most, of three.
        """
        self._counters.add(Counted.WORKER_ENDED)
        self._strike(task.job_id, task.token, task.step, why)
        for job_id, token in task.beside:
            self._strike(job_id, token, task.step, f"{why}, beside {task.job_id}")

    def _strike(self, job_id: JobId, token: int, step: str, why: str) -> None:
        try:
            if self._jobs.strike(job_id, token, f"supervisor {os.getpid()}", why, step=step):
                log.get().warning(log.JOB_STRUCK, job_id=job_id, step=step, detail=why)
        except Retryable as exc:
            log.get().error(log.POLL_FAILED, job_id=job_id, error=str(exc))


def _open(task: str, settings: Settings) -> Database:
    database = open_database(settings)
    # A whole node on one machine looks after its own schema; on several, one person upgrades it for all.
    if task == "up":
        database.upgrade()
    database.require_current()
    return database


def _forwarder(settings: Settings, database: Database) -> Forwarder | None:
    """What sends audit messages on, begun; None where nobody wants them."""
    if settings.audit.syslog is None:
        return None
    forwarder = Forwarder(settings, settings.audit.syslog, database)
    forwarder.begin()
    forwarder.start()
    log.get().info(log.AUDIT_FORWARDED, host=settings.audit.syslog.host, port=settings.audit.syslog.port)
    return forwarder


def _started(trail: AuditTrail, settings: Settings) -> None:
    """Say that the node starts, and whether its settings are others than when it started last."""
    now = fingerprint(settings)
    before = trail.page(AuditFilter(action=AuditAction.NODE_STARTED.value), limit=1)
    known = before[0].event.details.get("settings", "") if before else ""
    if known and known != now:
        _record(trail, AuditAction.SETTINGS_CHANGED, {"before": known, "now": now})
    _record(trail, AuditAction.NODE_STARTED, {"settings": now})


def _record(trail: AuditTrail, action: AuditAction, details: dict[str, str | int | float] | None = None) -> None:
    actor, now = f"supervisor {os.getpid()}", datetime.now(UTC)
    trail.record(AuditEvent(now, actor, action, AuditOutcome.SUCCESS, details=details or {}))


if __name__ == "__main__":
    sys.exit(main())
