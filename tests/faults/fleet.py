"""A fleet under faults: PostgreSQL, Redis, a listener, two analysers under their supervisor's watch, two deliverers.

Each row is one fleet: series are sent before, during and after a fault, the judge compares what was acknowledged,
stored, decided and delivered, and one more series tells by how much later than before it comes through once the fault
is over. Leases are seconds here, and the bell is Redis' as everywhere.
"""

import os
import shutil
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from sqlalchemy import select

from node.domain.lifecycle import JobState
from node.errors import Retryable
from node.store.counters import Counters
from node.store.jobs import STRIKES, JobStore
from node.store.session import Database
from node.store.tables import jobs
from node.supervisor import Role as Filled
from node.supervisor import _Child, _Striker
from node.watch import Limits, Lines, Watch
from tests.faults.clock import Clock, ClockedSite
from tests.faults.judge import OPEN, Archive, Judge, Sender, Verdict, count_jobs
from tests.faults.kills import new_database, wait_for
from tests.faults.processes import POISON, PREDICTS_FOR, Role, Site, end
from tests.servers import PrivatePostgresql, PrivateRedis, running_postgresql, running_redis

LEASE: Final = timedelta(seconds=3)
LIMITS: Final = Limits(memory_bytes=2**30, step_s=10.0)
ANALYSERS: Final = 2
DELIVERERS: Final = 2
ADDED_AT_MOST_S: Final = 2.0
PROBES: Final = 5
SKEW_S: Final = 300
_BEFORE, _DURING, _AFTER = 4, 4, 2
_RESTS_WITHIN_S: Final = 120.0
_PREDICT_S: Final = 0.2


@dataclass(frozen=True)
class FleetSite(Site):
    """A site with a broker."""

    broker_url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """The settings of its processes."""
        return super().environment | {"CELADON_BROKER_URL": self.broker_url, PREDICTS_FOR: str(_PREDICT_S)}


class _Forked:
    """A forked process in the form of ``Popen``, as far as a supervisor uses it."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self.pid = process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        return self._process.exitcode


class Analyser(_Child):
    """The supervisor's own child, forked from what has imported everything: a restart costs milliseconds."""

    def use(self, site: Site) -> None:
        """Be one of that site's."""
        self._site = site

    def fork(self) -> tuple[BaseProcess, Connection, Path]:
        """Start the process."""
        return self._site.fork(Role.ANALYSER, {}, LEASE)

    def start(self) -> None:
        """As the supervisor does it."""
        self._close_pipe()
        process, connection, _ = self.fork()
        self.ready_fd = os.dup(connection.fileno())
        connection.close()
        self.process = _Forked(process)  # type: ignore[assignment]  # as far as it is used
        self.lines, self.watch, self.breach = Lines(self.ready_fd), Watch(LIMITS), ""
        self.started_s = time.monotonic()


@dataclass
class Fleet:
    """Everything that runs."""

    site: FleetSite
    archive: Archive
    redis: PrivateRedis
    postgresql: PrivatePostgresql
    sender: Sender
    database: Database
    analysers: list[Analyser] = field(default_factory=list)
    others: list[BaseProcess] = field(default_factory=list)
    poisoned: list[Sender] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What a fault has seen that should not have been."""
    kinds: tuple[type[Analyser], ...] = (Analyser,)
    """Of the analysers, in turn."""
    _over: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Start every process, and the supervisor's watch."""
        striker = _Striker(JobStore(self.database), Counters(self.database))
        for number in range(ANALYSERS):
            kind = self.kinds[number % len(self.kinds)]
            child = kind(Filled(f"analyser {number + 1}", (), limits=LIMITS), {}, striker.strike)
            child.use(self.site)
            child.start()
            child.wait_ready(time.monotonic() + 60)
            self.analysers.append(child)
        roles = [Role.LISTENER, *[Role.DELIVERER] * DELIVERERS]
        for role in roles:
            process, connection, log = self.site.fork(role, {}, LEASE)
            assert connection.poll(60), f"the {role} did not become ready, see {log}"
            connection.close()
            self.others.append(process)
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """End every process."""
        self._over.set()
        self._watcher.join(30)
        for child in self.analysers:
            if child.process is not None:
                child.process.kill()
            child.end(time.monotonic() + 30)
        for process in self.others:
            end(process)
        self.database.close()

    def send(self, count: int = 1) -> None:
        """Send so many series, each until it is acknowledged."""
        for _ in range(count):
            self.sender.send_until_acknowledged(self.sender.next_series())

    def send_poison(self, rows: int, count: int) -> None:
        """Send so many series that are the end of a worker."""
        sender = Sender(self.site, f"poison {rows}", size=rows)
        self.poisoned.append(sender)
        for _ in range(count):
            sender.send_until_acknowledged(sender.next_series())

    def probe(self) -> float:
        """Seconds from the acknowledgement of a series until all of its results are delivered; the median of some."""
        return statistics.median(self._probe() for _ in range(PROBES))

    def rest(self) -> None:
        """Wait until nothing is left to do."""
        assert wait_for(self._is_idle, _RESTS_WITHIN_S), f"the fleet never came to rest: {self._open()}"

    def any_running(self) -> bool:
        """Whether an analyser is at a job."""
        return bool(count_jobs(self.database, JobState.RUNNING))

    def claims(self) -> int:
        """The most that one job was claimed."""
        with self.database.read() as connection:
            return max(connection.scalars(select(jobs.c.token)), default=0)

    def struck_out(self) -> dict[str, str]:
        """Why each quarantined series is."""
        with self.database.read() as connection:
            rows = connection.execute(select(jobs).where(jobs.c.state == JobState.QUARANTINED.value)).all()
        return {row.series_uid: f"{row.reason}: {row.detail}" for row in rows}

    def _open(self) -> list[str]:
        """What is left to do."""
        with self.database.read() as connection:
            rows = connection.execute(select(jobs).where(jobs.c.state.in_([state.value for state in OPEN]))).all()
        return [f"{row.state} {row.queue} {row.step} {row.lease_owner} {row.reason}" for row in rows]

    def _probe(self) -> float:
        self.send()
        begun, uid = time.monotonic(), self.sender.series[-1]
        assert wait_for(lambda: self.is_done(uid), _RESTS_WITHIN_S), "a series never came through"
        return time.monotonic() - begun

    def is_done(self, uid: str) -> bool:
        """Whether a series is done."""
        with self.database.read() as connection:
            query = select(jobs.c.id).where(jobs.c.series_uid == uid, jobs.c.state == JobState.DONE.value)
            return connection.execute(query).first() is not None

    def _is_idle(self) -> bool:
        with suppress(Retryable):
            return not count_jobs(self.database, *OPEN)
        return False

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            for child in self.analysers:
                child.revive()


