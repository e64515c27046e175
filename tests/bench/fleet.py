"""The fleet: what queue, claims and store cost beside the models, and whether more workers do more.

The stand-in for a model sleeps, as a worker does whose GPU computes: what is measured is everything else. PostgreSQL is
a private one with ``fsync`` off, as in all tests; ratios are from one run.
"""

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import psutil
from sqlalchemy import func, select, text

from node.dicom.peer import Peer
from node.domain.identifiers import AeTitle, SeriesUID, StudyUID
from node.domain.lifecycle import JobState, Step
from node.settings import Settings
from node.store.jobs import JobStore
from node.store.session import Database
from node.store.tables import job_steps, jobs
from node.stores import Stores
from node.watch import memory_of
from tests.factories import ct_slices, received
from tests.faults.fleet import FleetSite
from tests.faults.kills import new_database
from tests.faults.processes import PREDICTS_FOR, Role, end
from tests.servers import PrivatePostgresql, running_postgresql, running_redis

SERIES: Final = 1000
PREDICTS_S: Final = 0.1
CLAIMERS: Final = 64
PROCESSES: Final = 8
URGENT_EVERY: Final = 2
LEASE: Final = timedelta(seconds=30)
_NOBODY: Final = Peer(AeTitle("NOBODY"), "127.0.0.1", 1)


def fleet(count: int = SERIES) -> None:
    """Run and print."""
    with running_postgresql() as server, running_redis() as redis, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _throughput(folder, server, redis.url, count)
        _claims(folder, server, count)
        _turns(folder, server)


@dataclass(frozen=True)
class Run:
    """So many workers, and what they did."""

    seconds: float
    rest_s: float
    """A case beside its prediction."""
    overhead_s: float
    """A case beside all its steps, from claim to end: queue, claims and store."""
    whole_s: float
    """The same of all the time from the first claim to the last end: with the search for a case, what comes after its
    commit, and the doorbell. The workers' start is left out, which is one and not a case's."""
    processor_s: float
    """Of the workers' processor time for a case, which a busy machine lengthens less than it does the rest."""
    memory: tuple[int, int]
    """Bytes of one worker after a tenth of the cases, and at the end."""


def _throughput(folder: Path, server: PrivatePostgresql, broker: str, count: int) -> None:
    """The same queue with one worker and with two."""
    runs = {workers: _run(folder / f"site{workers}", server, broker, count, workers) for workers in (1, 2)}
    _say(
        f"{'workers':>8}{'cases/s':>10}{'beside the model, ms':>23}{'beside all steps, ms':>23}"
        f"{'with claiming, ms':>20}{'processor, ms':>16}{'memory, MB':>14}"
    )
    for workers, run in runs.items():
        begins, ends = (f"{size / 2**20:.0f}" for size in run.memory)
        times = ((run.rest_s, 23), (run.overhead_s, 23), (run.whole_s, 20), (run.processor_s, 16))
        spent = "".join(f"{seconds * 1000:>{width}.1f}" for seconds, width in times)
        _say(f"{workers:>8}{count / run.seconds:>10.2f}{spent}{begins + ' → ' + ends:>14}")
    _say(f"two workers do {runs[1].seconds / runs[2].seconds:.2f} times as much as one")


def _run(folder: Path, server: PrivatePostgresql, broker: str, count: int, workers: int) -> Run:
    url = new_database(server.url, folder.name)
    site = FleetSite(folder, url, _NOBODY, broker_url=broker)
    database = Database(url)
    _queue(site, count)
    begun = time.monotonic()
    processes = []
    for _ in range(workers):
        process, connection, _ = site.fork(Role.ANALYSER, {PREDICTS_FOR: str(PREDICTS_S)}, LEASE)
        connection.poll(60)
        processes.append((process, connection))
    first = 0
    while (left := _count(database, JobState.WAITING, JobState.RUNNING)) > 0:
        if not first and left < count * 0.9:
            first = memory_of(processes[0][0].pid or 0)
        time.sleep(0.1)
    seconds = time.monotonic() - begun
    last = memory_of(processes[0][0].pid or 0)
    processor = sum(sum(psutil.Process(process.pid).cpu_times()[:2]) for process, _ in processes)
    for process, connection in processes:
        end(process)
        connection.close()
    rest, overhead = _beside(database, [Step.PREDICT]), _beside(database, list(Step))
    whole = (_at_work(database) * workers - _computed(database)) / count
    database.close()
    return Run(seconds, rest, overhead, whole, processor / count, (first, last))


