"""Several hosts: processes that share no folder and have their blobs in a bucket, and a worker at the end of a link."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from sqlalchemy import select

from node import log
from node.domain.lifecycle import JobState, Step
from node.settings import S3Settings
from node.store.copies import Copies
from node.store.s3 import Bucket
from node.store.s3_blobs import S3Blobs
from node.store.session import Database
from node.store.tables import jobs
from tests.faults.fleet import ANALYSERS, LEASE, Analyser, Fleet, FleetSite, Scenario, at_work, wait_for
from tests.faults.judge import Archive, Sender
from tests.faults.kills import new_database
from tests.faults.links import MEETING, Link, Relay, why_not
from tests.faults.processes import SLOW, Role
from tests.servers import PrivatePostgresql, PrivateS3, running_redis, running_s3

_TIMEOUT_S: Final = 2.0
_AWAY_S: Final = 3.0
_SERIES: Final = 6
_OUT_OF_RESOURCES: Final = 0xA700
_CUT_S: Final = 8.0
"""Longer than a lease, and shorter than it takes a connection to give up: what was to be written is written late."""


@dataclass(frozen=True, kw_only=True)
class HostsSite(FleetSite):
    """A host for each role."""

    server: PrivateS3

    @property
    def environment(self) -> dict[str, str]:
        """The settings that all of them have."""
        key = {"CELADON_AUDIT__KEY_FILE": str(self.folder / "audit.key")}
        return super().environment | self.server.environment | key | {"CELADON_BLOBS__S3__TIMEOUT_S": str(_TIMEOUT_S)}

    def fork(
        self, role: Role, more: Mapping[str, str], lease: timedelta = timedelta(seconds=3)
    ) -> tuple[BaseProcess, Connection, Path]:
        """Start a process on the host of its role."""
        return super().fork(role, {"CELADON_DATA_DIR": str(self.folder / role), **more}, lease)

    def stored(self) -> dict[str, bytes]:
        """Every blob of the bucket by its name."""
        settings = S3Settings.model_validate(self.server.settings)
        blobs = S3Blobs(Bucket(settings), settings.prefix, Copies(self.folder / "judge", 10**9))
        paths = [blobs.path_of(found.sha256) for found in blobs.files()]
        blobs.bring(paths)
        return {path.name: path.read_bytes() for path in paths if path.exists()}


@dataclass
class HostsFleet(Fleet):
    """A fleet whose bucket can be hurt."""

    server: PrivateS3 | None = None


@contextmanager
def hosts_in(folder: Path, server: PrivatePostgresql, name: str) -> Iterator[HostsFleet]:
    """A fleet of several hosts of its own, at work."""
    url = new_database(server.url, name)
    with running_redis() as redis, running_s3() as s3, Archive() as archive:
        site = HostsSite(folder, url, archive.peer, broker_url=redis.url, server=s3)
        fleet = HostsFleet(site, archive, redis, server, Sender(site, name), Database(url), server=s3)
        with at_work(fleet):
            yield fleet


def store_killed(fleet: Fleet) -> None:
    """The S3 server is killed while images come in and cases are read, stays away for a while, and comes back."""
    assert isinstance(fleet, HostsFleet)
    assert fleet.server is not None
    sending = threading.Thread(target=fleet.send, args=(_SERIES,), name="sender")
    sending.start()
    try:
        wait_for(fleet.any_running, 10)
        fleet.server.kill()
        refused = wait_for(lambda: bool(fleet.sender.refusals), 30)
        time.sleep(_AWAY_S)
    finally:
        fleet.server.start()
    sending.join(120)
    if not refused:
        fleet.remarks.append("no sender was refused while the store was away")
    if wrong := fleet.sender.refusals.keys() - {_OUT_OF_RESOURCES}:
        fleet.remarks.append(f"refused otherwise than Out of Resources: {', '.join(f'0x{one:04X}' for one in wrong)}")


class Remote(Analyser):
    """An analyser on a host of its own, at the other end of a link."""

    link: Link

    def fork(self) -> tuple[BaseProcess, Connection, Path]:
        """Start it there."""
        site = self._site
        assert isinstance(site, LinkedSite)
        meeting = site.folder.with_name(f"{site.folder.name}.meeting")
        left = Path(f"{meeting}.left")
        left.unlink(missing_ok=True)
        forked = site.fork(Role.ANALYSER, {**site.beyond, MEETING: str(meeting)}, LEASE)
        assert wait_for(lambda: left.exists() and bool(left.read_text()), 60), "the process did not leave the network"
        site.link.join(int(left.read_text()))
        meeting.touch()
        return forked


@dataclass(frozen=True, kw_only=True)
class LinkedSite(FleetSite):
    """A site with a link to another host."""

    link: Link
    beyond: Mapping[str, str]
    """Where the database and the broker are, as seen from there."""


@contextmanager
def linked_in(folder: Path, server: PrivatePostgresql, name: str) -> Iterator[Fleet]:
    """A fleet of its own, one of whose analysers is on another host: it reaches the database by a link alone."""
    url = new_database(server.url, name)
    link = Link()
    with running_redis() as redis, Archive() as archive:
        database = Relay(link.here, f"{server.folder}/.s.PGSQL.5432")
        broker = Relay(link.here, ("127.0.0.1", redis.port))
        beyond = {
            "CELADON_DATABASE_URL": f"postgresql+psycopg://celadon@{link.here}:{database.port}/{name}",
            "CELADON_BROKER_URL": f"redis://{link.here}:{broker.port}/0",
        }
        site = LinkedSite(folder, url, archive.peer, broker_url=redis.url, link=link, beyond=beyond)
        fleet = Fleet(site, archive, redis, server, Sender(site, name), Database(url), kinds=(Remote, Analyser))
        try:
            with at_work(fleet):
                yield fleet
        finally:
            for one in (database, broker, link):
                one.remove() if isinstance(one, Link) else one.close()


def link_cut(fleet: Fleet) -> None:
    """The link of a worker at its case is cut for longer than its lease, and mended: its late write is discarded."""
    assert isinstance(fleet.site, LinkedSite)
    remote = fleet.analysers[0]
    assert remote.process is not None
    # Its supervisor is over there with it, and thinks nothing of a step that takes some seconds.
    remote.watch = None
    slow = Sender(fleet.site, "slow", size=SLOW)
    for _ in range(2 * ANALYSERS):
        slow.send_until_acknowledged(slow.next_series())
    job = _predicting(fleet, f":{remote.process.pid}")
    owner = _owner(fleet, job)
    fleet.site.link.cut()
    cut = time.monotonic()
    try:
        fleet.send(_SERIES)
        # No longer than that: the connection would be given up, and nothing written late.
        if not wait_for(lambda: _owner(fleet, job) != owner, 60):
            fleet.remarks.append("nobody took the case over while its worker was cut off")
        time.sleep(max(0.0, cut + _CUT_S - time.monotonic()))
    finally:
        fleet.site.link.mend()
    if not wait_for(lambda: _discarded(fleet, job), 60):
        fleet.remarks.append("the worker that was cut off never found that its case had moved on")
    fleet.rest()
    fleet.remarks += [f"not done: {uid}" for uid in slow.series if not fleet.is_done(uid)]


def _predicting(fleet: Fleet, owner: str) -> str:
    """The job at whose prediction a worker is."""
    found: list[str] = []

    def look() -> bool:
        query = select(jobs.c.id).where(
            jobs.c.state == JobState.RUNNING.value,
            jobs.c.step == Step.PREDICT.value,
            jobs.c.lease_owner.endswith(owner),
        )
        with fleet.database.read() as connection:
            found.extend(connection.scalars(query))
        return bool(found)

    assert wait_for(look, 60), "the worker on the other host never got a case"
    return found[0]


def _owner(fleet: Fleet, job: str) -> str | None:
    with fleet.database.read() as connection:
        return connection.scalar(select(jobs.c.lease_owner).where(jobs.c.id == job))


def _discarded(fleet: Fleet, job: str) -> bool:
    said = fleet.site.folder.with_name(f"{fleet.site.folder.name}.{Role.ANALYSER}.log").read_text()
    return any(log.JOB_FENCED in line and job in line for line in said.splitlines())


SCENARIOS: Final[dict[str, Scenario]] = {
    "s3 killed": Scenario(store_killed, hosts_in),
    "link cut 8 s": Scenario(link_cut, linked_in, why_not),
}
