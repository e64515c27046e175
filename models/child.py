"""One of our own programs as a child process: no shell, no environment of ours, its answer a JSON document."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from node.domain.reasons import BundleFault
from node.errors import BundleError, Retryable

_ROOT: Final = Path(__file__).resolve().parents[1]
_ENVIRONMENT: Final = {
    # Where this program lies; nothing of the environment that it was started with, its secrets among them.
    "PYTHONPATH": str(_ROOT),
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
}
_LONGEST_ANSWER: Final = 2**16


class Ended(Exception):
    """The child ended without an answer; says how."""


def ask(module: str, options: Sequence[str], *, within_s: float, pass_fds: Sequence[int] = ()) -> dict[str, Any]:
    """What ``python -m module`` answers on standard output, its exit code 0.

    Raises:
        BundleError: the child says so, with the fault that it found.
        Ended: it was killed, took longer than ``within_s`` seconds, or failed in a way of its own.
        Retryable: it cannot be started.
    """
    # -P: what lies in the working directory is no module of ours.
    command = [sys.executable, "-P", "-B", "-m", module, *options]
    try:
        done = subprocess.run(  # noqa: S603 — our own program
            command,
            env=_ENVIRONMENT,
            cwd=os.sep,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=pass_fds,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Ended(f"it took more than {within_s:g} s") from error
    except OSError as error:
        raise Retryable(f"python -m {module}: {error.strerror}") from error
    answer = _answer(done.stdout)
    if done.returncode == 0 and answer is not None:
        return answer
    if answer is not None and answer.get("fault") in BundleFault.__members__:
        raise BundleError(str(answer.get("detail", "")), BundleFault[answer["fault"]])
    raise Ended(f"signal {-done.returncode}" if done.returncode < 0 else _last_words(done))


def _answer(output: bytes) -> dict[str, Any] | None:
    """The document on standard output; None when there is none."""
    try:
        answer = json.loads(output[:_LONGEST_ANSWER])
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _last_words(done: "subprocess.CompletedProcess[bytes]") -> str:
    """The exit code, and the kind of error that Python ended with."""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    kind = lines[-1].partition(":")[0][:80] if lines else ""
    return f"exit code {done.returncode}" + (f", {kind!a}" if kind else "")
