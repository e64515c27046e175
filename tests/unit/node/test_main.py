"""The ``celadon`` command: instant help, one line for an error, exit codes, one JSON document."""

import json
import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from node.dicom.reading import same_content
from node.domain.identifiers import JobId
from node.domain.lifecycle import JobState, Step
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import ObjectKind
from node.store.folder_blobs import FolderBlobs
from node.store.inbox import SqlInbox
from node.store.jobs import EndedStep, JobStore
from node.store.results import ResultStore
from node.store.session import Database
from tests.celadon_command import run
from tests.factories import SERIES, ct_slices, event, received, report_object, step_record
from tests.waiting import wait_until

JOB = JobId.of(SERIES, 1)
ROOT = Path(__file__).parents[3]
# A dashboard's, an archive's and a model's libraries: none of them is needed to say what a command does.
HEAVY = ("torch", "monai", "numpy", "pydicom", "pynetdicom", "highdicom", "sqlalchemy", "pydantic")


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory of a node of this test alone, with a database that is up to date."""
    data = tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELADON_DATA_DIR", str(data))
    monkeypatch.setenv("COLUMNS", "200")
    Database(f"sqlite:///{data / 'celadon.db'}").upgrade()
    return data


def document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The one JSON document that a command prints."""
    code = run(monkeypatch, *words, "--json")
    printed = capsys.readouterr()
    assert code in (0, 1)
    assert printed.err == ""
    return json.loads(printed.out)


@pytest.fixture
def refused(node: Path) -> None:
    """A series that was not analysed."""
    _fill(node, JobState.NOT_ANALYSED)


@pytest.fixture
def quarantined(node: Path) -> None:
    """A series that a person must look at."""
    _fill(node, JobState.QUARANTINED)


@pytest.fixture
def analysed(node: Path) -> None:
    """A series with two results on their way."""
    _fill(node, JobState.DELIVERING)


def _fill(node: Path, state: JobState) -> None:
    database = Database(f"sqlite:///{node / 'celadon.db'}")
    blobs, jobs = FolderBlobs(node / "blobs"), JobStore(database)
    inbox = SqlInbox(database, blobs, same_content)
    for dataset in ct_slices(3):
        inbox.accept(received(dataset))
    jobs.complete(SERIES, "test", 3)
    claim = jobs.claim("worker")
    assert claim is not None
    jobs.record_steps(claim, EndedStep(step_record(Step.TRIAGE)))
    if state is JobState.DELIVERING:
        made = [report_object("a"), report_object("b", ObjectKind.STRUCTURED_REPORT)]
        results = ResultStore(database, blobs)
        results.commit(
            claim,
            made,
            predictor="porcelain",
            destinations=["main"],
            steps=[EndedStep(step_record(), (event(job_id=JOB),))],
        )
    else:
        jobs.finish(claim, state, Reason(ReasonCode.ROI_NOT_FOUND, "nowhere"), event())
    database.close()


def test_help_is_instant() -> None:
    """Within a second of a processor, whatever others do with it, and without importing anything heavy."""
    command = [sys.executable, "-X", "importtime", "-m", "node", "--help"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0
    assert "Send a real CT from a PACS" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert imported.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("jobs", "--nonsense"),
        ("jobs", "--state", "nonsense"),
        ("jobs", "--since", "yesterday"),
        ("show",),
        ("show", "nonsense"),
        ("retry", "nonsense"),
        ("status", "--config", "nowhere.toml"),
        ("send", "nowhere.dcm", "--to", "A@h:1"),
        ("send", ".", "--to", "nonsense"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """With the reason on stderr, nothing on stdout, and no traceback."""
    assert run(monkeypatch, *words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err
    assert "Traceback" not in printed.err


def test_a_wrong_setting_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit code 2, and the line names the setting."""
    (tmp_path / "celadon.toml").write_text("[dicom]\nprot = 1\n")
    assert run(monkeypatch, "status") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("celadon: dicom.prot: ")


def test_a_database_that_is_not_up_to_date_is_not_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and what to run; running it mends it."""
    monkeypatch.setenv("CELADON_DATA_DIR", "other")
    assert run(monkeypatch, "jobs") == 1
    assert "run celadon db upgrade" in capsys.readouterr().err
    assert run(monkeypatch, "db", "upgrade") == 0
    assert run(monkeypatch, "jobs") == 0


def test_status_counts_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], analysed: None
) -> None:
    """Jobs and deliveries by state, the queue, and the disk."""
    found = document(monkeypatch, capsys, "status")
    assert found["jobs"]["delivering"] == 1
    assert set(found["jobs"]) == {state.value for state in JobState}
    assert found["deliveries"]["pending"] == 2
    assert (found["queue_depth"], found["oldest_waiting"], found["well"]) == (0, None, True)
    assert found["last_received"].endswith("+00:00")
    assert found["free_gb"] > 0


def test_status_is_not_well_when_something_waits_for_a_person(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quarantined: None
) -> None:
    """Exit code 1 with and without JSON."""
    assert run(monkeypatch, "status") == 1
    assert "jobs quarantined" in capsys.readouterr().out
    assert document(monkeypatch, capsys, "status")["well"] is False


def test_a_refused_series_leaves_the_node_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refused: None
) -> None:
    """Not every CT has a lesion: exit code 0."""
    assert run(monkeypatch, "status") == 0
    capsys.readouterr()
    assert document(monkeypatch, capsys, "status")["well"] is True


