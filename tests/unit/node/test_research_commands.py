"""``celadon biomarker``, ``readers`` and ``sample-size``: from files to files, or one line that says why not."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from node.__main__ import app
from node.errors import UsageError

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "gtrnet"
published = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"GTRNet's published files are not in {FOLDER}")
GENES = "HUGO symbols\tCell population\nCEACAM3\tNeutrophils\nFCGR3B\tNeutrophils\nCD3D\tT cells\nMS4A1\tB lineage\n"


def run(*words: str | Path) -> Any:
    """What a command prints as JSON; a UsageError is the caller's to see."""
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def rows(file: Path) -> list[dict[str, str]]:
    """A CSV file's."""
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_expression_becomes_scores_and_a_ratio(tmp_path: Path) -> None:
    """log2(x + 1) of the mean of each population's genes; a population without genes here is told."""
    (tmp_path / "genes.txt").write_text(GENES, encoding="utf-8")
    (tmp_path / "tpm.csv").write_text("gene,s1,s2\nCEACAM3,7,0\nFCGR3B,7,0\nCD3D,1,0\n", encoding="utf-8")
    out = tmp_path / "out" / "ntr.csv"
    said = run("biomarker", "expression", tmp_path / "tpm.csv", "--signatures", tmp_path / "genes.txt", "--out", out)
    assert said["not_scored"] == ["B lineage"]
    assert (said["samples"], said["high"], said["without_ratio"]) == (2, 1, 1)
    first, second = rows(out)
    assert float(first["ntr"]) == pytest.approx(3.0)
    assert (first["high"], first["score_Neutrophils"], first["score_T cells"]) == ("1", "7.0", "1.0")
    assert (second["ntr"], second["high"], second["note"]) == ("", "", "no T cell: the ratio has no value")


def test_counts_become_a_ratio(tmp_path: Path) -> None:
    """Means over the fields; fewer fields than the paper's are told."""
    lines = [f"a,{field},{2 * field},10" for field in range(1, 6)] + ["b,1,1,4"]
    (tmp_path / "fields.csv").write_text("case,field,neutrophils,t_cells\n" + "\n".join(lines), encoding="utf-8")
    said = run("biomarker", "counts", tmp_path / "fields.csv", "--out", tmp_path / "ntr.csv")
    assert said["doubtful"] == {"b": "1 fields counted, not 5"}
    assert [(row["case"], float(row["ntr"]), row["high"]) for row in rows(tmp_path / "ntr.csv")] == [
        ("a", 0.6, "1"),
        ("b", 0.25, "0"),
    ]


def survivors(folder: Path, cases: int = 120) -> Path:
    """Patients whose hazard rises with their marker from 0.6 on."""
    generator = np.random.default_rng(5)
    lines = ["case,ntr,age,os_months,os_event"]
    for number in range(cases):
        ntr = generator.uniform(0, 1.2)
        months, end = generator.exponential(40 if ntr <= 0.6 else 10), generator.uniform(20, 60)
        event = int(months <= end)
        lines.append(f"c{number},{ntr:.4f},{50 + number % 30},{min(months, end):.3f},{event}")
    lines.append("unknown,,60,12,1")
    file = folder / "survivors.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_a_markers_study_finds_its_cut_and_says_what_it_is_worth(tmp_path: Path) -> None:
    """The cut near the truth, with a warning; Cox alone and adjusted; early deaths and unknown markers left out."""
    words = ("biomarker", "survival", survivors(tmp_path), "--covariate", "age", "--draws", "100")
    found = run(*words, "--out", tmp_path / "out")["study"]
    assert 0.5 < found["cut"] < 0.7
    assert found["chosen_here"]["p"] < 0.01
    assert found["log_rank"]["note"]
    assert [term["name"] for term in found["adjusted"]["terms"]] == ["marker", "age"]
    assert found["cases"] + found["left_out"] == 121
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["marker.html", "marker.json", "marker.pdf"]
    assert "looked for in these cases" in (tmp_path / "out" / "marker.html").read_text(encoding="utf-8")


def test_a_cut_from_elsewhere_is_applied_as_it_is(tmp_path: Path) -> None:
    """And its log-rank test is valid."""
    found = run("biomarker", "survival", survivors(tmp_path), "--cut", "0.57", "--out", tmp_path / "out")["study"]
    assert (found["cut"], found["chosen_here"], found["log_rank"]["note"]) == (0.57, None, "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("case,ntr,os_months,os_event\na,x,1,1\n", "line 2: column ntr: 'x' is not a number"),
        ("case,ntr,os_months,os_event\na,1,1,2\n", "line 2: column os_event: '2' is neither 0 nor 1"),
        ("case,ntr,os_months\na,1,1\n", "no column 'os_event'"),
        ("case,ntr,os_months,os_event\na,1,1,1\na,1,1,1\n", "line 2: column case: 'a' is no name, or stands twice"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, why: str) -> None:
    """With line and column."""
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=why):
        run("biomarker", "survival", tmp_path / "x.csv")


