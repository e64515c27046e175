"""SIGKILL at every failpoint and at random: a node that is killed again and again, and a judge of what is left.

One row of the table is one node of its own: a sender sends small series until everything is acknowledged, one process
is started with the failpoint armed, dies of it, and is started again, as often as asked; then the node comes to rest.
"""

import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine, text

from node.domain.lifecycle import JobState
from node.errors import Retryable
from node.failpoints import Failpoint
from node.store.session import Database
from tests.faults.judge import OPEN, Archive, Judge, Sender, Verdict, count_jobs
from tests.faults.processes import Role, Site, died_within, end, pause
from tests.servers import running_postgresql

RANDOM: Final = "at random"
ENGINES: Final = ("sqlite", "postgresql")
_ELSEWHERE: Final = ("hl7", "clinical", "commitment", "report")
"""Of clinical values, in ``hl7.py``, and of storage commitment, in ``delivery.py``."""
POINTS: Final = (*(point.value for point in Failpoint if not point.startswith(_ELSEWHERE)), RANDOM)
IN_FLIGHT: Final = 4
"""Series that were sent and have no result yet, at most."""
SENDERS: Final = 2
"""Associations at once: what arrives together is committed together."""
HIT_WITHIN_S: Final = 30.0
REST_WITHIN_S: Final = 60.0
SWEPT_WITHIN_S: Final = 10.0
_LONGEST_LIFE_S: Final = 0.4

_LISTENER, _ANALYSER, _DELIVERER = (Role.LISTENER,), (Role.ANALYSER,), (Role.DELIVERER,)
# By the part of the name before the dot; a blob is written by two roles, which take turns in dying.
_ROLES: Final = {
    "listener": _LISTENER,
    "inbox": _LISTENER,
    "completion": _LISTENER,
    "blob": (Role.LISTENER, Role.ANALYSER),
    "claim": _ANALYSER,
    "results": _ANALYSER,
    "outbox": _DELIVERER,
    RANDOM: tuple(Role),
}
# Passed by every instance of a series: any of them may be the one.
_PASSED_OFTEN: Final = ("listener", "inbox", "blob")


@dataclass(frozen=True)
class Row:
    """A failpoint, and what came of its hits."""

    point: str
    hits: int
    verdict: Verdict


@dataclass
class Node:
    """The processes of one site: each role is filled, by a process that may be about to die."""

    site: Site
    processes: dict[Role, BaseProcess] = field(default_factory=dict)

    def start(self, role: Role, failpoint: str = "") -> BaseProcess:
        """Fill a role anew."""
        if role in self.processes:
            end(self.processes[role])
        self.processes[role] = self.site.start(role, failpoint)
        return self.processes[role]

    def start_all(self) -> None:
        """Fill every role that is not filled by a living process."""
        for role in Role:
            if role not in self.processes or not self.processes[role].is_alive():
                self.start(role)

    def stop(self) -> None:
        """End all processes."""
        for process in self.processes.values():
            end(process)


