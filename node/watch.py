"""The watch over a working process: what it says that it is at, and what of that is more than it may take.

Kept by its parent, which ends the process: a thread of the process itself could neither stop a computation that hangs
nor outlive one that takes all the memory.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]  # it ships no types

from node.domain.identifiers import JobId

_GIB: Final = 2**30
_SHARE: Final = 0.9
_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")
_CHUNK: Final = 65536


@dataclass(frozen=True, slots=True)
class Limits:
    """What a working process may take."""

    memory_bytes: int
    """Resident, together with the processes that it started."""
    step_s: float
    """Seconds for one step of one job."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a process is at."""

    job_id: JobId
    token: int
    step: str
    beside: tuple[tuple[JobId, int], ...] = ()
    """Other jobs that the process has at hand, with the tokens of their claims."""


class Watch:
    """What one process has said, and since when it says the same."""

    def __init__(self, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        """``now``: seconds on a clock that nobody can set."""
        self._limits, self._now = limits, now
        self._since_s = now()
        self.task: Task | None = None

    def heard(self, said: dict[str, Any]) -> None:
        """Take one thing that the process said; what is not about its work is nobody's business here."""
        if "job" not in said:
            return
        beside = tuple((JobId(job), int(token)) for job, token in said.get("beside", ()))
        self.task = Task(JobId(said["job"]), int(said["token"]), str(said["step"]), beside) if said["job"] else None
        self._since_s = self._now()

    def breach(self, memory_bytes: int) -> str | None:
        """Why the process must be ended, or None; ``memory_bytes`` is what it has now."""
        if memory_bytes > self._limits.memory_bytes:
            return f"more than {self._limits.memory_bytes / _GIB:.1f} GiB of memory"
        if self.task is not None and self._now() - self._since_s > self._limits.step_s:
            return f"more than {self._limits.step_s:g} s"
        return None


class Lines:
    """The reading end of a pipe on which a process says one JSON object a line."""

    def __init__(self, descriptor: int) -> None:
        """Reads from ``descriptor`` without ever waiting."""
        self._descriptor = descriptor
        self._rest = b""
        self.is_over = False
        """Whether nobody holds the other end any more."""
        os.set_blocking(descriptor, False)

    def read(self) -> Iterator[dict[str, Any]]:
        """What has come since; a line that makes no sense is left out: it must not end whoever watches."""
        with suppress(BlockingIOError):
            while chunk := os.read(self._descriptor, _CHUNK):
                self._rest += chunk
            self.is_over = True
        *lines, self._rest = self._rest.split(b"\n")
        for line in filter(None, lines):
            with suppress(ValueError):
                if isinstance(found := json.loads(line), dict):
                    yield found


def memory_of(pid: int) -> int:
    """The resident memory in bytes of a process and all that it started; 0 when it is gone."""
    return sum(_resident(one) for one in _family(pid))


def end_family(pid: int) -> None:
    """Kill a process and all that it started."""
    for one in _family(pid):
        with suppress(psutil.NoSuchProcess):
            one.kill()


def ended_by(exit_code: int) -> str:
    """How a process ended, in a word: of ``Popen``, where a signal is a negative number."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    with suppress(ValueError):
        return signal.Signals(-exit_code).name
    return f"signal {-exit_code}"


def memory_by_default() -> int:
    """Nine tenths of the memory of this machine, or of the container, in bytes: ended before the system has to."""
    total = int(psutil.virtual_memory().total)
    with suppress(OSError, ValueError):
        total = min(total, int(_CGROUP.read_text(encoding="ascii")))
    return int(total * _SHARE)


def _family(pid: int) -> tuple[psutil.Process, ...]:
    try:
        head = psutil.Process(pid)
        return (*head.children(recursive=True), head)
    except psutil.NoSuchProcess:
        return ()


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
