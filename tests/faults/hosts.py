"""Several hosts that share no file system: each process has a data folder of its own, the blobs are in a bucket."""

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

from node.settings import S3Settings
from node.store.copies import Copies
from node.store.s3 import Bucket
from node.store.s3_blobs import S3Blobs
from node.store.session import Database
from tests.faults.fleet import Fleet, FleetSite, Scenario, at_work, wait_for
from tests.faults.judge import Archive, Sender
from tests.faults.kills import new_database
from tests.faults.processes import Role
from tests.servers import PrivatePostgresql, PrivateS3, running_redis, running_s3

_TIMEOUT_S: Final = 2.0
_AWAY_S: Final = 3.0
_SERIES: Final = 6
_OUT_OF_RESOURCES: Final = 0xA700


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


SCENARIOS: Final[dict[str, Scenario]] = {"s3 killed": Scenario(store_killed, hosts_in)}
