"""Being asked to stop, by a signal or by a call."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from node.stopping import StopRequest

# A process that waits for a long time, and says when it has begun to.
WAITS = """
import sys
from node.stopping import StopRequest
stop = StopRequest()
stop.install()
print("waiting", flush=True)
sys.exit(0 if stop.wait(60) else 1)
"""


def test_nobody_has_asked_at_first() -> None:
    """And a wait ends without an answer."""
    stop = StopRequest()
    assert not stop.is_set()
    assert not stop.wait(0.01)


def test_a_request_stays_and_may_be_repeated() -> None:
    """However often it is asked and looked at."""
    stop = StopRequest()
    for _ in range(100_000):
        stop.set()
    assert stop.is_set()
    assert stop.wait(60)


def test_a_wait_ends_when_another_thread_asks() -> None:
    """At once, not at the end of its time."""
    stop = StopRequest()
    threading.Timer(0.05, stop.set).start()
    started = time.monotonic()
    assert stop.wait(60)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_of_a_process(number: signal.Signals) -> None:
    """SIGTERM and SIGINT end it in order, not by force."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(number)
        assert process.wait(30) == 0
