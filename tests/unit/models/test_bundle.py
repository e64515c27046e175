"""Bundles are checked when opened and load the same weights every time."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.bundle import UNTRAINED, Bundle, shipped
from node.domain.coding import Anatomy
from node.domain.prediction import TrainingStatus
from node.domain.reasons import BundleFault
from node.errors import BundleError
from tests.drawn import drawn

Spoil = Callable[..., Path]


def nothing(_celadon: dict[str, Any]) -> None:
    """Change nothing."""


OF_PHANTOMS = "trained on phantoms, not on patients: for tests only"


@pytest.mark.parametrize(("name", "anatomy"), [("porcelain", Anatomy.PANCREAS), ("gtrnet", Anatomy.STOMACH)])
def test_what_ships_says_that_it_knows_no_patients(name: str, anatomy: Anatomy) -> None:
    """The shipped bundles say what they are in the agreed words, in their metadata and in their model cards."""
    bundle = Bundle.open(shipped(name))
    identity = bundle.identity()
    assert (bundle.anatomy, identity.status) == (anatomy, TrainingStatus.PHANTOM)
    assert identity.disclaimer == OF_PHANTOMS
    assert identity.digest == bundle.digest
    assert re.fullmatch("[0-9a-f]{64}", identity.digest)
    assert OF_PHANTOMS in (bundle.path / "docs" / "README.md").read_text(encoding="utf-8").lower()


def test_weights_from_a_seed_say_which() -> None:
    """Among the parameters of the algorithm's identity."""
    assert any(parameter.startswith("seed=") for parameter in Bundle.open(drawn("gtrnet")).identity().parameters)


def test_another_digest_than_expected_is_an_error() -> None:
    """A bundle that is not the expected one is not opened; the expected one is."""
    digest = Bundle.open(shipped("gtrnet")).digest
    assert Bundle.open(shipped("gtrnet"), digest.upper()).digest == digest
    with pytest.raises(BundleError, match="has changed"):
        Bundle.open(shipped("gtrnet"), "0" * 64)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("anatomy"), r"celadon\.anatomy is missing"),
        (lambda c: c.update(anatomy="liver"), r"celadon\.anatomy is 'liver'"),
        (lambda c: c.update(status="good"), r"celadon\.status is 'good'"),
        (lambda c: c.update(status="validated"), "drawn from a seed are untrained"),
        (lambda c: c.update(disclaimer="fine"), UNTRAINED),
        (lambda c: c.update(disclaimer=""), r"celadon\.disclaimer is empty"),
        (lambda c: c.pop("weights"), r"celadon\.weights is missing"),
        (lambda c: c.pop("decision"), r"celadon\.decision is missing"),
        (lambda c: c.update(weights={}), r"celadon\.weights names either a file or a seed"),
        (lambda c: c["weights"].update(file="models/model.safetensors"), "names either a file or a seed"),
        (lambda c: c.update(weights={"file": "models/other.safetensors"}), r"weights\.file is 'models/other"),
        (lambda c: c.update(weights={"file": "../gtrnet/models/x.safetensors"}), r"weights\.file is '\.\./"),
        (lambda c: c.update(weights={"file": "/etc/passwd"}), r"weights\.file is '/etc/passwd', which is no"),
        (lambda c: c.update(weights={"file": "configs/metadata.json"}), r"weights\.file .* no \.safetensors file"),
        (lambda c: c.update(weights={"file": ["a"]}), r"weights\.file is \['a'\], not a str"),
    ],
)
def test_wrong_metadata_name_the_field(spoil: Spoil, change: Callable[[Any], Any], words: str) -> None:
    """What is wrong in the metadata is named with its file and field."""
    with pytest.raises(BundleError, match=r"metadata\.json.*" + words) as fault:
        Bundle.open(spoil("gtrnet", change))
    assert fault.value.fault is BundleFault.BUNDLE_METADATA


