"""Bundles are checked when opened and load the same weights every time."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_model

from models.bundle import UNTRAINED, Bundle, shipped
from models.networks.fusion import MultimodalNetwork
from node.domain.coding import Anatomy
from node.domain.prediction import TrainingStatus
from node.errors import BundleError

Spoil = Callable[..., Path]
GROUPS = (1, 1, 2)


def nothing(_celadon: dict[str, Any]) -> None:
    """Change nothing."""


@pytest.mark.parametrize(("name", "anatomy"), [("porcelain", Anatomy.PANCREAS), ("gtrnet", Anatomy.STOMACH)])
def test_what_ships_says_that_it_is_untrained(name: str, anatomy: Anatomy) -> None:
    """The shipped bundles are untrained and say so in the agreed words, in their metadata and in their model cards."""
    bundle = Bundle.open(shipped(name))
    identity = bundle.identity()
    assert bundle.anatomy is anatomy
    assert identity.status is TrainingStatus.UNTRAINED
    assert identity.disclaimer == "untrained, for plumbing only"
    assert identity.digest == bundle.digest
    assert re.fullmatch("[0-9a-f]{64}", identity.digest)
    assert any(parameter.startswith("seed=") for parameter in identity.parameters)
    assert "Untrained, for plumbing only" in (bundle.path / "docs" / "README.md").read_text(encoding="utf-8")


def test_the_digest_speaks_for_every_file(spoil: Spoil) -> None:
    """One changed byte in the model card, and one more file, each change the digest."""
    path = spoil("gtrnet", nothing)
    before = Bundle.open(path).digest
    (path / "docs" / "README.md").write_bytes(b"other")
    changed = Bundle.open(path).digest
    (path / "models").mkdir()
    (path / "models" / "x").write_bytes(b"")
    assert len({before, changed, Bundle.open(path).digest}) == 3


def test_the_digest_ignores_what_python_leaves_behind(spoil: Spoil) -> None:
    """Byte code, its folders and package markers do not change the digest."""
    path = spoil("gtrnet", nothing)
    before = Bundle.open(path).digest
    (path / "__init__.py").write_text("")
    (path / "__pycache__").mkdir()
    (path / "__pycache__" / "x.txt").write_text("x")
    (path / "docs" / "y.pyc").write_text("y")
    assert Bundle.open(path).digest == before


def test_the_digest_is_that_of_the_content_alone(tmp_path: Path) -> None:
    """A copy elsewhere has the same digest."""
    shutil.copytree(shipped("gtrnet"), tmp_path / "copy")
    assert Bundle.open(tmp_path / "copy").digest == Bundle.open(shipped("gtrnet")).digest


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
    ],
)
def test_wrong_metadata_name_the_field(spoil: Spoil, change: Callable[[Any], Any], words: str) -> None:
    """What is wrong in the metadata is named with its file and field."""
    with pytest.raises(BundleError, match=r"metadata\.json.*" + words):
        Bundle.open(spoil("gtrnet", change))


@pytest.mark.parametrize("field", ["version", "changelog", "monai_version", "pytorch_version", "task", "intended_use"])
def test_the_fields_of_monai_are_required(spoil: Spoil, field: str) -> None:
    """Metadata without one of MONAI's fields are an error that names it."""
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
    (path / "configs" / "metadata.json").write_text("{")
    with pytest.raises(BundleError, match="is not JSON"):
        Bundle.open(path)
    (path / "configs" / "metadata.json").unlink()
    with pytest.raises(BundleError, match=r"metadata\.json: cannot be read"):
        Bundle.open(path)
    (path / "docs" / "README.md").unlink()
    with pytest.raises(BundleError, match="model card is missing"):
        Bundle.open(path)


def test_a_validated_bundle_needs_no_disclaimer(spoil: Spoil) -> None:
    """Weights from a file with status validated may come without a disclaimer."""
    change = {"status": "validated", "disclaimer": "", "weights": {"file": "models/model.safetensors"}}
    bundle = Bundle.open(spoil("gtrnet", lambda c: c.update(change)))
    assert bundle.identity().disclaimer == ""


def test_a_seed_gives_the_same_weights_whatever_torch_did_before() -> None:
    """Two networks from one seed are equal, and torch's own generator is left as it was."""
    bundle = Bundle.open(shipped("porcelain"))
    torch.manual_seed(1)
    first = MultimodalNetwork(GROUPS)
    state = torch.get_rng_state()
    bundle.load_into(first)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = MultimodalNetwork(GROUPS)
    bundle.load_into(second)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_weights_from_a_file_are_read_strictly(spoil: Spoil) -> None:
    """A safetensors file fills the network exactly; one for another network, or none, is an error that names it."""
    path = spoil("porcelain", lambda c: c.update(weights={"file": "models/model.safetensors"}))
    bundle = Bundle.open(path)
    with pytest.raises(BundleError, match="cannot be read"):
        bundle.load_into(MultimodalNetwork(GROUPS))
    (path / "models").mkdir()
    source, target = MultimodalNetwork(GROUPS), MultimodalNetwork(GROUPS)
    save_model(source, str(path / "models" / "model.safetensors"))
    bundle.load_into(target)
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=True)
    )
    with pytest.raises(BundleError, match="does not fit"):
        bundle.load_into(MultimodalNetwork((1, 1)))
    (path / "models" / "model.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(BundleError, match="does not fit"):
        bundle.load_into(MultimodalNetwork(GROUPS))
