"""A child of our own: what it answers, and how it ends when it does not."""

import sys
from pathlib import Path

import pytest

from models import child
from node.errors import BundleError


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of this test alone that does what its first option says."""
    (tmp_path / "told.py").write_text("import sys\nexec(sys.argv[1])\n")
    monkeypatch.setattr(child, "_ENVIRONMENT", child._ENVIRONMENT | {"PYTHONPATH": str(tmp_path)})
    return "told"


def test_the_answer_is_a_document(module: str) -> None:
    """One JSON object on standard output."""
    assert child.ask(module, ["print('{\"a\": 1}')"], within_s=60) == {"a": 1}


def test_nothing_of_the_environment_reaches_it(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database's password is none of its business; nor is what lies where the command was typed."""
    monkeypatch.setenv("CELADON_DATABASE_URL", "postgresql://me:secret@db/x")
    monkeypatch.setenv("HOME", "/nowhere")
    code = (
        "import json, os, sys; print(json.dumps({'names': sorted(os.environ), 'cwd': os.getcwd(), 'path': sys.path}))"
    )
    found = child.ask(module, [code], within_s=60)
    assert {"CELADON_DATABASE_URL", "HOME", "PATH"}.isdisjoint(found["names"])
    assert found["cwd"] == "/"
    assert not {"", "/"} & set(found["path"])


def test_its_fault_is_raised_here(module: str) -> None:
    """With the same code; a code that nobody knows is a failure of its own."""
    told = 'print(\'{"fault": "CHECKPOINT_VALUES", "detail": "x"}\'); sys.exit(1)'
    with pytest.raises(BundleError, match="CHECKPOINT_VALUES: x"):
        child.ask(module, [told], within_s=60)
    with pytest.raises(child.Ended, match="exit code 1"):
        child.ask(module, [told.replace("VALUES", "OTHER")], within_s=60)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
        ("x = 1 / 0", "exit code 1, 'ZeroDivisionError'"),
        ("sys.exit(3)", "exit code 3"),
        ("print('[]')", "exit code 0"),
        ("print('words')", "exit code 0"),
        ("pass", "exit code 0"),
    ],
)
def test_an_end_without_an_answer_is_said(module: str, code: str, words: str) -> None:
    """How it ended, and no more of its output than the kind of error."""
    with pytest.raises(child.Ended, match=words):
        child.ask(module, [code], within_s=60)


def test_one_that_takes_too_long_is_ended(module: str) -> None:
    """It does not outlive the question."""
    with pytest.raises(child.Ended, match=r"more than 0\.5 s"):
        child.ask(module, ["import time; time.sleep(60)"], within_s=0.5)
    assert sys.executable
