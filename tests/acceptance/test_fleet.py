"""The layout of several machines as processes of one: each role by itself, over PostgreSQL and Redis."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.demo.pacs import DemoPacs, start_pacs
from node.demo.series import make_case
from node.dicom.peer import Peer
from node.dicom.query import find_series
from node.domain.identifiers import AeTitle
from node.domain.lifecycle import JobState, Step
from node.settings import read_settings
from node.stores import Stores
from tests.faults.kills import new_database
from tests.faults.processes import free_port
from tests.servers import running_postgresql, running_redis
from tests.waiting import wait_ended, wait_until

ROLES = (("listen",), ("work", "--queue", "cpu"), ("work", "--queue", "gpu"), ("web",))
STARTS_WITHIN_S = 240.0
STOPS_WITHIN_S = 25.0


@dataclass(frozen=True)
class Fleet:
    """Everything that runs, and what it was told."""

    folder: Path
    config: Path
    peer: Peer
    processes: dict[str, subprocess.Popen[bytes]]

    def celadon(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command beside the fleet."""
        command = [sys.executable, "-m", "node", *words, "--config", str(self.config)]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    def said(self, event: str) -> int:
        """How often the logs have an event."""
        return sum(log.read_text().count(f'"event": "{event}"') for log in self.folder.glob("*.log"))


@pytest.fixture(scope="module")
def pacs() -> Iterator[DemoPacs]:
    """Orthanc, or a small one."""
    with start_pacs() as started:
        yield started


@contextmanager
def running_fleet(folder: Path, pacs: DemoPacs) -> Iterator[Fleet]:
    """Each role by itself; a machine without a GPU does the GPU's work on its CPU."""
    with running_postgresql() as server, running_redis() as redis, ExitStack() as stack:
        port, config = free_port(), folder / "celadon.toml"
        config.write_text(
            f'data_dir = "{folder / "data"}"\ndatabase_url = "{new_database(server.url, "fleet")}"\n'
            f'broker_url = "{redis.url}"\n[dicom]\nport = {port}\nmin_free_gb = 0\n[web]\nport = 0\n'
            f'[workers]\ngpu = 0\n[pacs.archive]\nae_title = "{pacs.peer.ae_title}"\nhost = "{pacs.peer.host}"\n'
            f"port = {pacs.peer.port}\n"
        )
        fleet = Fleet(folder, config, Peer(AeTitle("CELADON"), "127.0.0.1", port), {})
        assert fleet.celadon("db", "upgrade").returncode == 0
        for role in ROLES:
            log = stack.enter_context((folder / f"{'-'.join(role)}.log").open("ab"))
            command = [sys.executable, "-m", "node", *role, "--config", str(config)]
            process = subprocess.Popen(command, stdout=log, stderr=log)
            fleet.processes[" ".join(role)] = process
            stack.callback(process.kill)
        wait_until(lambda: fleet.said("node ready") == 2 or None, "both kinds of workers are ready", STARTS_WITHIN_S)
        wait_until(lambda: fleet.said("listener ready") or None, "the listener is ready", STARTS_WITHIN_S)
        yield fleet


@pytest.mark.timeout(900)
def test_a_case_goes_through_several_machines_and_back(tmp_path: Path, pacs: DemoPacs) -> None:
    """Received by one, triaged by another, predicted by a third, delivered, and each of them stops when it is asked."""
    with running_fleet(tmp_path, pacs) as fleet:
        pacs.route_to(fleet.peer)
        case = make_case("pancreas", tmp_path / "case")
        pacs.store([case.seg_path])
        pacs.store(case.ct_paths)
        stores = Stores.open(read_settings(fleet.config))
        job = wait_ended(stores, case.series_uid, seconds=240)
        assert job.state is JobState.DONE
        steps = [one.step for one in stores.jobs.steps(job.job_id)]
        assert steps.count(Step.TRIAGE) >= 2
        assert steps[-1] is Step.COMPOSE
        assert fleet.said("job handed over to another queue") >= 1
        assert len(find_series(pacs.peer, "ACCEPTANCE", case.study_uid)) > 2
        stores.database.close()

        status = json.loads(fleet.celadon("status", "--json").stdout)
        assert (status["well"], status["queues"]) == (True, {"cpu": 0, "gpu": 0})
        found = fleet.celadon("doctor", "--json")
        checks = {one["name"]: one["verdict"] for one in json.loads(found.stdout)["checks"]}
        assert found.returncode == 0, found.stdout
        assert checks["broker"] == checks["pacs.archive"] == checks["clock"] == "ok"

        for process in fleet.processes.values():
            process.terminate()
        codes = {name: process.wait(STOPS_WITHIN_S) for name, process in fleet.processes.items()}
        assert set(codes.values()) == {0}, codes
