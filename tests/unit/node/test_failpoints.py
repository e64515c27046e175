"""Failpoints: nothing happens unless one is armed; then exactly what was asked for, exactly there."""

import errno
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from node import failpoints
from node.errors import UsageError
from node.failpoints import VARIABLE, Failpoint

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """No test leaves a failpoint armed."""
    yield
    failpoints.arm({})


def test_nothing_happens_when_nothing_is_armed() -> None:
    """Every failpoint can be passed, and nothing is said to be armed."""
    assert failpoints.arm({}) == ""
    for point in Failpoint:
        failpoints.hit(point)


@pytest.mark.parametrize(("action", "number"), [("enospc", errno.ENOSPC), ("eio", errno.EIO)])
def test_an_armed_failpoint_raises_what_a_disk_would(action: str, number: int) -> None:
    """An OSError with its number, at every hit; the other failpoints are passed."""
    assert failpoints.arm({VARIABLE: f"blob.written:{action}"}) == f"blob.written:{action}"
    failpoints.hit(Failpoint.BLOB_OPENED)
    for _ in range(2):
        with pytest.raises(OSError, match=r"blob\.written") as caught:
            failpoints.hit(Failpoint.BLOB_WRITTEN)
        assert caught.value.errno == number


def test_a_count_means_that_hit_alone() -> None:
    """Of four hits the third fails."""
    failpoints.arm({VARIABLE: "outbox.sent:eio:3"})
    failed = []
    for number in range(1, 5):
        try:
            failpoints.hit(Failpoint.OUTBOX_SENT)
        except OSError:
            failed.append(number)
    assert failed == [3]


def test_kill_ends_the_process_at_once() -> None:
    """SIGKILL: nothing after it runs, not even what always runs."""
    program = (
        "from node import failpoints\n"
        f"failpoints.arm({{'{VARIABLE}': 'inbox.committed:kill'}})\n"
        "try:\n    failpoints.hit(failpoints.Failpoint.INBOX_COMMITTED)\nfinally:\n    print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")


def test_hang_stops_the_thread_and_nobody_else() -> None:
    """Whoever passes does not come back; others go on."""
    failpoints.arm({VARIABLE: "claim.committed:hang"})
    reached, passed = threading.Event(), threading.Event()

    def pass_it() -> None:
        reached.set()
        failpoints.hit(Failpoint.CLAIM_COMMITTED)
        passed.set()

    threading.Thread(target=pass_it, daemon=True).start()
    assert reached.wait(10)
    assert not passed.wait(0.1)
    failpoints.hit(Failpoint.RESULTS_COMMITTED)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("blob.writen:kill", "no failpoint 'blob.writen'"),
        ("blob.written", "no action ''"),
        ("blob.written:explode", "no action 'explode'"),
        ("blob.written:kill:0", "'0' is not a number of hits"),
        ("blob.written:kill:soon", "'soon' is not a number of hits"),
    ],
)
def test_what_cannot_be_armed_is_said(text: str, complaint: str) -> None:
    """A test whose fault was never placed would prove nothing."""
    with pytest.raises(UsageError, match=complaint):
        failpoints.arm({VARIABLE: text})


def test_every_failpoint_sits_in_one_place() -> None:
    """Each name is passed once in the program: a hit says where the process was."""
    said = "\n".join(path.read_text() for room in ("node", "workers") for path in (ROOT / room).rglob("*.py"))
    places = {point: len(re.findall(rf"hit\(Failpoint\.{point.name}\)", said)) for point in Failpoint}
    assert {point for point, count in places.items() if count != 1} == set()


def test_every_failpoint_is_documented() -> None:
    """CONTRIBUTING.md lists them all."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert {point for point in Failpoint if f"`{point}`" not in text} == set()
