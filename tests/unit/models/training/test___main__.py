"""``celadon train``: what it understands, refuses and prints."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.training.__main__ import main
from tests.unit.models.training.conftest import Trained

ROOT = Path(__file__).parents[4]


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code and what was printed."""
    try:
        code = main(words)
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("porcelain", "--out", "x"), "give either --cohort or --phantoms"),
        (("porcelain", "--out", "x", "--phantoms", "4", "--cohort", "y"), "give either --cohort or --phantoms"),
        (("porcelain", "--out", "x", "--cohort", "none.csv"), "none.csv cannot be read: No such file"),
        (("porcelain", "--out", "x", "--phantoms", "4", "--set", "depth=3"), "--set depth=3"),
        (("porcelain", "--out", "x", "--phantoms", "4", "--search-space", "s.json"), "--search-space needs --search"),
        (("porcelain", "--out", "x", "--phantoms", "4", "--single", "--search", "grid"), "leave out --single"),
        (("gtrnet", "--out", "x", "--phantoms", "4", "--network", "plain", "--embed"), "--embed puts a small network"),
        (("gtrnet", "--out", "x", "--phantoms", "0"), "--phantoms 0"),
        (("gtrnet", "--out", "x", "--phantoms", "-1"), "-1 is below zero"),
        (("gtrnet", "--out", "x", "--phantoms", "4", "--threads", "0"), "0 is below one"),
        (("nomogram", "--out", "x"), "invalid choice"),
    ],
)
def test_wrong_usage_is_one_line_and_two(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    says: str,
) -> None:
    """Exit code 2, nothing on standard output, nothing trained."""
    monkeypatch.chdir(tmp_path)
    code, out, err = said(capsys, *words)
    assert code == 2
    assert out == ""
    assert says in err
    assert not (tmp_path / "x" / "folds").exists()


def test_help_names_every_task(capsys: pytest.CaptureFixture[str]) -> None:
    """And needs no model library."""
    code, out, _ = said(capsys, "--help")
    assert code == 0
    assert "porcelain" in out
    assert "gtrnet" in out


def test_help_loads_no_torch() -> None:
    """Seconds before an answer would be too many."""
    command = [sys.executable, "-X", "importtime", "-m", "models.training", "porcelain", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "torch" not in {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}


@pytest.fixture
def described(porcelain_training: Trained) -> Iterator[Path]:
    """What a finished folder says of its training; other tests find it as it was."""
    file = porcelain_training.wish.out / "training.json"
    before = file.read_text(encoding="utf-8")
    yield file
    file.write_text(before, encoding="utf-8")


def test_it_prints_a_table_or_a_document(
    porcelain_training: Trained, described: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a finished folder the same command prints what was found; with --json the summary and nothing else."""
    wish = porcelain_training.wish
    words = ["porcelain", "--cohort", str(wish.cohort), "--out", str(wish.out), "--seed", "4", "--rough", "1"]
    words += ["--folds", "2", "--single", "--no-trial", "--threads", "1", "--device", "cpu"]
    for setting in wish.settings:
        words += ["--set", setting]
    # The options that nobody gave are not part of what was asked for; these two have defaults.
    words_of = json.loads(described.read_text(encoding="utf-8"))
    words_of["options"] |= {"variant": "multimodal-roi", "window": "paper"}
    described.write_text(json.dumps(words_of), encoding="utf-8")
    code, out, _ = said(capsys, *words, "--json")
    assert code == 0
    assert json.loads(out) == porcelain_training.summary
    code, out, _ = said(capsys, *words)
    assert code == 0
    assert "not validated: for research only" in out
    assert porcelain_training.summary["digest"] in out
