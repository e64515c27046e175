"""How a command that is a program of its own ends: what went wrong as one line on standard error, and an exit code."""

import sys
from collections.abc import Callable
from typing import Final

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


def _said(why: str, code: int) -> int:
    print(f"celadon: {why}", file=sys.stderr)  # noqa: T201 — what a person reads
    return code
