"""The bell of a worker: rung from another thread, heard by the loop that works, as soon as that has nothing to do."""

import os
import select
import threading

from node.stopping import StopRequest


class Bell:
    """Wakes one loop that waits, and keeps whoever rings until the loop has heard.

    That is what makes a busy worker take no more messages from the broker than it can answer: they stay there for the
    others.
    """

    def __init__(self) -> None:
        """Silent."""
        self._reader, self._writer = os.pipe()
        self._heard = threading.Semaphore(0)

    def ring(self) -> None:
        """Wake the loop; returns once it has heard."""
        os.write(self._writer, b"!")
        self._heard.acquire()

    def wait(self, timeout: float, stop: StopRequest) -> None:
        """Wait until somebody rings or asks to stop, at most ``timeout`` seconds."""
        stop.wait(timeout, self._reader)
        ready = select.poll()
        ready.register(self._reader, select.POLLIN)
        if ready.poll(0):
            self._heard.release(len(os.read(self._reader, select.PIPE_BUF)))
