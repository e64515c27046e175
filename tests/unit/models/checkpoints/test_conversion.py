"""From a checkpoint to a bundle: the digest first, then a confined process, and a card that says what is known."""

import hashlib
import json
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models import child
from models.bundle import Bundle
from models.checkpoints.conversion import WEIGHTS, convert
from models.checkpoints.known import Published, published
from models.networks.gtrnet import GtrNet
from node.domain.prediction import TrainingStatus
from node.domain.reasons import BundleFault
from node.errors import BundleError, UsageError
from tests.small_network import ENTRY, state
from tests.unit.models.checkpoints.test_convert import Payload


def checkpoint(path: Path, found: Any) -> tuple[Path, Published]:
    """A file of ``found``, as if it were the published one, for the small network."""
    torch.save(found, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = replace(published("gtrnet"), sha256=digest, size_bytes=path.stat().st_size, network=ENTRY)
    return path, known


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """An empty folder for the bundle."""
    path = tmp_path / "staging" / "bundle"
    path.mkdir(parents=True)
    return path


def test_a_published_checkpoint_becomes_a_bundle(tmp_path: Path, bundle: Path) -> None:
    """With its tensors unchanged, not validated, and metadata and card that name the file."""
    path, known = checkpoint(tmp_path / "models.pth", state())
    source = convert(path, known, bundle)
    assert source.is_published
    opened = Bundle.open(bundle)
    assert (opened.predictor, opened.status) == ("gtrnet", TrainingStatus.UNVALIDATED)
    assert opened.celadon.child("source").values == {
        "sha256": known.sha256,
        "bytes": known.size_bytes,
        "as_published": True,
    }
    assert f"file={WEIGHTS}" in opened.identity().parameters
    found = load_file(bundle / WEIGHTS)
    assert found.keys() == state().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state().items())
    card = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    assert known.sha256 in card
    assert "It is the file that the authors published" in card
    assert "{" not in card
    assert [one.name for one in bundle.parent.iterdir()] == ["bundle"]


def test_another_file_is_taken_when_its_digest_is_given_and_said_to_be_another(tmp_path: Path, bundle: Path) -> None:
    """Neither metadata nor card call it the published one."""
    path, known = checkpoint(tmp_path / "models.pth", state())
    pinned = published("gtrnet").sha256
    assert not convert(path, replace(known, sha256=pinned), bundle, known.sha256).is_published
    opened = Bundle.open(bundle)
    assert opened.celadon.child("source").flag("as_published") is False
    assert opened.metadata.text("data_source").startswith("Unknown")
    card = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    assert "It is **not** the file that the authors published" in card
    assert pinned in card


def test_another_file_than_expected_is_never_opened(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One changed byte, one byte more: refused by size and digest, before any process is started for it."""
    monkeypatch.setattr(child, "ask", lambda *_, **__: pytest.fail("it was opened"))
    path, known = checkpoint(tmp_path / "models.pth", state())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"models\.pth: has the SHA-256 .*--sha256 names another") as fault:
        convert(path, known, bundle)
    assert fault.value.fault is BundleFault.CHECKPOINT_UNEXPECTED
    path.write_bytes(content + b"x")
    with pytest.raises(BundleError, match="the published file has"):
        convert(path, known, bundle)
    with pytest.raises(BundleError, match="has the SHA-256"):
        convert(path, known, bundle, "0" * 64)
    path.write_bytes(bytes(known.size_bytes * 5))
    with pytest.raises(BundleError, match="more than such a checkpoint can have"):
        convert(path, known, bundle, "0" * 64)
    assert list(bundle.parent.iterdir()) == [bundle]
    assert list(bundle.iterdir()) == []


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path, bundle: Path) -> None:
    """Neither is a folder a checkpoint."""
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(UsageError, match="--checkpoint"):
            convert(path, published("gtrnet"), bundle)


def test_a_payload_does_not_run_in_the_process_either(tmp_path: Path, bundle: Path) -> None:
    """The process that reads it refuses it with a code, and what it would have done is not done."""
    marker = tmp_path / "ran"
    path, known = checkpoint(tmp_path / "models.pth", OrderedDict(state(), extra=Payload(f"touch {marker}")))
    with pytest.raises(BundleError, match=r"asks for posix\.system") as fault:
        convert(path, known, bundle)
    assert fault.value.fault is BundleFault.CHECKPOINT_UNSAFE
    assert not marker.exists()


def test_the_faults_of_the_process_come_back_with_their_codes(tmp_path: Path, bundle: Path) -> None:
    """Another network's tensors, and a number that is none."""
    other, known = checkpoint(tmp_path / "other.pth", {"fc.weight": torch.zeros(2, 3)})
    with pytest.raises(BundleError, match=r"lacks 6 tensors") as fault:
        convert(other, known, bundle)
    assert fault.value.fault is BundleFault.CHECKPOINT_LAYOUT
    (bundle / WEIGHTS).unlink()
    (bundle / WEIGHTS).parent.rmdir()
    spoiled = state()
    spoiled["fc.bias"][0] = float("nan")
    path, known = checkpoint(tmp_path / "nan.pth", spoiled)
    with pytest.raises(BundleError, match=r"fc\.bias holds values that are not finite") as fault:
        convert(path, known, bundle)
    assert fault.value.fault is BundleFault.CHECKPOINT_VALUES


@pytest.mark.timeout(300)
def test_a_checkpoint_of_the_published_layout_becomes_a_bundle_that_predicts(tmp_path: Path, bundle: Path) -> None:
    """A plain ResNet-152 with four outputs as a training script saves it, under the names of DataParallel."""
    torch.manual_seed(3)
    network = GtrNet().eval()
    path = tmp_path / "models.pth"
    torch.save(OrderedDict((f"module.{name}", tensor) for name, tensor in network.state_dict().items()), path)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    assert abs(path.stat().st_size - published("gtrnet").size_bytes) < 100_000
    convert(path, published("gtrnet"), bundle, digest)
    path.unlink()
    other = GtrNet()
    Bundle.open(bundle).load_into(other)
    slices = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(network(slices), other(slices))
    assert json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))["celadon"]["source"]
