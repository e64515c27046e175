"""Disks that are full or fail, a database that is locked, a database server that goes away: what the sender is told.

Each scenario is one row: what was answered instead of success while it lasted, and the judge's verdict once it is over.
Nothing is restarted to recover, except where the scenario itself is a restart.
"""

import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.engine import fresh_url
from tests.faults.judge import Archive, Sender, Verdict
from tests.faults.kills import Torment, drop_database, new_database, wait_for
from tests.faults.processes import Role, Site
from tests.servers import PrivatePostgresql, running_postgresql

LISTENER_FAULTS: Final = (
    "blob.opened:enospc",
    "blob.written:enospc",
    "blob.written:eio",  # as a failing fsync of the file
    "blob.synced:eio",
    "blob.renamed:eio",  # as a failing fsync of the directory
    "blob.directory_synced:eio",
    "inbox.before_insert:enospc",
    "inbox.before_commit:enospc",
    "inbox.before_commit:eio",
    "inbox.committed:eio",
    "listener.before_reply:eio",
)
ANALYSER_FAULTS: Final = (
    "blob.opened:enospc",
    "blob.written:enospc",
    "blob.written:eio",
    "blob.renamed:eio",
    "results.blobs_written:enospc",
    "results.before_commit:enospc",
    "results.before_commit:eio",
    "results.committed:eio",
)
TMPFS_MB: Final = 6
_BALLAST_MB: Final = 3
_MANY_SERIES: Final = 200
_MANY_REFUSED: Final = 20
_RECOVERS_WITHIN_S: Final = 30.0


@dataclass(frozen=True)
class Row:
    """A scenario, what the sender was told, and the verdict."""

    scenario: str
    refusals: Counter[int]
    """Statuses other than 0x0000."""
    verdict: Verdict
    half_written: int = 0
    """Part files that were there although nobody was writing."""
    died: int = 0
    """Processes that did not live through it."""

    @property
    def is_clean(self) -> bool:
        """Whether it was survived with honest answers."""
        return self.verdict.is_clean and not self.half_written and not self.died


def failing_writes(folder: Path, faults: tuple[str, ...] = LISTENER_FAULTS) -> Row:
    """Every write of the listener fails once, at the second instance of a series; the sender sends again."""
    with site(folder, fresh_url(folder), "failing writes") as one:
        half_written = died = 0
        for fault in faults:
            listener = one.node.start(Role.LISTENER, f"{fault}:2")
            left = one.sender.send(paths := one.sender.next_series())
            assert len(left) == 1, f"{fault}: {len(paths) - len(left)} of {len(paths)} were acknowledged"
            half_written += _part_files(one)
            one.sender.send_until_acknowledged(left)
            died += not listener.is_alive()
        return _row("ENOSPC and EIO in the listener", one, half_written, died)


def failing_results(folder: Path, faults: tuple[str, ...] = ANALYSER_FAULTS) -> Row:
    """Every write of the analyser fails once; the job is given back and done again."""
    with site(folder, fresh_url(folder), "failing results") as one:
        half_written = died = 0
        for fault in faults:
            analyser = one.node.start(Role.ANALYSER, f"{fault}:1")
            one.sender.send_until_acknowledged(one.sender.next_series())
            wait_for(one.is_idle, _RECOVERS_WITHIN_S)
            half_written += _part_files(one)
            died += not analyser.is_alive()
        return _row("ENOSPC and EIO in the analyser", one, half_written, died)


def small_disk(folder: Path) -> Row:
    """A file system that fills up with everything on it, and has room again later."""
    # Beside what is sent, and the logs: those have room.
    disk = folder / "node"
    with tmpfs(disk), site(disk, f"sqlite:///{disk / 'celadon.db'}", "small disk") as one:
        big = Sender(one.site, "big", size=128)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(_BALLAST_MB * 2**20))
        left: list[Path] = []
        for _ in range(_MANY_SERIES):
            left += big.send(big.next_series())
            if len(left) >= _MANY_REFUSED:
                break
        assert left, "the disk was never full"
        half_written = _part_files(one)
        ballast.unlink()
        big.send_until_acknowledged(left)
        one.sender = big
        return _row(f"a full tmpfs of {TMPFS_MB} MB", one, half_written)


def small_database_disk(folder: Path) -> Row:
    """The file system of the SQLite file alone fills up: the sender hears 0xA700, as when the blobs' is full."""
    disk = folder / "database"
    with tmpfs(disk), site(folder / "node", f"sqlite:///{disk / 'celadon.db'}", "small database") as one:
        return _row("a full disk of SQLite", one, *_fill(one, disk / "ballast"))