@dataclass(frozen=True)
class Row:
    """A fault, and what came of it."""

    scenario: str
    verdict: Verdict
    added_s: float
    """By how much later a series comes through, once the fault is over."""
    claims: int
    struck_out: int = 0
    remarks: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return self.verdict.is_clean and self.added_s <= ADDED_AT_MOST_S and not self.remarks


Fault = Callable[[Fleet], None]
"""Does something to a fleet that works, and undoes it."""


def broker_killed(fleet: Fleet) -> None:
    """Redis dies with all that it knew, is away for a while, and is started anew."""
    wait_for(fleet.any_running, 10)
    fleet.redis.kill()
    fleet.send(_DURING)
    fleet.redis.start()


def broker_flushed(fleet: Fleet) -> None:
    """Somebody empties Redis, again and again."""
    for _ in range(_DURING):
        fleet.send()
        fleet.redis.say("FLUSHALL")


def broker_cut_off(fleet: Fleet) -> None:
    """Redis takes connections and answers nothing, as behind a link that was cut."""
    wait_for(fleet.any_running, 10)
    fleet.redis.process.send_signal(signal.SIGSTOP)
    fleet.send(_DURING)
    fleet.redis.process.send_signal(signal.SIGCONT)


def broker_absent(fleet: Fleet) -> None:
    """There is no Redis when a job is to be rung for; what is done meanwhile is done without."""
    fleet.redis.kill()
    fleet.send(_DURING)
    fleet.rest()
    fleet.redis.start()


def database_restarted(fleet: Fleet) -> None:
    """PostgreSQL is stopped under everybody's hands, and started."""
    wait_for(fleet.any_running, 10)
    fleet.postgresql.stop(signal.SIGQUIT)
    time.sleep(1)
    fleet.postgresql.start()
    fleet.send(_DURING)


def worker_killed(fleet: Fleet) -> None:
    """Workers are killed at their jobs; their supervisor sees it, and no lease is waited for."""
    for number in range(_DURING):
        fleet.send()
        wait_for(fleet.any_running, 10)
        if (process := fleet.analysers[number % ANALYSERS].process) is not None:
            process.kill()
        # A job that kills three workers is put aside, as it should be: each is finished before the next kill.
        fleet.rest()


def worker_stopped(fleet: Fleet, seconds: float = 60.0) -> None:
    """A worker stands still for longer than its lease, and goes on: what it writes then is discarded."""
    wait_for(fleet.any_running, 10)
    stopped = [child.process.pid for child in fleet.analysers[:1] if child.process is not None]
    # Its supervisor stands still with it, as when a whole host is paused: nobody ends the worker meanwhile.
    fleet.analysers[0].watch = None
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        fleet.send(_DURING)
        time.sleep(seconds)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def clocks_differ(fleet: Fleet) -> None:
    """Two more workers, whose clocks are five minutes ahead and behind, work beside the others; one of those dies."""
    site = fleet.site
    extra = {"CELADON_BROKER_URL": site.broker_url, PREDICTS_FOR: str(_PREDICT_S)}
    skewed = []
    try:
        for number, by_s in enumerate((SKEW_S, -SKEW_S)):
            hands = Clock(site.folder.with_name(f"{site.folder.name}.clock{number}"))
            hands.set(by_s)
            other = ClockedSite(site.folder, site.url, site.archive, clock=hands, extra=extra)
            skewed.append(other.start(Role.ANALYSER))
        fleet.send(_DURING)
        wait_for(fleet.any_running, 10)
        if (process := fleet.analysers[0].process) is not None:
            process.kill()
        fleet.send(_DURING)
        fleet.rest()
    finally:
        for one in skewed:
            one.kill()
            one.join(30)


