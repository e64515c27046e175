"""The watch over a working process: what it is at, what it takes, and when it must be ended."""

import os
import subprocess
import sys
import time

import pytest

from node.domain.identifiers import JobId
from node.watch import Limits, Lines, Task, Watch, end_family, ended_by, memory_by_default, memory_of

LIMITS = Limits(memory_bytes=2**30, step_s=60.0)
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; held = bytearray(64 * 2**20); print(1); time.sleep(600)"])
time.sleep(600)
"""


class Clock:
    """A clock that a test winds on."""

    now_s = 0.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now_s


def at(step: str, job: str = "a") -> dict[str, object]:
    """What a process says when a step begins."""
    return {"job": job, "token": 3, "step": step}


def test_a_step_has_a_time_and_the_next_one_begins_anew() -> None:
    """A long case of many short steps is none that hangs."""
    clock = Clock()
    watch = Watch(LIMITS, clock)
    for step in ("triage", "assemble", "predict"):
        watch.heard(at(step))
        clock.now_s += 59
        assert watch.breach(0) is None
    clock.now_s += 2
    assert watch.breach(0) == "more than 60 s"


def test_a_process_without_work_never_takes_too_long() -> None:
    """It waits, which is what it is for."""
    clock = Clock()
    watch = Watch(LIMITS, clock)
    watch.heard(at("predict"))
    watch.heard({"job": "", "token": 0, "step": ""})
    clock.now_s += 3600
    assert watch.breach(0) is None
    assert watch.task is None


def test_too_much_memory_ends_a_process_whatever_it_is_at() -> None:
    """Before the system has to end one of its own choice."""
    watch = Watch(LIMITS)
    assert watch.breach(2**30) is None
    assert watch.breach(2**30 + 1) == "more than 1.0 GiB of memory"


def test_what_stands_beside_is_known_too() -> None:
    """Until the process says something else."""
    watch = Watch(LIMITS)
    watch.heard(at("predict") | {"beside": [["b", 2], ["c", 1]]})
    assert watch.task == Task(JobId("a"), 3, "predict", ((JobId("b"), 2), (JobId("c"), 1)))
    watch.heard(at("compose"))
    assert watch.task == Task(JobId("a"), 3, "compose")


def test_what_is_not_about_work_is_left_alone() -> None:
    """The announcement of a process that is ready, for one."""
    watch = Watch(LIMITS)
    watch.heard({"port": 4242})
    assert watch.task is None


def test_lines_are_read_without_waiting_and_in_whole() -> None:
    """Half a line is kept until the rest comes; the end of the pipe is noticed."""
    reader, writer = os.pipe()
    lines = Lines(reader)
    assert list(lines.read()) == []
    os.write(writer, b'{"job": "a"}\n{"job"')
    assert list(lines.read()) == [{"job": "a"}]
    os.write(writer, b': "b"}\n')
    assert list(lines.read()) == [{"job": "b"}]
    assert not lines.is_over
    os.close(writer)
    assert list(lines.read()) == []
    assert lines.is_over
    os.close(reader)


def test_lines_that_make_no_sense_are_left_out() -> None:
    """A process that is out of its mind is ended by its watch, and does not end it."""
    reader, writer = os.pipe()
    os.write(writer, b'{"job":\n\xff\xfe\n17\n{"job": "a"}\n')
    os.close(writer)
    assert list(Lines(reader).read()) == [{"job": "a"}]
    os.close(reader)


def test_a_process_is_weighed_and_ended_with_all_that_it_started() -> None:
    """A segmentation program's memory is that of whoever started it."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert memory_of(parent.pid) > 64 * 2**20
        end_family(parent.pid)
        parent.wait(30)
        deadline = time.monotonic() + 30
        while memory_of(parent.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert memory_of(parent.pid) == 0


@pytest.mark.parametrize(
    ("code", "word"), [(-11, "SIGSEGV"), (-9, "SIGKILL"), (1, "exit code 1"), (-200, "signal 200")]
)
def test_how_a_process_ended_is_said_in_a_word(code: int, word: str) -> None:
    """What an operator can look for."""
    assert ended_by(code) == word


def test_by_default_a_process_may_take_less_than_there_is() -> None:
    """It is ended before the machine is out of memory."""
    assert 0 < memory_by_default() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
