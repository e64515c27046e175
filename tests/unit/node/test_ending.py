"""Commands that are programs of their own: one line and an exit code, whatever ends them."""

import subprocess
import sys

import pytest

from node.ending import ended
from node.errors import CeladonError, UsageError


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("no such set"), 2, "celadon: no such set\n"),
        (CeladonError("no case has an answer"), 1, "celadon: no case has an answer\n"),
        (FileNotFoundError(2, "No such file", "x.csv"), 1, "celadon: x.csv: No such file\n"),
        (OSError(28, "No space left on device"), 1, "celadon: a file: No space left on device\n"),
        (KeyboardInterrupt(), 130, "celadon: interrupted; the same command goes on from here\n"),
    ],
)
def test_what_ends_a_command_is_one_line_and_a_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    """On standard error; standard output is the command's own."""

    def command() -> None:
        raise error

    assert ended(command) == code
    assert capsys.readouterr() == ("", line)


def test_what_is_done_is_0_and_what_nobody_foresaw_is_seen() -> None:
    """A fault of the program keeps its traceback."""
    assert ended(lambda: None) == 0
    with pytest.raises(ZeroDivisionError):
        ended(_divided)


LEAVING = """
import atexit, sys, threading, time
from node.ending import leave

class Last:
    def __del__(self):
        print("taken apart")

kept = Last()
atexit.register(print, "exit function")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
print("error", end="", file=sys.stderr)
leave(3)
"""


def test_who_leaves_does_what_is_to_be_done_and_is_not_taken_apart() -> None:
    """Threads end, exit functions are called, what was printed is written; objects are left to the system."""
    done = subprocess.run([sys.executable, "-c", LEAVING], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (3, "thread\nexit function\n", "error")


def _divided() -> None:
    raise ZeroDivisionError
