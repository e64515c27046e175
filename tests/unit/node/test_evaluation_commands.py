"""``celadon evaluate``: from two files to a report, or one line that says what is wrong."""

import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.bundle_store import Library
from node.__main__ import app
from node.errors import UsageError
from node.evaluation_commands import write_rows
from tests.unit.models.evaluation.cohorts import write_narrow_cohort


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A small cohort in the working directory, without settings of anybody's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELADON_DATA_DIR", str(tmp_path / "data"))
    return write_narrow_cohort(tmp_path)


def run(*words: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr; a UsageError is the caller's to see."""
    done = CliRunner().invoke(app, ["evaluate", *map(str, words)])
    if isinstance(done.exception, UsageError):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_a_report_is_written_and_the_json_is_alone_on_stdout(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Three files; progress goes to stderr; a second run replaces them."""
    words = ("--predictions", files[0], "--labels", files[1], "--draws", "100", "--out", tmp_path / "r", "--json")
    code, out, err = run(*words)
    found = json.loads(out)
    assert code == 0
    assert found == json.loads((tmp_path / "r" / "report.json").read_text(encoding="utf-8"))
    assert (tmp_path / "r" / "report.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "r" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "external: A" in err
    assert [one[0] for one in found["provenance"]["inputs"]] == ["predictions.csv", "labels.csv"]
    assert sorted(file.name for file in (tmp_path / "r").iterdir()) == ["report.html", "report.json", "report.pdf"]
    assert run(*words[:-1])[1].count("report.") == 3


def test_predictions_of_another_bundle_are_not_given_its_card(files: tuple[Path, Path]) -> None:
    """The digest that the predictions carry is not that of the bundle named."""
    with pytest.raises(UsageError, match="the predictions are of the bundle abab"):
        run("--predictions", files[0], "--labels", files[1], "--bundle", "gtrnet")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "2026-01-01"), "--since belongs to --from-node"),
        (("--until", "2026-01-01"), "--until belongs to --from-node"),
        (("--outcomes", "o.csv", "--since", "2026-01-01"), "--since and --outcomes belong to --from-node"),
        (("--predictor", "gtrnet"), "--predictor belongs to --from-node"),
    ],
)
def test_what_chooses_recorded_results_is_not_passed_over(
    files: tuple[Path, Path], words: tuple[str, ...], said: str
) -> None:
    """A report of a period is not one of everything; nor is a missing source the first thing to be said."""
    for source in (("--predictions", files[0]), ("--cohort", files[0], "--bundle", "gtrnet"), ()):
        with pytest.raises(UsageError, match=said):
            run(*source, *words)


def test_the_bundles_card_joins_the_report(files: tuple[Path, Path], tmp_path: Path) -> None:
    """With its digest and its disclaimer, when the predictions are its own or do not say."""
    digest = Library(tmp_path / "data" / "models").entry("gtrnet").open().digest
    for file in files[:1]:
        text = file.read_text(encoding="utf-8").replace("ab" * 32, digest)
        file.write_text(text, encoding="utf-8")
    words = ("--predictions", files[0], "--labels", files[1], "--bundle", "gtrnet", "--draws", "100", "--json")
    found = json.loads(run(*words)[1])["provenance"]
    assert (found["bundle"], found["digest"]) == ("gtrnet", digest)
    assert found["model_card"].startswith("# GTRNet")
    assert found["disclaimer"]


def test_what_is_wrong_is_said_before_anything_is_computed(files: tuple[Path, Path], tmp_path: Path) -> None:
    """With file and line; nothing is written."""
    files[0].write_text("case,p_a,p_b,label\nx,1,2,a\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"predictions\.csv: line 2: column p_b"):
        run("--predictions", files[0], "--out", tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_without_its_libraries_it_says_what_to_install(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A serving node does without them."""
    for name in ("models.evaluation.analysis", "models.evaluation.survival"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "lifelines", None)
    with pytest.raises(UsageError, match=r"pip install 'celadon\[models,evaluation\]'"):
        run("--predictions", files[0], "--labels", files[1])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "one of --predictions, --cohort and --from-node"),
        (("--predictions", "p.csv", "--from-node"), "one of --predictions, --cohort and --from-node"),
        (("--cohort", "c"), "--cohort needs --bundle"),
        (("--cohort", "c", "--bundle", "gtrnet", "--regions", "all"), "--regions all: choose masks or segmenter"),
        (("--from-node", "--labels", "l.csv"), "--labels belongs to --predictions"),
    ],
)
def test_one_source_of_predictions_is_named(files: tuple[Path, Path], words: tuple[str, ...], why: str) -> None:
    """With what it needs."""
    with pytest.raises(UsageError, match=why):
        run(*words)


def test_images_are_analysed_by_the_workers(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The process becomes theirs, with everything that was asked, one word an option."""
    became: list[list[str]] = []

    def become(_program: str, words: list[str]) -> None:
        became.append(words)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", become)
    run("--cohort", "c", "--bundle", "gtrnet", "--title", "- odd -", "--draws", "200", "--seed", "3", "--json")
    (words,) = became
    assert words[:3] == [sys.executable, "-m", "workers.evaluation"]
    assert set(words[3:]) == {
        "--cohort=c", "--bundle=gtrnet", "--out=celadon-evaluation", "--regions=masks", "--title=- odd -",
        "--draws=200", "--seed=3", "--json",
    }  # fmt: skip


def test_rows_are_written_with_every_column_or_said_to_be_impossible(tmp_path: Path) -> None:
    """Also when there are none; a folder that is a file is told, not a trace."""
    file = tmp_path / "new" / "rows.csv"
    write_rows(file, [{"case": "a"}, {"case": "b, c", "note": "x"}])
    assert file.read_bytes() == b'case,note\na,\n"b, c",x\n'
    write_rows(file, [])
    assert file.read_bytes() == b""
    with pytest.raises(UsageError, match="cannot be written"):
        write_rows(file / "below.csv", [{"case": "a"}])