def test_jobs_are_listed_and_filtered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refused: None
) -> None:
    """Each with its reason as code and sentence; no match is an empty list."""
    (job,) = document(monkeypatch, capsys, "jobs")
    assert (job["job"], job["state"], job["patient_id"]) == (JOB, "not-analysed", "PAT-1")
    assert (job["reason"], job["reason_text"]) == ("ROI_NOT_FOUND", ReasonCode.ROI_NOT_FOUND.sentence)
    assert document(monkeypatch, capsys, "jobs", "--state", "not-analysed", "--patient", "PAT-1") == [job]
    assert document(monkeypatch, capsys, "jobs", "--state", "done") == []
    assert document(monkeypatch, capsys, "jobs", "--patient", "PAT-2") == []
    assert document(monkeypatch, capsys, "jobs", "--since", "2020-01-01") == [job]
    assert document(monkeypatch, capsys, "jobs", "--since", "2999-01-01") == []
    assert run(monkeypatch, "jobs") == 0
    assert JOB in capsys.readouterr().out


def test_a_job_is_shown_with_steps_and_objects(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], analysed: None
) -> None:
    """Each step with its time, each object with its numbers and where it is."""
    found = document(monkeypatch, capsys, "show", JOB)
    assert [step["step"] for step in found["steps"]] == ["triage", "compose"]
    assert found["steps"][0]["seconds"] == 0.5
    assert [made["kind"] for made in found["objects"]] == ["summary", "structured_report"]
    assert found["objects"][0]["numbers"][1] == {"name": "volume", "value": 3.5, "unit": "mL"}
    (sent,) = found["objects"][0]["deliveries"]
    assert (sent["destination"], sent["state"], sent["detail"], sent["attempts"]) == ("main", "pending", "", 0)
    assert (sent["stored_at"], sent["committed_at"]) == (None, None)
    assert run(monkeypatch, "show", JOB) == 0
    assert "main: pending" in capsys.readouterr().out


def test_a_quarantined_job_is_shown_as_not_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quarantined: None
) -> None:
    """Exit code 1, and the document all the same."""
    assert run(monkeypatch, "show", JOB) == 1
    capsys.readouterr()
    assert document(monkeypatch, capsys, "show", JOB)["state"] == "quarantined"


def test_a_refused_job_is_retried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refused: None
) -> None:
    """It is queued, and a second retry is wrong usage."""
    assert run(monkeypatch, "retry", JOB) == 0
    assert JOB in capsys.readouterr().out
    assert document(monkeypatch, capsys, "show", JOB)["state"] == "waiting"
    assert run(monkeypatch, "retry", JOB) == 2


def _refuse_deliveries(node: Path) -> None:
    with sqlite3.connect(node / "celadon.db") as connection:
        connection.execute("UPDATE outbox SET state = 'failed', detail = 'the peer does not support this SOP class'")


def test_what_was_not_delivered_is_seen_and_sent_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], node: Path, analysed: None
) -> None:
    """In the status, beside its job, and with its job; one object, one destination, or everything is retried."""
    _refuse_deliveries(node)
    assert run(monkeypatch, "status") == 1
    assert "the peer does not support this SOP class" in capsys.readouterr().out
    (waiting,) = document(monkeypatch, capsys, "status")["attention"]
    assert (waiting["job"], waiting["destination"], waiting["objects"]) == (JOB, "main", 2)
    assert document(monkeypatch, capsys, "jobs")[0]["attention"] == ["main: 2 failed"]
    one = document(monkeypatch, capsys, "show", JOB)["objects"][0]
    assert one["deliveries"][0]["state"] == "failed"
    assert run(monkeypatch, "retry", JOB, "--object", one["sop_instance_uid"]) == 0
    assert "1 deliveries are queued again" in capsys.readouterr().out
    assert document(monkeypatch, capsys, "status")["attention"][0]["objects"] == 1
    assert run(monkeypatch, "retry", JOB, "--destination", "other") == 2
    capsys.readouterr()
    assert run(monkeypatch, "retry", "--failed") == 0
    capsys.readouterr()
    assert document(monkeypatch, capsys, "status")["well"] is True
    assert run(monkeypatch, "retry", "--failed") == 2
    assert run(monkeypatch, "retry") == 2


