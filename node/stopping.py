"""Being asked to stop: SIGTERM and SIGINT as something that a loop can look at and wait for."""

import math
import os
import select
import signal
from types import FrameType


class StopRequest:
    """Set by SIGTERM or SIGINT once ``install`` was called; waits without polling.

    Not a ``threading.Event``: its lock may be held by the very wait that the signal interrupts, and then the handler
    would wait for ever. A pipe has no lock.
    """

    def __init__(self) -> None:
        """Not set yet."""
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def install(self) -> None:
        """Have the two signals set this request; the main thread alone may call it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def set(self) -> None:
        """Ask to stop; safe in a signal handler, safe to repeat."""
        try:
            os.write(self._writer, b"!")
        except BlockingIOError:
            return

    def is_set(self) -> bool:
        """Whether somebody has asked."""
        return self.wait(0)

    def wait(self, timeout: float, *others: int) -> bool:
        """Wait up to ``timeout`` seconds; whether somebody has asked by then.

        ``others``: descriptors that end the wait too, when there is something to read.
        """
        readable = select.poll()
        for descriptor in (self._reader, *others):
            readable.register(descriptor, select.POLLIN)
        found = readable.poll(math.ceil(timeout * 1000))
        return any(descriptor == self._reader for descriptor, _ in found)

    def close(self) -> None:
        """Give the pipe back; nobody may ask any more."""
        os.close(self._reader)
        os.close(self._writer)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.set()
