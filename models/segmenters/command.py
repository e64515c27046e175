"""A segmentation program that is installed beside Celadon: found, run within limits, never by a shell."""

import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.domain.reasons import ReasonCode
from node.errors import Refused, Retryable, UsageError

_GIB: Final = 2**30
_LOOK_S: Final = 0.5
"""How often it is looked at while it runs."""
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
"""Of the environment; the node's own settings, with their secrets, are not among them."""
_TAIL_BYTES: Final = 4096
_LONGEST_KIND: Final = 80


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use."""

    within_s: float
    memory_gb: float
    """Of address space, for each process of the program."""
    threads: int = 1
    disk_gb: float = 8.0
    """Of everything that it writes into its folder and prints, and of each file."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to what is passed on."""


def find(command: str, setting: str, install: str) -> Path:
    """The program ``command``, by its path or on the PATH.

    Raises UsageError that names ``setting`` and says what to ``install`` when it is not there.
    """
    found = shutil.which(command)
    if found is None:
        raise UsageError(f"{setting}: the program {command!r} is not installed; {install}, or give its path as command")
    return Path(found).absolute()


def run(program: Path, arguments: Sequence[str], folder: Path, limits: Limits) -> None:
    """Run ``program`` in ``folder`` to its end, in a session of its own: whatever it started ends with it.

    Raises:
        Refused: SEGMENTER_FAILED when it fails, takes longer or writes more than it may. What it printed is not
            quoted: it may name files of a patient's.
        Retryable: it cannot be started.
    """
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    count = str(limits.threads)
    environment = {
        **passed_on,
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        **limits.environment,
    }
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(  # noqa: S603 — the program that the settings name, its arguments as a list
                [str(program), *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        except OSError as error:
            raise Retryable(f"{program.name} cannot be started: {error.strerror}") from error
        try:
            _limit(process.pid, limits)
            code = _wait(process, program.name, limits, lambda: _bytes_in(folder) + os.fstat(said.fileno()).st_size)
        finally:
            _end(process)
        if code != 0:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise Refused(ReasonCode.SEGMENTER_FAILED, f"{program.name} ended with {how}{_kind(said.fileno())}")


def _wait(process: "subprocess.Popen[bytes]", name: str, limits: Limits, written: Callable[[], int]) -> int:
    """The exit code. Refused when the program takes longer, or writes more, than it may."""
    ends = time.monotonic() + limits.within_s
    while True:
        try:
            return process.wait(min(_LOOK_S, max(0.0, ends - time.monotonic())))
        except subprocess.TimeoutExpired as error:
            if time.monotonic() >= ends:
                raise Refused(ReasonCode.SEGMENTER_FAILED, f"{name} took more than {limits.within_s:g} s") from error
        if written() > limits.disk_gb * _GIB:
            raise Refused(ReasonCode.SEGMENTER_FAILED, f"{name} wrote more than {limits.disk_gb:g} GB")


def _bytes_in(folder: Path) -> int:
    """How much lies in a folder; what vanishes meanwhile counts for nothing."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_size
    return total


def _limit(pid: int, limits: Limits) -> None:
    """Before the program has loaded anything; what it starts inherits the limits."""
    # Processor time of every thread together, for a program that survives being asked to end.
    seconds = int(limits.within_s * max(1, limits.threads)) + 1
    for kind, most in (
        (resource.RLIMIT_AS, int(limits.memory_gb * _GIB)),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, int(limits.disk_gb * _GIB)),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ProcessLookupError):  # it has ended already
            _, hard = resource.prlimit(pid, kind)
            bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.prlimit(pid, kind, (bound, bound))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End everything that is left of the program's session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _kind(output: int) -> str:
    """The kind of error that a Python program ended with, where it names one."""
    size = os.fstat(output).st_size
    lines = os.pread(output, _TAIL_BYTES, max(0, size - _TAIL_BYTES)).decode("utf-8", "replace").strip().splitlines()
    word = lines[-1].partition(":")[0].strip() if lines else ""
    return f", {word}" if word.isidentifier() and len(word) < _LONGEST_KIND else ""
