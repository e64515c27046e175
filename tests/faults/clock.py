"""A clock that somebody sets, an hour forward or back, under a running node: nobody notices but the time of day.

The processes run under libfaketime, which reads how wrong the clock is from a file each time that it is asked; the
clock that nobody can set stays as it is, as in a real step. Each row is one node: what was going on when the clock was
set, the judge's verdict, and how long the node took to come to rest.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, cast

from sqlalchemy import func, select

from node.domain.lifecycle import JobState
from node.failpoints import VARIABLE
from node.store.session import Database
from node.store.tables import jobs
from tests.engine import fresh_url
from tests.faults.judge import Archive, Verdict, count_jobs
from tests.faults.kills import Torment, wait_for
from tests.faults.processes import PREDICTS_FOR, READY_WITHIN_S, Role, Site, fill

HOUR_S: Final = 3600
STEPS_S: Final = (HOUR_S, -HOUR_S)
RESTS_WITHIN_S: Final = 40.0
"""Leases and pauses are seconds here, also on a machine that is busy: an hour would show."""
LEASE: Final = timedelta(seconds=3)
"""Longer than in other fault tests: a heartbeat that is late because the machine is busy must not look like a step."""
_SETS_DURING_LOAD: Final = 4
_BETWEEN_SETS_S: Final = 0.7
_PREDICTS_S: Final = 3 * LEASE.total_seconds()
_LIBRARIES: Final = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")


def libfaketime() -> Path | None:
    """Libfaketime for programs with threads; None when it is not installed."""
    return next((path for pattern in _LIBRARIES for path in Path("/").glob(pattern[1:])), None)


@dataclass
class Clock:
    """The wall clock of a node: how many seconds it is wrong."""

    file: Path
    wrong_s: int = 0

    def __post_init__(self) -> None:
        """Right, to begin with."""
        self.set(0)

    def set(self, by_s: int) -> None:
        """Set it by so much."""
        self.wrong_s += by_s
        part = self.file.with_suffix(".part")
        part.write_text(f"{self.wrong_s:+d}\n")
        part.replace(self.file)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to go by it."""
        return {
            "LD_PRELOAD": str(libfaketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


class _Process:
    """A program in the form of ``BaseProcess``, as far as fault tests use it."""

    def __init__(self, program: subprocess.Popen[bytes]) -> None:
        self._program = program

    @property
    def exitcode(self) -> int | None:
        return self._program.poll()

    def is_alive(self) -> bool:
        return self._program.poll() is None

    def terminate(self) -> None:
        self._program.terminate()

    def kill(self) -> None:
        self._program.kill()

    def join(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)


@dataclass(frozen=True)
class ClockedSite(Site):
    """A site whose processes go by a clock of their own."""

    clock: Clock = field(kw_only=True)
    extra: dict[str, str] = field(default_factory=dict)
    """Further environment of its processes."""

    def start(self, role: Role, failpoint: str = "") -> BaseProcess:
        """As ``Site.start``, but a program of its own: libfaketime comes with the start of a program."""
        read_end, write_end = os.pipe()
        log = self.folder.with_name(f"{self.folder.name}.{role}.log")
        environment = os.environ | self.environment | self.clock.environment | self.extra | {VARIABLE: failpoint}
        arguments = (role, str(log), str(self.busy_timeout_s), str(write_end))
        command = [sys.executable, "-m", __spec__.name, *arguments]
        program = subprocess.Popen(command, env=environment, pass_fds=(write_end,))
        os.close(write_end)
        os.set_blocking(read_end, False)
        assert wait_for(lambda: _is_readable(read_end), READY_WITHIN_S), f"the {role} did not become ready, see {log}"
        os.close(read_end)
        return cast("BaseProcess", _Process(program))


def _is_readable(descriptor: int) -> bool:
    try:
        os.read(descriptor, 4096)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True)
class Row:
    """What was going on, by how much the clock was set, and what came of it."""

    scenario: str
    by_s: int
    verdict: Verdict
    rest_s: float
    """Until nothing was left to do."""
    claims: int
    """The most that one job was claimed."""
    expected_claims: int | None = None

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept, in seconds, and nobody was taken for dead who was not."""
        in_order = self.expected_claims in (None, self.claims)
        return self.verdict.is_clean and self.rest_s <= RESTS_WITHIN_S and in_order


@dataclass
class Scene:
    """A node under a clock."""

    torment: Torment
    clock: Clock
    archive: Archive
    site: ClockedSite

    def send_one(self) -> None:
        """Send a series, until it is acknowledged."""
        self.torment.sender.send_until_acknowledged(self.torment.sender.next_series())

    def row(self, scenario: str, by_s: int, expected_claims: int | None = None) -> Row:
        """Wait for the end, and judge."""
        begun = time.monotonic()
        self.torment.node.start_all()
        wait_for(self.torment.is_idle, 3 * RESTS_WITHIN_S)
        rest_s = time.monotonic() - begun
        database = Database(self.site.url)
        with database.read() as connection:
            claims = int(connection.scalar(select(func.max(jobs.c.token))) or 0)
        database.close()
        return Row(scenario, by_s, self.torment.rest(), rest_s, claims, expected_claims)

    def wait_for_job(self, *states: JobState) -> None:
        """Wait until a job is in one of these states."""
        database = Database(self.site.url)
        assert wait_for(lambda: count_jobs(database, *states) > 0, RESTS_WITHIN_S), f"no job came to be {states}"
        database.close()


def arriving(folder: Path, by_s: int) -> Row:
    """Series come in all the time, are analysed and delivered, while the clock is set there and back."""
    with scene(folder, "arriving") as one:
        one.torment.node.start_all()
        with one.torment.sending():
            for number in range(_SETS_DURING_LOAD):
                time.sleep(_BETWEEN_SETS_S)
                one.clock.set(by_s if number % 2 == 0 else -by_s)
            time.sleep(_BETWEEN_SETS_S)
            one.clock.set(by_s)
        return one.row("slices arrive", by_s)


def working(folder: Path, by_s: int) -> Row:
    """A worker is at a long job, and another has nothing to do: it does not take the first for dead."""
    with scene(folder, "working", {PREDICTS_FOR: str(_PREDICTS_S)}) as one:
        one.torment.node.start_all()
        idle = one.site.start(Role.ANALYSER)
        try:
            one.send_one()
            one.wait_for_job(JobState.RUNNING)
            one.clock.set(by_s)
            return one.row("a job runs", by_s, expected_claims=1)
        finally:
            idle.kill()
            idle.join(30)


def dead_worker(folder: Path, by_s: int) -> Row:
    """A worker dies of its job: another takes over after the lease, not after an hour."""
    with scene(folder, "dead worker") as one:
        one.torment.node.start(Role.LISTENER)
        dying = one.torment.node.start(Role.ANALYSER, "claim.committed:kill:1")
        one.send_one()
        dying.join(RESTS_WITHIN_S)
        one.clock.set(by_s)
        return one.row("a worker died", by_s, expected_claims=2)


def given_back(folder: Path, by_s: int) -> Row:
    """A job waits for room on the disk, which comes."""
    with scene(folder, "given back") as one:
        one.torment.node.start(Role.LISTENER)
        one.torment.node.start(Role.ANALYSER, "results.blobs_written:enospc:1")
        one.send_one()
        assert wait_for(lambda: _has_waited(one.site), RESTS_WITHIN_S), "the job was never given back"
        one.clock.set(by_s)
        return one.row("a job waits for room", by_s, expected_claims=2)


def dead_deliverer(folder: Path, by_s: int) -> Row:
    """A deliverer dies with objects in its hands."""
    with scene(folder, "dead deliverer") as one:
        dying = one.torment.node.start(Role.DELIVERER, "outbox.leased:kill:1")
        one.torment.node.start(Role.LISTENER)
        one.torment.node.start(Role.ANALYSER)
        one.send_one()
        dying.join(RESTS_WITHIN_S)
        one.clock.set(by_s)
        return one.row("a deliverer died", by_s)


def refused_delivery(folder: Path, by_s: int) -> Row:
    """The archive is full for a while: the next attempt is seconds away, not an hour."""
    with scene(folder, "refused") as one:
        one.archive.is_full = True
        one.torment.node.start_all()
        one.send_one()
        assert wait_for(lambda: one.archive.refused >= 3, RESTS_WITHIN_S), "nothing was offered to the archive"
        one.clock.set(by_s)
        one.archive.is_full = False
        return one.row("the archive is full", by_s)


SCENARIOS: Final[tuple[Callable[[Path, int], Row], ...]] = (
    arriving,
    working,
    dead_worker,
    given_back,
    dead_deliverer,
    refused_delivery,
)


def _has_waited(where: Site) -> bool:
    database = Database(where.url)
    try:
        with database.read() as connection:
            waits = jobs.c.not_before.is_not(None)
            return bool(connection.scalar(select(func.count()).select_from(jobs).where(waits)))
    finally:
        database.close()


@contextmanager
def scene(folder: Path, name: str, extra: dict[str, str] | None = None) -> Iterator[Scene]:
    """A node of its own, with nothing running yet."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    clock = Clock(folder.with_name(f"{folder.name}.clock"))
    with Archive() as archive:
        url = fresh_url(folder)
        where = ClockedSite(folder, url, archive.peer, clock=clock, extra=extra or {})
        torment = Torment(where, archive, name)
        try:
            yield Scene(torment, clock, archive, where)
        finally:
            torment.node.stop()


def matrix(say: Callable[[str], None]) -> bool:
    """Every scenario with every step, printed; whether every promise was kept."""
    if libfaketime() is None:
        say("skipped: libfaketime is not installed (apt-get install faketime)")
        return True
    say(header_line())
    kept = True
    with tempfile.TemporaryDirectory(prefix="celadon-clock-") as name:
        for number, scenario in enumerate(SCENARIOS):
            for by_s in STEPS_S:
                row = scenario(Path(name) / f"{number}{by_s:+d}", by_s)
                say(table_line(row))
                for remark in row.verdict.remarks:
                    say(f"    {remark}")
                kept = kept and row.is_clean
    return kept


def header_line() -> str:
    """The head of the table."""
    names = ("acked", "lost", "corrupt", "extra", "differing", "unfinished", "claims", "rest, s")
    return f"{'when the clock was set':24}{'by, s':>7}" + "".join(f"{name:>11}" for name in names)


def table_line(row: Row) -> str:
    """A line of the table."""
    found = row.verdict
    numbers = (
        found.acknowledged, found.lost, found.corrupt, found.extra, found.differing, found.unfinished, row.claims,
    )  # fmt: skip
    return f"{row.scenario:24}{row.by_s:>+7}" + "".join(f"{one:>11}" for one in numbers) + f"{row.rest_s:>11.1f}"


def main() -> None:
    """One process of a node; started by ``ClockedSite``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("role", choices=list(Role))
    parser.add_argument("log", type=Path)
    parser.add_argument("busy_timeout_s", type=float)
    parser.add_argument("ready_fd", type=int)
    asked = parser.parse_args()
    # libfaketime has no answer to the way in which Python sleeps until a moment; it has one to waiting.
    time.sleep = lambda seconds: threading.Event().wait(seconds)  # type: ignore[assignment]
    fill(Role(asked.role), {}, asked.log, asked.busy_timeout_s, asked.ready_fd, LEASE)


if __name__ == "__main__":
    main()