def small_tablespace(folder: Path) -> Row:
    """The file system of the PostgreSQL database alone fills up."""
    disk = folder / "database"
    with running_postgresql() as server, tmpfs(disk):
        url = new_database(server.url, "small", tablespace=server.tablespace(disk))
        with site(folder / "node", url, "small tablespace") as one:
            row = _row("a full disk of PostgreSQL", one, *_fill(one, disk / "ballast"))
        drop_database(server.url, "small")
    return row


def _fill(one: Torment, ballast: Path) -> tuple[int, int]:
    """Take all room on a disk, send, give the room back, and send the rest; part files, and processes that died."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    left: list[Path] = []
    for _ in range(_MANY_SERIES):
        left += one.sender.send(one.sender.next_series())
        if len(left) >= _MANY_REFUSED:
            break
    assert left, "the disk was never full"
    half_written = _part_files(one)
    ballast.unlink()
    one.sender.send_until_acknowledged(left)
    return half_written, sum(not process.is_alive() for process in one.node.processes.values())


def locked_database(folder: Path, busy_timeout_s: float) -> Row:
    """Somebody holds the write lock of SQLite for longer than anybody waits for it."""
    with site(folder, f"sqlite:///{folder / 'celadon.db'}", "locked", busy_timeout_s) as one:
        paths = one.sender.next_series()
        with closing(sqlite3.connect(folder / "celadon.db", isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            left = one.sender.send(paths[:1])
            holder.execute("ROLLBACK")
        assert left, "the lock was not noticed"
        one.sender.send_until_acknowledged(paths)
        return _row(f"SQLite locked for {busy_timeout_s:g} s", one)


def restarted_server(folder: Path, restarts: int) -> Row:
    """PostgreSQL is stopped and started under load, in order and out of order."""
    with (
        running_postgresql() as server,
        site(folder, new_database(server.url, "restarted"), "restarted") as one,
    ):
        with one.sending():
            for number in range(restarts):
                time.sleep(0.7)
                _restart(server, (signal.SIGINT, signal.SIGQUIT)[number % 2])
        died = sum(not process.is_alive() for process in one.node.processes.values())
        return _row(f"PostgreSQL restarted {restarts} times", one, died=died)


def _restart(server: PrivatePostgresql, how: signal.Signals) -> None:
    server.stop(how)
    time.sleep(0.2)
    server.start()


@contextmanager
def site(folder: Path, url: str, name: str, busy_timeout_s: float = 5.0) -> Iterator[Torment]:
    """A node of its own, running."""
    with Archive() as archive:
        one = Torment(Site(folder, url, archive.peer, busy_timeout_s), archive, name)
        try:
            one.node.start_all()
            yield one
        finally:
            one.node.stop()


@contextmanager
def tmpfs(folder: Path) -> Iterator[None]:
    """A small file system at ``folder``. PermissionError where we may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "celadon-faults", folder]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        raise PermissionError("a tmpfs cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _part_files(one: Torment) -> int:
    # Written by the analyser too: what is there for longer than a write takes was left behind.
    wait_for(lambda: not one.part_files(), 1.0)
    return len(one.part_files())


def _row(scenario: str, one: Torment, half_written: int = 0, died: int = 0) -> Row:
    verdict = one.rest()
    return Row(scenario, one.sender.refusals, verdict, half_written, died)


def matrix(say: Callable[[str], None], *, busy_timeout_s: float, restarts: int) -> bool:
    """Every scenario, printed; whether every promise was kept."""
    folder = Path(tempfile.mkdtemp(prefix="celadon-disk-"))
    scenarios: tuple[Callable[[Path], Row], ...] = (
        failing_writes,
        failing_results,
        small_disk,
        small_database_disk,
        small_tablespace,
        lambda path: locked_database(path, busy_timeout_s),
        lambda path: restarted_server(path, restarts),
    )
    say(header_line())
    kept = True
    try:
        for number, scenario in enumerate(scenarios):
            try:
                row = scenario(folder / str(number))
            except PermissionError as exc:
                say(f"skipped: {exc}")
                continue
            say(table_line(row))
            for remark in row.verdict.remarks:
                say(f"    {remark}")
            kept = kept and row.is_clean
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return kept


def header_line() -> str:
    """The head of the table."""
    names = ("acked", "lost", "corrupt", "extra", "differing", "unfinished", "half", "died")
    return f"{'scenario':34}" + "".join(f"{name:>11}" for name in names) + "  answered instead"


def table_line(row: Row) -> str:
    """A line of the table."""
    found = row.verdict
    numbers = (
        found.acknowledged, found.lost, found.corrupt, found.extra, found.differing, found.unfinished,
        row.half_written, row.died,
    )  # fmt: skip
    answers = ", ".join(f"0x{status:04X} x{count}" for status, count in sorted(row.refusals.items()))
    return f"{row.scenario:34}" + "".join(f"{one:>11}" for one in numbers) + f"  {answers}"