def _at_work(database: Database) -> float:
    """From the first claim to the last end, in seconds."""
    with database.read() as connection:
        begun, ended = connection.execute(select(func.min(jobs.c.claimed_at), func.max(jobs.c.finished_at))).one()
    return float((ended - begun).total_seconds())


def _computed(database: Database) -> float:
    """What all steps of all cases took, in seconds."""
    with database.read() as connection:
        return float(connection.scalar(select(func.sum(job_steps.c.seconds))) or 0.0)


def _beside(database: Database, steps: Sequence[Step]) -> float:
    """From the claim of a case to its end, beside ``steps``; the median in seconds."""
    with database.read() as connection:
        computed: dict[str, float] = dict(
            connection.execute(
                select(job_steps.c.job_id, func.sum(job_steps.c.seconds))
                .where(job_steps.c.step.in_([step.value for step in steps]))
                .group_by(job_steps.c.job_id)
            ).all()
        )
        rows = connection.execute(
            select(jobs.c.id, jobs.c.claimed_at, jobs.c.finished_at).where(jobs.c.finished_at.is_not(None))
        ).all()
    return statistics.median((row[2] - row[1]).total_seconds() - computed.get(row[0], 0.0) for row in rows)


def _queue(site: FleetSite, count: int, urgent_every: int = 0) -> list[str]:
    """Have so many complete series of four slices wait; gives their UIDs."""
    stores = Stores.open(Settings(data_dir=site.folder, database_url=site.url))
    made = []
    for number in range(count):
        uid = SeriesUID.derived("bench", str(number))
        study = StudyUID.derived("bench", str(number))
        priority = {"RequestedProcedurePriority": "STAT"} if urgent_every and number % urgent_every else {}
        for one in ct_slices(4, series=uid, rows=16, columns=16, StudyInstanceUID=study, **priority):
            stores.inbox.accept(received(one))
        assert stores.jobs.complete(uid, "bench", 4)
        made.append(uid)
    stores.database.close()
    return made


def _count(database: Database, *states: JobState) -> int:
    with database.read() as connection:
        wanted = [state.value for state in states]
        return connection.scalar(select(func.count()).select_from(jobs).where(jobs.c.state.in_(wanted))) or 0


def _claims(folder: Path, server: PrivatePostgresql, count: int) -> None:
    """Sixty-four that claim at once until nothing is left."""
    url = new_database(server.url, "claims")
    _queue(FleetSite(folder / "claims", url, _NOBODY), count)
    begun = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.map(partial(_claim_nothing, url), range(PROCESSES))
        begun = time.monotonic()
        taken = [one for many in pool.map(partial(_claim_all, url), range(PROCESSES), chunksize=1) for one in many]
        seconds = time.monotonic() - begun
    assert len(taken) == len(set(taken)) == count, "a job was claimed twice, or never"
    _say(f"{CLAIMERS} claimers: {count / seconds:.0f} claims/s on PostgreSQL, each job claimed once")


def _claim_nothing(_url: str, _number: int) -> None:
    """Be there: what starting a process takes is not measured."""


def _claim_all(url: str, number: int) -> list[str]:
    def claim(thread: int) -> list[str]:
        database = Database(url)
        store, taken = JobStore(database), []
        while (found := store.claim(f"{number}.{thread}")) is not None:
            taken.append(str(found.job_id))
        database.close()
        return taken

    with ThreadPoolExecutor(CLAIMERS // PROCESSES) as threads:
        return [one for many in threads.map(claim, range(CLAIMERS // PROCESSES)) for one in many]


def _turns(folder: Path, server: PrivatePostgresql, count: int = 200) -> None:
    """As many urgent cases as routine ones that have aged: where each stands in the order of claims."""
    url = new_database(server.url, "turns")
    made = _queue(FleetSite(folder / "turns", url, _NOBODY), count, URGENT_EVERY)
    routine = set(made[::URGENT_EVERY])
    database = Database(url)
    with database.write() as connection:
        connection.execute(text("UPDATE jobs SET completed_at = completed_at - interval '1 hour' FROM series s "
                                "WHERE s.series_uid = jobs.series_uid AND s.urgency = 0"))  # fmt: skip
    store = JobStore(database)
    order = [claim.series_uid in routine for claim in iter(partial(store.claim, "bench"), None)]
    database.close()
    last = len(order) - order[::-1].index(False)
    _say(
        f"of {count} cases, half urgent: the last urgent one is claimed as number {last}, and until then "
        f"{sum(order[:last])} routine ones that had aged; the first of those as number {order.index(True) + 1}"
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