def test_a_reader_study_from_its_plan_to_its_report(tmp_path: Path) -> None:
    """Readers who are right with help and wrong without it gain what they gain, and faster."""
    labels = tmp_path / "labels.csv"
    truth = {f"c{number}": ("T1", "T2", "T3")[number % 3] for number in range(18)}
    labels.write_text("case,label\n" + "".join(f"{case},{one}\n" for case, one in truth.items()), encoding="utf-8")
    said = run(
        "readers", "plan", labels, "--reader", "Ada", "--reader", "Bo", "--out", tmp_path / "study", "--seed", "4"
    )
    assert (said["readings"], said["sessions"]) == (72, 2)
    key = {row["code"]: row for row in rows(tmp_path / "study" / "key.csv")}
    for sheet in sorted((tmp_path / "study").glob("sheet-*.csv")):
        assert not any("c1" in row.values() or "Ada" in row.values() for row in rows(sheet))
        lines = ["code,session,position,assisted,called,seconds"]
        for row in rows(sheet):
            right, helped = truth[key[row["code"]]["case"]], row["assisted"] == "True"
            called = right if helped or int(row["position"]) % 2 else "T1"
            lines.append(
                ",".join(
                    (row["code"], row["session"], row["position"], row["assisted"], called, "20" if helped else "45")
                )
            )
        sheet.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = run(
        "readers", "evaluate", tmp_path / "study", "--labels", labels, "--classes", "T1,T2,T3", "--draws", "200",
        "--out", tmp_path / "out",
    )["study"]  # fmt: skip
    together = found["all_readers"]
    assert together["assisted"]["accuracy"]["value"] == 1.0
    assert together["unassisted"]["accuracy"]["value"] < 0.8
    assert together["accuracy_gain"]["value"] == pytest.approx(1 - together["unassisted"]["accuracy"]["value"])
    assert together["seconds_gain"]["value"] == -25
    assert [name for name, _ in together["unassisted"]["sensitivity"]] == ["T1", "T2", "T3"]
    assert (tmp_path / "out" / "readers.html").is_file()


def test_a_plan_is_not_written_over(tmp_path: Path) -> None:
    """A key that is lost is a study that is lost."""
    labels = tmp_path / "labels.csv"
    labels.write_text("case,label\na,x\nb,y\n", encoding="utf-8")
    run("readers", "plan", labels, "--reader", "Ada", "--out", tmp_path / "study")
    with pytest.raises(UsageError, match="already"):
        run("readers", "plan", labels, "--reader", "Ada", "--out", tmp_path / "study")


@pytest.mark.parametrize(
    ("words", "cases"),
    [
        (("auc", "0.85", "--prevalence", "0.4"), 269),
        (("auc-difference", "0.8", "0.86"), 373),
        (("survival", "1.8"), 182),
        (("calibration",), 386),
    ],
)
def test_a_studys_size(words: tuple[str, ...], cases: int) -> None:
    """As the formula of the literature that it names gives it."""
    found = run("sample-size", *words)
    assert found["cases"] == cases
    assert found["formula"]


def test_more_certainty_needs_more_cases() -> None:
    """Of a sensitivity and a specificity alike."""
    for what in ("sensitivity", "specificity"):
        wide, narrow = (run("sample-size", what, "0.9", "--width", width)["cases"] for width in ("0.2", "0.1"))
        assert narrow > 2 * wide


def test_a_share_that_is_none_is_refused() -> None:
    """In one line."""
    with pytest.raises(UsageError, match=r"expected must lie between 0 and 1, not 1\.4"):
        run("sample-size", "auc", "1.4")


@published
def test_what_gtrnets_authors_published_is_measured_as_anything_else(tmp_path: Path) -> None:
    """Accuracy and area of the files, the patients that are in both sets, and the nomogram's refit with its limits."""
    found = run("published", "gtrnet", FOLDER, "--draws", "100", "--out", tmp_path / "out")
    figures = {part["name"]: part["variants"][0]["figures"] for part in found["analysis"]["sets"]}
    said = {
        name: (round(one["accuracy"]["value"], 3), round(one["macro_auc"]["value"], 3)) for name, one in figures.items()
    }
    assert said == {"training": (0.946, 0.993), "internal": (0.925, 0.995)}
    assert found["analysis"]["shared_patients"] == [["training", "internal", 177]]
    refit = json.loads((tmp_path / "out" / "nomogram.json").read_text(encoding="utf-8"))
    assert "Rad-score file is empty" in refit["limits"]
    terms = {term["name"]: term["coefficient"] for term in refit["refit"]["terms"]}
    assert terms["Lauren_diffuse"] < 0 < terms["large"]