def _grow_old(node: Path) -> None:
    past = "2020-01-01 00:00:00.000000"
    with sqlite3.connect(node / "celadon.db") as connection:
        connection.execute("UPDATE series SET last_received_at = ?", (past,))
        connection.execute("UPDATE jobs SET created_at = ?, finished_at = ?", (past, past))
    for path in (node / "blobs").rglob("*"):
        os.utime(path, (0, 0))


def test_old_series_are_pruned_by_hand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], node: Path, refused: None
) -> None:
    """First rehearsed, then done; afterwards the status says how much there was."""
    monkeypatch.setenv("CELADON_RETENTION__DAYS", "30")
    assert document(monkeypatch, capsys, "prune")["pruned"]["series"] == 0
    _grow_old(node)
    rehearsed = document(monkeypatch, capsys, "prune", "--dry-run")
    assert document(monkeypatch, capsys, "status")["pruned"]["objects"] == 0
    done = document(monkeypatch, capsys, "prune")
    assert (rehearsed["dry_run"], done["dry_run"], done["days"]) == (True, False, 30)
    assert rehearsed["pruned"] == done["pruned"]
    assert (done["pruned"]["series"], done["pruned"]["objects"]) == (1, 3)
    assert done["pruned"]["size_bytes"] > 0
    assert document(monkeypatch, capsys, "status")["pruned"]["objects"] == 3
    assert run(monkeypatch, "prune") == 0
    assert run(monkeypatch, "status") == 0
    assert "pruned images and contours" in capsys.readouterr().out


def test_nothing_is_pruned_unless_it_is_said_after_how_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], node: Path, refused: None
) -> None:
    """Without the setting the command is wrong usage, and removes nothing."""
    _grow_old(node)
    assert run(monkeypatch, "prune") == 2
    assert "retention.days is not set" in capsys.readouterr().err
    assert document(monkeypatch, capsys, "status")["pruned"] == {"objects": 0, "gb": 0.0}


def test_a_listener_that_starts_sweeps_up_what_a_killed_one_left(node: Path) -> None:
    """Half-written files and blobs without a row, once they are old."""
    digest = "ab" * 32
    folder = node / "blobs" / "ab"
    folder.mkdir(parents=True)
    left = [folder / digest, folder / f"{digest}.{'c' * 32}.part"]
    for path in left:
        path.write_bytes(b"pixels")
        os.utime(path, (0, 0))
    environment = os.environ | {"CELADON_DICOM__PORT": "0"}
    process = subprocess.Popen([sys.executable, "-m", "node", "listen"], env=environment | {"PYTHONPATH": str(ROOT)})
    try:
        wait_until(lambda: not any(path.exists() for path in left) or None, "the files are gone")
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_retract_says_in_one_line_what_cannot_be_withdrawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job that is not there is wrong usage, and so is a retraction without a reason."""
    assert run(monkeypatch, "retract", "nothing", "--reason", "wrong") == 2
    assert "there is no job nothing" in capsys.readouterr().err
    assert run(monkeypatch, "retract", "nothing") == 2


def train(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """``celadon train`` as a process: it becomes another program."""
    command = [sys.executable, "-m", "node", "train", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)


def test_training_is_asked_for_by_the_same_command(tmp_path: Path) -> None:
    """Options, help and exit codes are those of the training itself."""
    helped = train(tmp_path, "gtrnet", "--help")
    assert helped.returncode == 0
    assert "--network" in helped.stdout
    refused = train(tmp_path, "gtrnet", "--cohort", "none.csv", "--out", "x")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.strip().splitlines()[-1].startswith("celadon: --cohort: none.csv cannot be read")


def test_training_reads_a_settings_file_that_is_named(tmp_path: Path) -> None:
    """A wrong one is said, as by every command."""
    refused = train(tmp_path, "gtrnet", "--config", "none.toml", "--phantoms", "4", "--out", "x")
    assert refused.returncode == 2
    assert "none.toml" in refused.stderr
