"""The commands of a fleet: doctor, and whose work a machine does."""

import json
import os
from pathlib import Path

import pytest

from node.settings import Settings
from node.store.session import Database
from tests.celadon_command import run


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder without a database, on a machine without GPUs."""
    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("CELADON_DATA_DIR", str(tmp_path)),
        ("CELADON_DICOM__MIN_FREE_GB", "0.001"),
        ("CUDA_VISIBLE_DEVICES", ""),
    ):
        monkeypatch.setenv(name, value)
    return tmp_path


def test_the_doctor_says_what_is_wrong_and_with_which_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    """1 while the database has no schema, 0 when it has; one document for programs."""
    assert run(monkeypatch, "doctor", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["checks"][0] | {"detail": ""} == {
        "name": "database", "verdict": "fail", "detail": "", "mend": "celadon db upgrade",
    }  # fmt: skip
    Database(Settings().url).upgrade()
    assert run(monkeypatch, "doctor", "--json") == 0
    assert json.loads(capsys.readouterr().out)["well"]


@pytest.mark.parametrize(("words", "queue"), [((), "all"), (("--queue", "gpu"), "gpu")])
def test_a_machine_does_the_work_of_its_queue(
    monkeypatch: pytest.MonkeyPatch, data: Path, words: tuple[str, ...], queue: str
) -> None:
    """The supervisor is told which."""
    became: list[list[str]] = []

    def become(_program: str, arguments: list[str]) -> None:
        became.append(arguments)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", become)
    assert run(monkeypatch, "work", *words) == 0
    assert became[0][1:] == ["-m", "node.supervisor", "work", "--queue", queue]


def test_a_queue_that_does_not_exist_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    """The message names those that do."""
    assert run(monkeypatch, "work", "--queue", "tpu") == 2
    assert "gpu" in capsys.readouterr().err
