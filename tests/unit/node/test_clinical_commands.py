"""The ``celadon clinical`` commands: entered, imported, shown, decided about, exported."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.settings import Settings
from node.store.session import Database
from node.stores import Stores
from tests import celadon_command
from tests.factories import PATIENT, ct_slice, ct_slices, received

HEADER = "patient_id,variable,value,unit,observed_at,birth_date\n"
GOOD = HEADER + "4711,ca19_9,37,U/mL,2024-05-05,\n4711,cea,<0.6,ng/mL,2024-05-05,\n"


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory of a node of this test alone, with a database that is up to date."""
    data = tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELADON_DATA_DIR", str(data))
    monkeypatch.setenv("COLUMNS", "250")
    Database(f"sqlite:///{data / 'celadon.db'}").upgrade()
    return data


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run ``celadon clinical`` with these words; gives its exit code."""
    return celadon_command.run(monkeypatch, "clinical", *words)


def values(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], patient: str = "4711") -> list[Any]:
    """What ``show --json`` says of a patient."""
    capsys.readouterr()
    run(monkeypatch, "show", patient, "--json")
    found: list[Any] = json.loads(capsys.readouterr().out)["values"]
    return found


def test_a_file_is_imported_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is held is named with its line; the file comes in once."""
    (tmp_path / "labs.csv").write_text(GOOD)
    assert run(monkeypatch, "import", "labs.csv") == 0
    printed = capsys.readouterr().out
    assert "labs.csv:3: cea held: CENSORED" in printed
    assert "2 values imported" in printed
    assert run(monkeypatch, "import", "labs.csv") == 0
    assert "imported before" in capsys.readouterr().out
    found = values(monkeypatch, capsys)
    assert [(one["variable"], one["value"], one["state"], one["source_id"]) for one in found] == [
        ("ca19_9", 37.0, "usable", "labs.csv:2"),
        ("cea", None, "held", "labs.csv:3"),
    ]


def test_a_rehearsal_imports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what would be."""
    (tmp_path / "labs.csv").write_text(GOOD)
    assert run(monkeypatch, "import", "labs.csv", "--dry-run") == 0
    assert "2 values would be" in capsys.readouterr().out
    assert values(monkeypatch, capsys) == []


def test_a_file_with_an_error_is_imported_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each error with its line, exit code 1."""
    (tmp_path / "labs.csv").write_text(GOOD + "4711,nonsense,1,U/mL,2024-05-05,\n4711,cea,1,ng/mL,yesterday,\n")
    assert run(monkeypatch, "import", "labs.csv") == 1
    printed = capsys.readouterr().out
    assert "labs.csv:4: variable" in printed
    assert "labs.csv:5: observed_at" in printed
    assert values(monkeypatch, capsys) == []