class Torment:
    """A node under kills, with senders that never give up."""

    def __init__(self, site: Site, archive: Archive, name: str) -> None:
        """``name`` makes the UIDs of what is sent."""
        self.site = site
        self.node = Node(site)
        self.sender = Sender(site, name)
        self._archive = archive
        self._database = Database(site.url)
        self._is_over = threading.Event()
        self._error: BaseException | None = None

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send series for as long as the block takes, and then until everything is acknowledged."""
        threads = [threading.Thread(target=self._send, name="sender", daemon=True) for _ in range(SENDERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._is_over.set()
        self.node.start_all()
        for thread in threads:
            thread.join(REST_WITHIN_S)
        if self._error:
            raise self._error
        assert not any(thread.is_alive() for thread in threads), "a sender was never done"

    def kill(self, point: str, hits: int) -> int:
        """Have the process that passes ``point`` die there; how often it did."""
        roles = _ROLES[point.partition(".")[0]]
        done = 0
        for number in range(hits):
            role = roles[number % len(roles)]
            done += self._kill_at_random(role) if point == RANDOM else self._kill_at(point, role, number)
            self.node.start(role)
            if role is Role.ANALYSER:
                # A job that kills three workers is put aside, as it should be: each is finished before the next kill.
                wait_for(lambda: not count_jobs(self._database, JobState.RUNNING), REST_WITHIN_S)
        return done

    def is_idle(self) -> bool:
        """Whether nothing is left to do of what is known."""
        return not count_jobs(self._database, *OPEN)

    def part_files(self) -> list[Path]:
        """What is being written, or was when its writer died."""
        return list((self.site.folder / "blobs").glob("*/*.part"))

    def rest(self) -> Verdict:
        """Wait until nothing is left to do, start the listener once more, and judge."""
        self.node.start_all()
        wait_for(self.is_idle, REST_WITHIN_S)
        self.node.start(Role.LISTENER)
        # Swept up in the background; what is left then counts as unfinished.
        wait_for(lambda: not self.part_files(), SWEPT_WITHIN_S)
        verdict = Judge(self.site, self._archive, self._database).judge(self.sender)
        self._database.close()
        return verdict

    def _kill_at(self, point: str, role: Role, number: int) -> bool:
        count = number % 4 + 1 if point.startswith(_PASSED_OFTEN) and role is Role.LISTENER else 1
        process = self.node.start(role, f"{point}:kill:{count}")
        return died_within(process, HIT_WITHIN_S)

    def _kill_at_random(self, role: Role) -> bool:
        process = self.node.start(role)
        time.sleep(random.uniform(0.0, _LONGEST_LIFE_S))  # noqa: S311 — when, not a secret
        process.kill()
        return died_within(process, HIT_WITHIN_S)

    def _send(self) -> None:
        try:
            while not self._is_over.is_set():
                with suppress(Retryable):
                    if count_jobs(self._database, *OPEN) < IN_FLIGHT:
                        self.sender.send_until_acknowledged(self.sender.next_series())
                pause()
        except Exception as exc:  # noqa: BLE001 — raised again in the thread that waits
            self._error = exc


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether ``condition`` came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        pause()
    return False


def torment(folder: Path, url: str, point: str, hits: int) -> Row:
    """One row: a node of its own in ``folder``, killed ``hits`` times at ``point``."""
    with Archive() as archive:
        one = Torment(Site(folder, url, archive.peer), archive, f"{point} {url}")
        try:
            one.node.start_all()
            with one.sending():
                done = one.kill(point, hits)
            return Row(point, done, one.rest())
        finally:
            one.node.stop()


@contextmanager
def databases(engine: str, folder: Path) -> Iterator[Callable[[str], str]]:
    """Gives the URL of a new database of that engine for a name."""
    if engine == "sqlite":
        yield lambda name: f"sqlite:///{folder / name / 'celadon.db'}"
        return
    with running_postgresql() as server:
        yield lambda name: new_database(server.url, name)


def new_database(url: str, name: str, *, tablespace: str = "pg_default") -> str:
    """The URL of a database that is made for it."""
    _as_admin(url, f"CREATE DATABASE {name} TABLESPACE {tablespace}")
    return url.format(name)


def drop_database(url: str, name: str) -> None:
    """Have it gone, whoever is connected."""
    _as_admin(url, f"DROP DATABASE {name} WITH (FORCE)")


def _as_admin(url: str, statement: str) -> None:
    admin = create_engine(url.format("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(statement))
    admin.dispose()


def run(engine: str, points: Sequence[str], hits: int, show: Callable[[Row], None]) -> list[Row]:
    """A row for each of ``points``, shown as it is known."""
    folder = Path(tempfile.mkdtemp(prefix="celadon-kills-"))
    rows = []
    try:
        with databases(engine, folder) as url_of:
            for number, point in enumerate(points):
                name = f"site{number}"
                rows.append(torment(folder / name, url_of(name), point, hits))
                show(rows[-1])
    finally:
        shutil.rmtree(folder)
    return rows


def table_line(engine: str, row: Row) -> str:
    """A line of the table."""
    found = row.verdict
    numbers = (row.hits, found.acknowledged, found.delivered, found.lost, found.corrupt, found.extra, found.differing)
    return f"{engine:11}{row.point:25}" + "".join(f"{one:>10}" for one in (*numbers, found.unfinished))


def header_line() -> str:
    """The head of the table."""
    names = ("hits", "acked", "delivered", "lost", "corrupt", "extra", "differing", "unfinished")
    return f"{'engine':11}{'failpoint':25}" + "".join(f"{name:>10}" for name in names)


def matrix(engine: str, points: Sequence[str], hits: int, say: Callable[[str], None]) -> bool:
    """Run and print; whether every promise was kept."""
    say(header_line())

    def show(row: Row) -> None:
        say(table_line(engine, row))
        for remark in row.verdict.remarks:
            say(f"    {remark}")

    begun = time.monotonic()
    rows = run(engine, points, hits, show)
    total = sum(row.hits for row in rows)
    clean = sum(row.verdict.is_clean for row in rows)
    say(f"{engine}: {total} kills in {time.monotonic() - begun:.0f} s, {clean} of {len(rows)} rows clean")
    return clean == len(rows) and total == hits * len(rows)