def poisoned(fleet: Fleet, each: int = 1, good: int = 50) -> None:
    """Series that crash, hang and eat memory among good ones: three workers each, then they are held."""
    for rows in POISON:
        fleet.send_poison(rows, each)
    fleet.send(good)


@contextmanager
def fleet_in(folder: Path, server: PrivatePostgresql, name: str, together: int = 1) -> Iterator[Fleet]:
    """A fleet of its own, at work; ``together``: how many cases an analyser predicts at once."""
    url = new_database(server.url, name)
    with running_redis() as redis, Archive() as archive:
        site = FleetSite(folder, url, archive.peer, broker_url=redis.url, together=together)
        with at_work(Fleet(site, archive, redis, server, Sender(site, name), Database(url))) as fleet:
            yield fleet


@contextmanager
def at_work(fleet: Fleet) -> Iterator[Fleet]:
    """Start a fleet, and end it."""
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.stop()


Opener = Callable[[Path, PrivatePostgresql, str], AbstractContextManager[Fleet]]


@dataclass(frozen=True)
class Scenario:
    """A fault, and the fleet that it happens to."""

    fault: Fault
    opened: Opener = fleet_in
    why_not: Callable[[], str] = str
    """Why it cannot be had here; empty where it can."""


SCENARIOS: Final[dict[str, Scenario]] = {
    "redis killed": Scenario(broker_killed),
    "redis flushed": Scenario(broker_flushed),
    "redis cut off": Scenario(broker_cut_off),
    "redis absent at publish": Scenario(broker_absent),
    "postgresql restarted": Scenario(database_restarted),
    "workers killed": Scenario(worker_killed),
    "worker stopped 60 s": Scenario(worker_stopped),
    "clocks 5 min apart": Scenario(clocks_differ),
    "3 poison among 50": Scenario(poisoned),
    "the same, 4 together": Scenario(poisoned, partial(fleet_in, together=4)),
}


def torment(
    folder: Path, server: PrivatePostgresql, scenario: str, fault: Fault, name: str, opened: Opener = fleet_in
) -> Row:
    """One row."""
    with opened(folder, server, name) as fleet:
        fleet.send(1)
        fleet.rest()
        before_s = fleet.probe()
        fleet.send(_BEFORE)
        fault(fleet)
        fleet.send(_AFTER)
        fleet.rest()
        added_s = fleet.probe() - before_s
        fleet.rest()
        held = fleet.struck_out()
        verdict = Judge(fleet.site, fleet.archive, fleet.database).judge(fleet.sender)
        remarks = (*fleet.remarks, *_misjudged(fleet, held), *verdict.remarks)
        return Row(scenario, verdict, added_s, fleet.claims(), len(held), remarks)


def _misjudged(fleet: Fleet, held: dict[str, str]) -> Iterator[str]:
    """What is held and should not be, and the other way round."""
    wanted = {uid for sender in fleet.poisoned for uid in sender.series}
    yield from (f"held although nothing is wrong with it: {uid}, {held[uid]}" for uid in held.keys() - wanted)
    yield from (f"not held after {STRIKES} strikes: {uid}" for uid in wanted - held.keys())
    yield from (
        f"held without the last error: {held[uid]}" for uid in wanted & held.keys() if "predict: " not in held[uid]
    )


def matrix(scenarios: Mapping[str, Scenario], say: Callable[[str], None]) -> bool:
    """Every one of ``scenarios``, printed; whether every promise was kept."""
    say(header_line())
    kept = True
    folder = Path(tempfile.mkdtemp(prefix="celadon-fleet-"))
    try:
        with running_postgresql() as server:
            for number, (name, one) in enumerate(scenarios.items()):
                if reason := one.why_not():
                    say(f"{name:26} not run: {reason}")
                    continue
                place = f"fleet{number}"
                row = torment(folder / place, server, name, one.fault, place, one.opened)
                say(table_line(row))
                for remark in row.remarks:
                    say(f"    {remark}")
                kept = kept and row.is_clean
    finally:
        shutil.rmtree(folder)
    return kept


def header_line() -> str:
    """The head of the table."""
    names = ("acked", "delivered", "lost", "corrupt", "extra", "differing", "unfinished", "held", "claims", "added, s")
    return f"{'fault':26}" + "".join(f"{name:>11}" for name in names)


def table_line(row: Row) -> str:
    """A line of the table."""
    found = row.verdict
    numbers = (
        found.acknowledged, found.delivered, found.lost, found.corrupt, found.extra, found.differing, found.unfinished,
        row.struck_out, row.claims,
    )  # fmt: skip
    return f"{row.scenario:26}" + "".join(f"{one:>11}" for one in numbers) + f"{row.added_s:>11.2f}"
