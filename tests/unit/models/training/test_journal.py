"""What a training says while it runs."""

import json
from pathlib import Path

import pytest

from models.training.journal import HISTORY, Journal, RunLog

ENTRIES = [{"epoch": 1, "train_loss": 0.7}, {"epoch": 2, "train_loss": 0.5}]


def test_nothing_is_printed_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Not on either stream."""
    with Journal(quiet=True) as journal:
        journal.bar("a", 2)
        journal.step("a", "loss 0.5")
        journal.end("a")
        journal.say("done")
    assert capsys.readouterr() == ("", "")


def test_progress_is_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is for the document that --json promises."""
    with Journal() as journal:
        journal.say("trial 1 of 2")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "trial 1 of 2" in printed.err


def test_a_run_leaves_lines_and_event_files(tmp_path: Path) -> None:
    """One JSON object an epoch, and a file that TensorBoard and MLflow read."""
    log = RunLog(tmp_path, [])
    log.epoch(ENTRIES[:1])
    log.epoch(ENTRIES)
    log.close()
    lines = (tmp_path / HISTORY).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ENTRIES
    events = list((tmp_path / "tensorboard").iterdir())
    assert len(events) == 1
    content = events[0].read_bytes()
    assert content.count(b"train_loss") == 2


def test_what_a_killed_process_logged_beyond_its_checkpoint_is_gone(tmp_path: Path) -> None:
    """The history is that of the checkpoint."""
    RunLog(tmp_path, ENTRIES).close()
    RunLog(tmp_path, ENTRIES[:1]).close()
    assert len((tmp_path / HISTORY).read_text(encoding="utf-8").splitlines()) == 1