def test_a_file_that_is_not_there_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2."""
    assert run(monkeypatch, "import", "nowhere.csv") == 2
    assert capsys.readouterr().err == "celadon: nowhere.csv: No such file or directory\n"


def test_a_person_enters_a_value(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Converted, and with their name."""
    words = ("enter", "4711", "haemoglobin", "13.5", "--unit", "g/dL", "--by", "Dr Roe", "--observed", "2024-05-05")
    assert run(monkeypatch, *words) == 0
    assert "haemoglobin: 135.0 g/L" in capsys.readouterr().out
    (found,) = values(monkeypatch, capsys)
    assert (found["value"], found["sent_value"], found["sent_unit"], found["by"]) == (135.0, "13.5", "g/dL", "Dr Roe")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("4711", "haemoglobin", "13.5", "--by", "x"), "no unit"),
        (("4711", "nonsense", "13.5", "--by", "x"), "no clinical variable"),
    ],
)
def test_what_cannot_be_used_is_wrong_usage(
    words: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that says why, exit code 2."""
    assert run(monkeypatch, "enter", *words) == 2
    assert message in capsys.readouterr().err


def test_a_person_decides_about_a_held_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While something waits for a person, showing the patient is exit code 1."""
    (tmp_path / "labs.csv").write_text(HEADER + "4711,ca19_9,99999999,U/mL,2024-05-05,\n")
    run(monkeypatch, "import", "labs.csv")
    assert run(monkeypatch, "show", "4711") == 1
    (found,) = values(monkeypatch, capsys)
    assert run(monkeypatch, "accept", str(found["id"]), "--by", "Dr Roe") == 0
    assert run(monkeypatch, "show", "4711") == 0
    (found,) = values(monkeypatch, capsys)
    assert (found["state"], found["by"]) == ("usable", "Dr Roe")
    assert run(monkeypatch, "reject", str(found["id"]), "--by", "Dr Roe") == 0
    assert values(monkeypatch, capsys)[0]["state"] == "refused"


def test_an_export_names_nobody_and_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Values under keyed pseudonyms."""
    (tmp_path / "labs.csv").write_text(GOOD)
    (tmp_path / "key").write_bytes(b"k" * 32)
    run(monkeypatch, "import", "labs.csv")
    assert run(monkeypatch, "export", "out.csv", "--key-file", "key") == 0
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert len(lines) == 2
    assert "4711" not in lines[1]
    assert run(monkeypatch, "export", "out.csv", "--key-file", "key") == 2
    assert "File exists" in capsys.readouterr().err


def test_an_export_with_images_holds_them_under_the_same_names(
    node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One folder a patient, by pseudonym; what may not leave is counted with its reason, and the key stays apart."""
    (tmp_path / "key").write_bytes(b"k" * 32)
    stores = Stores.open(Settings())
    for image in (*ct_slices(3), ct_slice(7, series="2.25.88", ImageType=["DERIVED", "SECONDARY"])):
        stores.inbox.accept(received(image))
    run(
        monkeypatch,
        "enter",
        PATIENT.patient_id,
        "cea",
        "4.2",
        "--unit",
        "ng/mL",
        "--by",
        "Dr Roe",
        "--issuer",
        "HOSPITAL",
    )
    assert run(monkeypatch, "export", "out.csv", "--key-file", "key", "--images", "images") == 1
    printed = capsys.readouterr().out
    assert "3 images written" in printed
    assert "1 images kept back: NOT_ORIGINAL_CT" in printed
    files = sorted((tmp_path / "images").rglob("*.dcm"))
    (row,) = csv.DictReader((tmp_path / "out.csv").open())
    assert {dcmread(file).PatientID for file in files} == {row["pseudonym"]}
    assert not any(PATIENT.name.encode() in file.read_bytes() for file in files)
    (tmp_path / "images" / "key").write_bytes(b"k" * 32)
    assert run(monkeypatch, "export", "two.csv", "--key-file", "images/key", "--images", "images") == 2
    assert "must not lie" in capsys.readouterr().err


def test_text_from_outside_cannot_draw_on_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither escapes nor markup of what was sent are obeyed."""
    (tmp_path / "labs.csv").write_text(HEADER + "4711,ca19_9,\x1b[2J[bold]x[/bold],U/mL,2024-05-05,\n")
    run(monkeypatch, "import", "labs.csv")
    capsys.readouterr()
    run(monkeypatch, "show", "4711")
    printed = capsys.readouterr().out
    assert "\x1b[2J" not in printed
    assert "[bold]x[/bold]" in printed


def test_what_waits_for_a_person_is_listed_over_all_patients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the number of the patient and of the value, for celadon clinical accept or reject."""
    assert run(monkeypatch, "held") == 0
    (tmp_path / "labs.csv").write_text(GOOD + "4712,wbc,6.1,,2024-05-05,\n")
    run(monkeypatch, "import", "labs.csv")
    capsys.readouterr()
    assert run(monkeypatch, "held", "--json") == 1
    found = json.loads(capsys.readouterr().out)["values"]
    assert [(one["patient_id"], one["variable"], one["reason"]) for one in found] == [
        ("4711", "cea", "CENSORED"),
        ("4712", "wbc", "UNIT_MISSING"),
    ]
    run(monkeypatch, "held")
    assert "4712" in capsys.readouterr().out


def test_a_large_file_comes_in_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In parts that leave room for others; a second time it is known."""
    rows = "".join(f"P{number % 300},wbc,{1 + number % 9},10*9/L,2024-05-05,\n" for number in range(1203))
    (tmp_path / "labs.csv").write_text(HEADER + rows)
    assert run(monkeypatch, "import", "labs.csv") == 0
    assert "1203 values imported" in capsys.readouterr().out
    run(monkeypatch, "import", "labs.csv")
    assert "imported before" in capsys.readouterr().out
