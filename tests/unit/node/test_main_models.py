"""``celadon models``: what is there, what is added, whether it is what it was; exit codes, documents, audit."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from models.bundle import Bundle, shipped
from models.bundle_store import Library
from node.domain.audit import AuditAction, AuditOutcome
from node.store.audit import AuditTrail
from node.store.session import Database
from tests import celadon_command
from tests.small_network import state

ROOT = Path(__file__).parents[3]
LEARNING = {"torch", "monai", "pytorch_tabnet", "sklearn", "safetensors"}


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory of a node of this test alone, with a database that is up to date."""
    data = tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELADON_DATA_DIR", str(data))
    monkeypatch.setenv("COLUMNS", "80")
    Database(f"sqlite:///{data / 'celadon.db'}").upgrade()
    return data


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A bundle to add: the shipped one under another card."""
    copy = Path(shutil.copytree(shipped("porcelain"), tmp_path / "bundle"))
    (copy / "docs" / "README.md").write_text("# The same network under another card\n", encoding="utf-8")
    return copy


@pytest.fixture
def added(source: Path, node: Path) -> str:
    """The digest of an added bundle ``site-b``."""
    return Library(node / "models").add(source, "site-b", trial=lambda _: None).digest


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run ``celadon models`` with these words; gives its exit code."""
    return celadon_command.run(monkeypatch, "models", *words)


def document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """The exit code and the one JSON document that a command prints."""
    code = run(monkeypatch, *words, "--json")
    printed = capsys.readouterr()
    assert printed.err == ""
    return code, json.loads(printed.out)


def audited(node: Path) -> list[tuple[AuditAction, AuditOutcome, dict[str, Any]]]:
    """What the audit trail says of model bundles."""
    trail = AuditTrail(Database(f"sqlite:///{node / 'celadon.db'}"))
    return [(event.action, event.outcome, event.details) for event in trail.events()]


