"""The runbook: a backup of a running node is put back on an empty machine, and everything is there."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.domain.identifiers import SeriesUID
from node.domain.lifecycle import JobState
from node.settings import Settings
from node.store.chain import read_key, verify
from node.store.session import Database
from node.stores import Stores, open_database
from tests.factories import SERIES, ct_slices, received
from tests.faults.kills import new_database
from tests.faults.processes import workshop
from tests.servers import PrivatePostgresql, postgresql_folder, require, running_postgresql, running_s3
from workers.analysis import Analysis

FLEET = Path(__file__).parents[2] / "deploy" / "fleet"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PrivatePostgresql]:
    """One server for both databases."""
    with running_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The databases before and after; empty strings: SQLite in the data folder."""
    if request.param == "sqlite":
        return "", ""
    server = request.getfixturevalue("postgresql")
    return new_database(server.url, "before"), new_database(server.url, "after")


def run(script: str, url: str, *arguments: Path) -> None:
    """Run a script of the runbook as an operator would."""
    programs = require("PostgreSQL", postgresql_folder()) if url else Path("/usr/bin")
    environment = os.environ | {"CELADON_DATABASE_URL": url, "PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(["sh", FLEET / script, *arguments], check=True, env=environment)


def settings(folder: Path, url: str) -> Settings:
    """A node's."""
    rules = [{"predictor": "fake", "when": {"RoiAnatomy": "pancreas"}}]
    share = {"share": {"folder": str(folder.parent)}}
    values = {"data_dir": folder, "database_url": url, "rules": rules, "pacs": share}
    return Settings.model_validate(values)


def analysed(made: Settings) -> Stores:
    """A node with one series that has results on their way, and one that waits."""
    open_database(made).upgrade()
    shop = workshop(made)
    for uid in (SERIES, "2.25.81"):
        for one in ct_slices(4, series=uid, StudyInstanceUID=f"{uid}.1"):
            shop.stores.inbox.accept(received(one))
        assert shop.stores.jobs.complete(SeriesUID(uid), "test", 4)
    claim = shop.stores.jobs.claim("worker")
    assert claim is not None
    Analysis(shop, "worker").run(claim)
    return shop.stores


def test_a_backup_that_was_put_back_is_the_node_that_it_was(tmp_path: Path, urls: tuple[str, str]) -> None:
    """Jobs, results with their bytes, the queue, and an audit trail that still verifies; work goes on."""
    before = settings(tmp_path / "before", urls[0])
    stores = analysed(before)
    run("backup.sh", urls[0], before.data_dir, tmp_path / "backup")
    wanted = {job.job_id: job.state for job in stores.jobs.jobs()}
    assert sorted(wanted.values()) == [JobState.DELIVERING, JobState.WAITING]
    results = {made.uid: made.path.read_bytes() for job in wanted for made in stores.results.of(job)}
    stores.database.close()
    shutil.rmtree(before.data_dir)

    after = settings(tmp_path / "after", urls[1])
    run("restore.sh", urls[1], tmp_path / "backup", after.data_dir)
    Database(after.url).upgrade()
    back = Stores.open(after)
    assert {job.job_id: job.state for job in back.jobs.jobs()} == wanted
    assert {made.uid: made.path.read_bytes() for job in wanted for made in back.results.of(job)} == results
    with back.database.view() as connection:
        assert verify(connection, read_key(after.audit_key_file)).bad_row is None
    claim = back.jobs.claim("worker")
    assert claim is not None
    Analysis(workshop(after), "worker").run(claim)
    assert {job.state for job in back.jobs.jobs()} == {JobState.DELIVERING}
    back.database.close()


def test_a_backup_leaves_a_bucket_where_it_is_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No copy of a blob is in it; what was put back reads the same bytes from the same bucket."""
    with running_s3() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        before = settings(tmp_path / "before", "")
        stores = analysed(before)
        run("backup.sh", "", before.data_dir, tmp_path / "backup")
        assert (
            (tmp_path / "backup" / "bucket.txt")
            .read_text()
            .startswith(f"the blobs are in s3://{server.bucket}/celadon")
        )
        assert not (tmp_path / "backup" / "data" / "blobs").exists()
        assert not (tmp_path / "backup" / "data" / "copies").exists()
        (done,) = [job.job_id for job in stores.jobs.jobs() if job.state is JobState.DELIVERING]
        digests = {made.uid: made.path.name for made in stores.results.of(done)}
        stores.database.close()
        shutil.rmtree(before.data_dir)

        after = settings(tmp_path / "after", "")
        run("restore.sh", "", tmp_path / "backup", after.data_dir)
        back = Stores.open(after)
        made = back.results.of(done)
        back.blobs.bring(one.path for one in made)
        assert {one.uid: hashlib.sha256(one.path.read_bytes()).hexdigest() for one in made} == digests
        assert back.retention.sweep().is_ours
        back.database.close()


def test_a_second_backup_takes_what_is_new(tmp_path: Path) -> None:
    """Blobs that are there already are left alone; nothing that is half written is taken."""
    made = settings(tmp_path / "node", "")
    stores = analysed(made)
    (made.data_dir / "audit-heads.jsonl").write_text("one\n")
    run("backup.sh", "", made.data_dir, tmp_path / "backup")
    for one in ct_slices(2, series="2.25.82"):
        stores.inbox.accept(received(one))
    (made.data_dir / "blobs" / "00" / f"{'0' * 64}.{'1' * 32}.part").write_bytes(b"half")
    heads = made.data_dir / "audit-heads.jsonl"
    heads.write_text("one\ntwo\n")
    run("backup.sh", "", made.data_dir, tmp_path / "backup")
    names = {path.name for path in (tmp_path / "backup" / "data" / "blobs").glob("*/*")}
    assert names == {path.name for path in (made.data_dir / "blobs").glob("*/*") if path.suffix != ".part"}
    assert (tmp_path / "backup" / "data" / heads.name).read_text() == heads.read_text()


def test_half_a_file_of_a_backup_that_was_broken_off_is_taken_anew(tmp_path: Path) -> None:
    """And nothing of the backups before it."""
    made = settings(tmp_path / "node", "")
    analysed(made)
    backup = tmp_path / "backup"
    run("backup.sh", "", made.data_dir, backup)
    whole, half = sorted((backup / "data" / "blobs").glob("*/*"))[:2]
    untouched = whole.stat().st_ino
    (backup / "unfinished").touch()
    time.sleep(0.05)
    half.write_bytes(b"half")
    run("backup.sh", "", made.data_dir, backup)
    assert half.read_bytes() == (made.data_dir / "blobs" / half.parent.name / half.name).read_bytes()
    assert whole.stat().st_ino == untouched
    assert not (backup / "unfinished").exists()
