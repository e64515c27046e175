"""The poller: works while there is work, waits while there is none, and ends when it should."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.errors import Fatal, Retryable
from node.stopping import StopRequest
from workers.poller import poll

FOUND, NOTHING = True, False

# A parent that starts a poller, and ends when its standard input does.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
print(child.pid, flush=True)
sys.stdin.read()
"""
CHILD = """
import pathlib, sys, threading
from node.stopping import StopRequest
from workers.poller import poll
alive = pathlib.Path(sys.argv[1])
poll(lambda: bool(alive.touch()), interval_s=0.02, stop=StopRequest())
alive.with_suffix(".ended").touch()
"""
# A poller that is stopped by a signal at a random moment, often enough to hit every moment of its sleep.
INTERRUPTED = """
import faulthandler, random, signal, threading
from node.stopping import StopRequest
from workers.poller import poll
faulthandler.dump_traceback_later(30, exit=True)
for _ in range(5000):
    stop = StopRequest()
    signal.signal(signal.SIGALRM, lambda *_: stop.set())
    signal.setitimer(signal.ITIMER_REAL, random.uniform(5e-6, 60e-6))
    poll(lambda: False, interval_s=0.00005, stop=stop)
    stop.close()
"""


def environment() -> dict[str, str]:
    """The environment for a process that imports what we do."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def answering(stop: StopRequest, *answers: bool | Exception) -> tuple[Callable[[], bool], list[float]]:
    """Work that gives each answer in turn and then stops the poller, and the moments at which it was called."""
    left: Iterator[bool | Exception] = iter(answers)
    calls: list[float] = []

    def work() -> bool:
        calls.append(time.monotonic())
        answer = next(left, None)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            stop.set()
            return False
        return answer

    return work, calls


def test_work_is_done_without_a_pause_while_there_is_some() -> None:
    """The interval is for when there is none."""
    stop = StopRequest()
    work, calls = answering(stop, FOUND, FOUND, FOUND)
    poll(work, interval_s=60, stop=stop)
    assert len(calls) == 4


def test_without_work_the_poller_waits() -> None:
    """An idle node costs next to nothing."""
    stop = StopRequest()
    work, calls = answering(stop, NOTHING, NOTHING)
    poll(work, interval_s=0.05, stop=stop)
    assert calls[1] - calls[0] >= 0.045
    assert calls[2] - calls[1] >= 0.045


def test_a_stop_ends_the_wait() -> None:
    """At once, and the work in hand is finished first."""
    stop = StopRequest()
    threading.Timer(0.05, stop.set).start()
    started = time.monotonic()
    poll(lambda: False, interval_s=60, stop=stop)
    assert time.monotonic() - started < 30


def test_a_signal_at_any_moment_stops_the_poller() -> None:
    """Also one that comes while the poller goes to sleep: its handler never waits for what it interrupted."""
    command = [sys.executable, "-c", INTERRUPTED]
    assert subprocess.run(command, check=False, timeout=60, env=environment()).returncode == 0


def test_a_poller_that_is_stopped_before_it_begins_does_nothing() -> None:
    """Not even one look."""
    stop = StopRequest()
    stop.set()
    poll(lambda: pytest.fail("it worked"), interval_s=60, stop=stop)


def test_trouble_with_the_surroundings_is_outlived() -> None:
    """A locked database is asked again after the interval."""
    stop = StopRequest()
    work, calls = answering(stop, Retryable("database is locked"), FOUND)
    poll(work, interval_s=0.05, stop=stop)
    assert len(calls) == 3
    assert calls[1] - calls[0] >= 0.045


def test_anything_else_ends_the_process() -> None:
    """What nobody foresaw is the supervisor's business: it starts a fresh process."""
    stop = StopRequest()
    work, _ = answering(stop, Fatal("broken"))
    with pytest.raises(Fatal, match="broken"):
        poll(work, interval_s=60, stop=stop)


def test_a_poller_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    """A supervisor that was killed leaves no worker behind."""
    alive = tmp_path / "alive"
    command = [sys.executable, "-c", PARENT, CHILD, str(alive)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as parent:
        _wait_for(alive)
        assert not alive.with_suffix(".ended").exists()
        parent.kill()
    _wait_for(alive.with_suffix(".ended"))


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} never came"
        time.sleep(0.01)