def test_what_ships_is_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With what each is for, how far it may be trusted, and that it is in use."""
    code, found = document(monkeypatch, capsys, "list")
    assert (code, found["missing"]) == (0, {})
    assert [one["name"] for one in found["bundles"]] == ["porcelain", "gtrnet"]
    line = found["bundles"][1]
    assert (line["predictor"], line["anatomy"], line["origin"]) == ("gtrnet", "stomach", "shipped")
    assert (line["in_use_by"], line["problem"]) == (["gtrnet"], "")
    assert line["digest"] == Bundle.open(shipped("gtrnet")).digest
    assert line["status"] == "phantom"
    assert line["disclaimer"]
    assert run(monkeypatch, "list") == 0
    printed = capsys.readouterr().out
    assert line["digest"][:12] in printed
    assert max(len(row) for row in printed.splitlines()) <= 80


@pytest.mark.parametrize("command", ["list", "verify"])
def test_listing_and_verifying_load_no_model_library(command: str) -> None:
    """Nor a database's or an archive's: that is what makes them answer at once."""
    words = [sys.executable, "-X", "importtime", "-m", "node", "models", command]
    done = subprocess.run(words, env={"PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True)
    imported = {line.rsplit("|", 1)[-1].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "models" in imported
    assert imported.isdisjoint(LEARNING | {"sqlalchemy", "pydicom"})


def test_an_added_bundle_is_listed_and_not_yet_in_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: Path, node: Path
) -> None:
    """The command says the digest, what every result will say, and what to write to use it."""
    digest = Bundle.open(source).digest
    assert run(monkeypatch, "add", str(source), "--name", "site-b", "--sha256", digest) == 0
    said = capsys.readouterr().out
    assert f"sha256 {digest}" in said
    assert "every result will say: trained on phantoms, not on patients: for tests only" in said
    assert 'porcelain = "site-b" under [models]' in said
    _, found = document(monkeypatch, capsys, "list")
    line = found["bundles"][2]
    assert (line["name"], line["digest"], line["origin"], line["in_use_by"]) == ("site-b", digest, "added", [])
    assert audited(node) == [
        (
            AuditAction.MODEL_ADDED,
            AuditOutcome.SUCCESS,
            {"name": "site-b", "predictor": "porcelain", "digest": digest, "status": "phantom"},
        )
    ]


def test_the_settings_put_it_to_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], added: str, tmp_path: Path
) -> None:
    """The shipped one is then not in use; an added one that is in use cannot be removed."""
    (tmp_path / "celadon.toml").write_text(f'[models]\nporcelain = "site-b@sha256:{added}"\n', encoding="utf-8")
    _, found = document(monkeypatch, capsys, "list")
    assert [one["in_use_by"] for one in found["bundles"]] == [[], ["gtrnet"], ["porcelain"]]
    assert document(monkeypatch, capsys, "verify")[0] == 0
    assert run(monkeypatch, "remove", "site-b") == 2
    assert "models.porcelain in the settings" in capsys.readouterr().err


def test_a_bundle_that_the_settings_name_and_nobody_added_is_not_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """List and verify say so, with exit code 1."""
    monkeypatch.setenv("CELADON_MODELS__GTRNET", "site-c")
    for command in ("list", "verify"):
        assert document(monkeypatch, capsys, command)[0] == 1
        assert document(monkeypatch, capsys, command)[1]["missing"] == {"gtrnet": "site-c"}
        assert run(monkeypatch, command) == 1
        assert "names 'site-c': there is no such bundle" in capsys.readouterr().out


def test_verify_finds_a_changed_byte(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], added: str, node: Path
) -> None:
    """Exit code 1, the code of the fault, and which bundle it is; before, all is well."""
    code, found = document(monkeypatch, capsys, "verify")
    assert (code, found["well"]) == (0, True)
    assert [one["is_well"] for one in found["bundles"]] == [True, True, True]
    card = node / "models" / "site-b" / "docs" / "README.md"
    card.write_bytes(card.read_bytes()[:-1] + b" ")
    code, found = document(monkeypatch, capsys, "verify")
    assert (code, found["well"]) == (1, False)
    verdict = found["bundles"][2]
    assert (verdict["name"], verdict["fault"], verdict["digest"]) == ("site-b", "BUNDLE_CHANGED", added)
    assert [one["is_well"] for one in found["bundles"]] == [True, True, False]
    assert run(monkeypatch, "verify") == 1
    assert "BUNDLE_CHANGED" in capsys.readouterr().out


def test_a_broken_bundle_has_a_line_that_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], added: str, node: Path
) -> None:
    """And exit code 1; the others are listed all the same, and no control character reaches the terminal."""
    metadata = node / "models" / "site-b" / "configs" / "metadata.json"
    values = json.loads(metadata.read_text(encoding="utf-8"))
    metadata.write_text(json.dumps(values | {"version": "\x1b[31m[bold]1"}), encoding="utf-8")
    assert run(monkeypatch, "list") == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "[bold]1" in printed
    metadata.write_text("{", encoding="utf-8")
    code, found = document(monkeypatch, capsys, "list")
    assert (code, len(found["bundles"])) == (1, 3)
    assert "BUNDLE_METADATA" in found["bundles"][2]["problem"]


def test_replaced_removed_restored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], added: str, source: Path, node: Path
) -> None:
    """Each with its line in the audit trail."""
    (source / "docs" / "README.md").write_text("# A third card\n", encoding="utf-8")
    assert run(monkeypatch, "add", str(source), "--name", "site-b") == 2
    assert run(monkeypatch, "add", str(source), "--name", "site-b", "--replace") == 0
    assert run(monkeypatch, "restore", "site-b") == 0
    assert f"sha256 {added}" in capsys.readouterr().out
    assert run(monkeypatch, "remove", "site-b") == 0
    capsys.readouterr()
    assert [one["name"] for one in document(monkeypatch, capsys, "list")[1]["bundles"]] == ["porcelain", "gtrnet"]
    assert [(action.value, outcome.value) for action, outcome, _ in audited(node)] == [
        ("person:model:add", "refused"),
        ("person:model:add", "success"),
        ("person:model:restore", "success"),
        ("person:model:remove", "success"),
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("add", "bundle"),
        ("add", "nowhere", "--name", "a"),
        ("add", "bundle", "--name", "../a"),
        ("add", "bundle", "--name", "gtrnet"),
        ("add", "bundle", "--name", "a", "--sha256", "12"),
        ("add", "gtrnet", "--checkpoint", "nowhere.pth"),
        ("add", "resnet", "--checkpoint", "models.pth"),
        ("add", "gtrnet", "--checkpoint", "models.pth", "--sha256", "12"),
        ("remove", "none"),
        ("remove", "gtrnet"),
        ("restore", "none"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: Path, words: tuple[str, ...]
) -> None:
    """One line on stderr, nothing on stdout, nothing added."""
    assert run(monkeypatch, *words) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert len(document(monkeypatch, capsys, "list")[1]["bundles"]) == 2


def test_another_checkpoint_than_the_published_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, node: Path
) -> None:
    """Exit code 1 with what was found and what to do; the audit trail keeps the refusal."""
    torch.save(state(), tmp_path / "models.pth")
    assert run(monkeypatch, "add", "gtrnet", "--checkpoint", "models.pth") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("celadon: CHECKPOINT_UNEXPECTED: models.pth: has ")
    assert "--sha256 names another file to expect" in line
    digest = hashlib.sha256((tmp_path / "models.pth").read_bytes()).hexdigest()
    assert run(monkeypatch, "add", "gtrnet", "--checkpoint", "models.pth", "--sha256", digest) == 1
    assert "CHECKPOINT_LAYOUT" in capsys.readouterr().err
    details = {"name": "gtrnet-published"}
    assert audited(node) == [
        (AuditAction.MODEL_ADDED, AuditOutcome.REFUSED, details | {"fault": "CHECKPOINT_UNEXPECTED"}),
        (AuditAction.MODEL_ADDED, AuditOutcome.REFUSED, details | {"fault": "CHECKPOINT_LAYOUT"}),
    ]
    assert not [path for path in (node / "models").iterdir() if path.name.startswith(".incoming")]


def test_a_checkpoint_of_the_published_layout_is_added(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, node: Path
) -> None:
    """Converted, tried, recorded, and said to be neither validated nor the published file."""
    from models.networks.gtrnet import GtrNet  # noqa: PLC0415 — seconds, which the other tests here do not need

    torch.manual_seed(0)
    torch.save(OrderedDict(GtrNet().state_dict()), tmp_path / "models.pth")
    with (tmp_path / "models.pth").open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    assert run(monkeypatch, "add", "gtrnet", "--checkpoint", "models.pth", "--sha256", digest, "--name", "ours") == 0
    assert "every result will say: not validated" in capsys.readouterr().out
    line = document(monkeypatch, capsys, "list")[1]["bundles"][2]
    assert (line["name"], line["predictor"], line["status"]) == ("ours", "gtrnet", "unvalidated")
    ((_, outcome, details),) = audited(node)
    assert outcome is AuditOutcome.SUCCESS
    assert (details["checkpoint_sha256"], details["as_published"], details["digest"]) == (digest, 0, line["digest"])
