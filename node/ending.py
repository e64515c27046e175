"""How a command that is a program of its own ends: what went wrong as one line on standard error, and an exit code."""

import atexit
import os
import sys
import threading
from collections.abc import Callable
from typing import Final, NoReturn

from node.errors import CeladonError, UsageError

NOT_WELL: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130
"""As a shell has it: 128 and the number of SIGINT."""


def ended(command: Callable[[], None]) -> int:
    """Run ``command``, which can be begun again where it was left; 0 when it was done."""
    try:
        command()
    except UsageError as error:
        return _said(str(error), WRONG_USAGE)
    except CeladonError as error:
        return _said(str(error), NOT_WELL)
    except OSError as error:
        return _said(f"{error.filename or 'a file'}: {error.strerror}", NOT_WELL)
    except KeyboardInterrupt:
        return _said("interrupted; the same command goes on from here", INTERRUPTED)
    return 0


def leave(code: int) -> NoReturn:
    """End this process with ``code``, and leave it to the system to take back what it held.

    For processes that have loaded models: to take an interpreter with all of them apart costs seconds, which whoever
    stops or restarts a node waits for, and nothing comes of it. What is done before an end is done: threads that are no
    daemons are waited for, exit functions are called, what was printed is written.
    """
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()  # noqa: SLF001  the interpreter's own call, which the next but one line skips
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _said(why: str, code: int) -> int:
    print(f"celadon: {why}", file=sys.stderr)  # noqa: T201 — what a person reads
    return code
