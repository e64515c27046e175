"""Two hosts that share nothing but PostgreSQL and a bucket: one receives, the other analyses and delivers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.demo.series import make_case
from node.dicom.peer import Peer
from node.dicom.query import find_series
from node.dicom.sending import send_files
from node.dicom.small_pacs import SmallPacs
from node.domain.identifiers import AeTitle
from node.domain.lifecycle import JobState
from node.settings import read_settings
from node.stores import Stores
from tests.faults.kills import new_database
from tests.faults.processes import free_port
from tests.servers import PrivateS3, running_postgresql, running_s3
from tests.waiting import wait_ended, wait_until

STARTS_WITHIN_S = 240.0
ROLES = {"reception": "listen", "clinic": "work"}


@dataclass(frozen=True)
class Host:
    """A machine with a folder of its own."""

    folder: Path

    @property
    def config(self) -> Path:
        """Its settings."""
        return self.folder / "celadon.toml"

    def celadon(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command on it."""
        command = [sys.executable, "-m", "node", *words, "--config", str(self.config)]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    def log(self) -> str:
        """What its process has said."""
        return (self.folder / "log").read_text()

    def checks(self) -> dict[str, str]:
        """What its doctor says."""
        found = json.loads(self.celadon("doctor", "--json").stdout)["checks"]
        return {one["name"]: one["verdict"] for one in found}


@dataclass(frozen=True)
class Site:
    """Both, and what they share."""

    hosts: dict[str, Host]
    s3: PrivateS3
    peer: Peer
    archive: SmallPacs


def settings(folder: Path, shared: Path, url: str, s3: PrivateS3, port: int, archive: SmallPacs) -> str:
    """A host's settings; the credentials are in a file, as a secret of Kubernetes is mounted."""
    return f"""
data_dir = "{folder / "data"}"
database_url = "{url}"
[audit]
key_file = "{shared / "audit.key"}"
[blobs.s3]
bucket = "{s3.bucket}"
endpoint = "{s3.endpoint}"
credentials = "{shared / "credentials"}"
timeout_s = 5
[dicom]
port = {port}
[workers]
gpu = 0
[pacs.archive]
ae_title = "{archive.peer.ae_title}"
host = "{archive.peer.host}"
port = {archive.peer.port}
"""


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """A listener on one host, workers on the other."""
    with (
        running_postgresql() as server,
        running_s3() as s3,
        SmallPacs(folder / "archive") as archive,
        ExitStack() as stack,
    ):
        url, port, hosts = new_database(server.url, "hosts"), free_port(), {}
        keys = f"[default]\naws_access_key_id = {s3.access_key}\naws_secret_access_key = {s3.secret_key}\n"
        (folder / "credentials").write_text(keys)
        for name in ROLES:
            hosts[name] = Host(folder / name)
            hosts[name].folder.mkdir()
            hosts[name].config.write_text(settings(hosts[name].folder, folder, url, s3, port, archive))
        assert hosts["reception"].celadon("db", "upgrade").returncode == 0
        for name, role in ROLES.items():
            log = stack.enter_context((hosts[name].folder / "log").open("ab"))
            command = [sys.executable, "-m", "node", role, "--config", str(hosts[name].config)]
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait, 25)
            stack.callback(process.terminate)
        site = Site(hosts, s3, Peer(AeTitle("CELADON"), "127.0.0.1", port), archive)
        ready = {"reception": "listener ready", "clinic": "node ready"}
        for name, event in ready.items():
            wait_until(lambda name=name, event=event: event in hosts[name].log() or None, event, STARTS_WITHIN_S)
        yield site


@pytest.mark.timeout(900)
def test_a_case_goes_from_one_host_through_a_bucket_to_the_other_and_back(tmp_path: Path) -> None:
    """With no file in common; while the bucket is away, the sender is asked to come again, and the doctor says why."""
    with running_site(tmp_path) as site:
        reception, clinic = site.hosts["reception"], site.hosts["clinic"]
        case = make_case("pancreas", tmp_path / "case")
        site.s3.kill()
        (refused,) = send_files([case.seg_path], site.peer, "SCANNER")
        assert refused.status == 0xA700
        assert '"reason": "STORE_AWAY"' in reception.log()
        assert reception.checks()["blobs"] == "fail"
        site.s3.start()

        sent = send_files(case.paths, site.peer, "SCANNER")
        assert all(one.is_stored for one in sent)
        stores = Stores.open(read_settings(clinic.config))
        job = wait_ended(stores, case.series_uid, seconds=STARTS_WITHIN_S)
        assert job.state is JobState.DONE
        assert len(find_series(site.archive.peer, "ACCEPTANCE", case.study_uid)) > 1
        assert [found.sha256 for found in stores.blobs.files()]
        stores.database.close()

        for host in (reception, clinic):
            assert not (host.folder / "data" / "blobs").exists()
            assert host.checks()["blobs"] == "ok"
            assert site.s3.secret_key not in host.log()
            assert site.s3.access_key not in host.log()
        assert not (reception.folder / "data" / "copies").exists()
        assert list((clinic.folder / "data" / "copies").glob("*/*"))
