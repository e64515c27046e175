"""The log: JSON lines on stderr that no patient's data can reach."""

import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from node import log

LIBRARIES = ("pydicom", "pynetdicom", "highdicom", "alembic", "py.warnings")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Afterwards this process logs and warns as it did before."""
    shown = warnings.showwarning
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    yield
    logging.captureWarnings(capture=False)
    warnings.showwarning = shown
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines of the log, on stderr alone."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.split("\n")[:-1]]


def test_an_event_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, with level, moment in UTC and role."""
    log.configure("tester")
    log.get().info(log.INSTANCE_STORED, instance_uid="1.2.3", seconds=0.5)
    (line,) = written(capsys)
    moment = line.pop("timestamp")
    assert moment.endswith("Z")
    assert line == {
        "event": "instance stored", "level": "info", "role": "tester", "instance_uid": "1.2.3", "seconds": 0.5,
    }  # fmt: skip


def test_a_field_that_is_not_allowed_never_reaches_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """It is left out and counted, so that the mistake is seen; what else the event says stays."""
    log.configure("tester")
    log.get().error(log.STORE_FAILED, patient_name="Made^Up", dataset="Made^Up", detail="why", count=7)
    (line,) = written(capsys)
    assert "Made^Up" not in json.dumps(line)
    assert (line["dropped"], line["detail"], line["count"]) == (2, "why", 7)


def test_bound_fields_are_held_to_the_same_list(capsys: pytest.CaptureFixture[str]) -> None:
    """Context does not go round it."""
    log.configure("tester")
    with structlog.contextvars.bound_contextvars(patient_id="PAT-1", job_id="abc"):
        log.get().info(log.STEP_DONE)
    (line,) = written(capsys)
    assert (line["job_id"], line["dropped"]) == ("abc", 1)
    assert "PAT-1" not in json.dumps(line)


def test_a_line_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk or a closed stream costs the line, not the work that it tells of."""
    full = Path("/dev/full").open("w")  # noqa: SIM115 — closing it fails as well
    monkeypatch.setattr("sys.stderr", full)
    log.configure("tester")
    log.get().warning(log.POLL_FAILED)
    with pytest.raises(OSError, match="No space left"):
        full.close()
    log.get().warning(log.POLL_FAILED)


def test_a_line_stays_a_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Line breaks, control characters and lone surrogates are escaped."""
    log.configure("tester")
    log.get().info(log.STEP_DONE, detail='a\nb\r\x1b[31m"\udcff\u2028')
    (line,) = written(capsys)
    assert line["detail"] == 'a\nb\r\x1b[31m"\udcff\u2028'


def test_a_traceback_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception's text may quote what it stumbled over."""
    log.configure("tester")
    try:
        int("Made^Up")
    except ValueError:
        log.get().exception(log.STORE_FAILED)
    (line,) = written(capsys)
    assert "Made^Up" not in json.dumps(line)


@pytest.mark.parametrize("library", ["pydicom", "pynetdicom.acse", "highdicom"])
def test_libraries_that_log_values_are_silent(capsys: pytest.CaptureFixture[str], library: str) -> None:
    """What they say may quote a data set."""
    log.configure("tester")
    logging.getLogger(library).error("invalid value: Made^Up")
    assert written(capsys) == []


def test_warnings_that_quote_values_are_silent() -> None:
    """Pydicom warns of a malformed value by showing it: not on a node's stderr."""
    code = (
        "from node import log; log.configure('tester'); from pydicom import Dataset; import warnings; "
        "Dataset().PatientAge = 'Made^Up'; warnings.warn('Made^Up')"
    )
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_what_is_below_the_level_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """The level is that of the process."""
    log.configure("tester", level=logging.WARNING)
    log.get().info(log.STEP_DONE)
    log.get().warning(log.LEASE_LOST)
    assert [line["event"] for line in written(capsys)] == [log.LEASE_LOST]