@pytest.mark.parametrize(
    "field",
    [
        "version", "changelog", "monai_version", "pytorch_version", "task", "intended_use", "authors", "copyright",
        "data_source", "data_type", "pred_classes", "network_data_format", "inputs", "outputs",
    ],
)  # fmt: skip
def test_what_a_reader_must_know_is_required(spoil: Spoil, field: str) -> None:
    """Without who made it, of what data, for what use, what goes in and what comes out there is no bundle."""
    path = spoil("gtrnet", nothing)
    file = path / "configs" / "metadata.json"
    file.write_text(file.read_text(encoding="utf-8").replace(f'"{field}"', '"other"', 1), encoding="utf-8")
    with pytest.raises(BundleError, match=field):
        Bundle.open(path)


def test_files_that_are_not_there_are_named(tmp_path: Path, spoil: Spoil) -> None:
    """A missing folder, metadata file or model card is an error that names it."""
    with pytest.raises(BundleError, match="no such bundle"):
        Bundle.open(tmp_path / "none")
    path = spoil("gtrnet", nothing)
    (path / "configs" / "metadata.json").unlink()
    with pytest.raises(BundleError, match=r"BUNDLE_MISSING: .*metadata\.json: is missing"):
        Bundle.open(path)
    (path / "docs" / "README.md").unlink()
    (path / "configs" / "metadata.json").write_text("{}")
    with pytest.raises(BundleError, match=r"BUNDLE_MISSING: .*README\.md: is missing"):
        Bundle.open(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"\xff\xfe{}", "is not JSON"),
        (b'{"version": "1", "version": "2"}', "'version' is there twice"),
        (b'{"version": NaN}', "NaN is no number"),
        (b'{"version": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is not JSON"),
        (b'{"version": ' + b"9" * 10_000 + b"}", "is not JSON"),
        (b'{"version": "' + b" " * 9 * 2**20 + b'"}', "BUNDLE_TOO_LARGE"),
    ],
    ids=["cut", "list", "not UTF-8", "twice", "NaN", "deep", "long number", "huge"],
)
def test_hostile_metadata_are_refused(spoil: Spoil, content: bytes, words: str) -> None:
    """Whatever is written there, the answer is one error that names the file."""
    path = spoil("gtrnet", nothing)
    (path / "configs" / "metadata.json").write_bytes(content)
    with pytest.raises(BundleError, match=rf"{words}") as fault:
        Bundle.open(path)
    assert "metadata.json" in str(fault.value)
    assert len(str(fault.value)) < 500


def test_a_long_value_is_not_quoted_in_full(spoil: Spoil) -> None:
    """A message stays one line, whatever a field holds."""
    values = {"a": ["\n" * 1000] * 1000}
    with pytest.raises(BundleError) as fault:
        Bundle.open(spoil("gtrnet", lambda celadon: celadon.update(predictor=values)))
    assert len(str(fault.value)) < 500
    assert "\n" not in str(fault.value)


def test_a_validated_bundle_needs_no_disclaimer(spoil: Spoil) -> None:
    """Weights from a file with status validated may come without a disclaimer."""
    change = {"status": "validated", "disclaimer": "", "weights": {"file": "models/model.safetensors"}}
    path = spoil("gtrnet", lambda c: c.update(change))
    (path / "models").mkdir()
    (path / "models" / "model.safetensors").write_bytes(b"")
    assert Bundle.open(path).identity().disclaimer == ""


def test_a_glance_believes_the_digest(spoil: Spoil) -> None:
    """A list of bundles reads no weights: the digest is the one that it is given."""
    assert Bundle.glance(spoil("gtrnet", nothing), "ab" * 32).digest == "ab" * 32


def test_metadata_that_ship_are_whole_and_written_once(tmp_path: Path) -> None:
    """The metadata of every shipped bundle read the same whether or not fields that are there twice are refused."""
    for name in ("porcelain", "gtrnet"):
        file = shipped(name) / "configs" / "metadata.json"
        assert Bundle.open(shipped(name)).metadata.values == json.loads(file.read_text(encoding="utf-8"))
