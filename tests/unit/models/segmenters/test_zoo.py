"""A bundle in the layout of the model zoo: found and checked before anything of it is read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.segmenters import zoo
from models.segmenters.zoo import ZooBundle
from node.domain.reasons import BundleFault
from node.errors import BundleError


def fault_of(path: Path, digest: str | None = None) -> BundleFault:
    """With what opening is refused."""
    with pytest.raises(BundleError) as refused:
        ZooBundle.open(path, digest or zoo.digest(path))
    return refused.value.fault


@pytest.mark.parametrize("weights", ["model.safetensors", "model.pt"])
def test_a_bundle_fills_its_network(tmp_path: Path, make_zoo_bundle: Callable[..., Path], weights: str) -> None:
    """From safetensors, or from torch's file without the code that such a file may hold."""
    path = make_zoo_bundle(tmp_path / "b", weights)
    bundle, network = ZooBundle.open(path, zoo.digest(path).upper()), torch.nn.Conv3d(1, 3, 1)
    bundle.fill(network)
    assert network.bias is not None
    assert network.bias.tolist() == [0.0, -10.0, -35.0]
    with pytest.raises(BundleError):
        bundle.fill(torch.nn.Conv3d(1, 4, 1))


def test_every_byte_counts(tmp_path: Path, make_zoo_bundle: Callable[..., Path]) -> None:
    """Of every file, also of one that is added or renamed."""
    path = make_zoo_bundle(tmp_path / "b")
    digest = zoo.digest(path)
    (path / "LICENSE").write_text("another", encoding="utf-8")
    assert fault_of(path, digest) is BundleFault.BUNDLE_CHANGED


@pytest.mark.parametrize("gone", ["configs/metadata.json", "configs/inference.json", "models/model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, make_zoo_bundle: Callable[..., Path], gone: str) -> None:
    """Not found in the middle of a patient."""
    path = make_zoo_bundle(tmp_path / "b")
    (path / gone).unlink()
    assert fault_of(path) is BundleFault.BUNDLE_MISSING


def test_links_lead_nowhere(tmp_path: Path, make_zoo_bundle: Callable[..., Path]) -> None:
    """What a link leads to can change without the digest; the bundle itself may not be one either."""
    path = make_zoo_bundle(tmp_path / "b")
    link = tmp_path / "link"
    link.symlink_to(path)
    assert fault_of(link, "0" * 64) is BundleFault.BUNDLE_MISSING
    (path / "models" / "more").symlink_to("/etc/hostname")
    assert fault_of(path, "0" * 64) is BundleFault.BUNDLE_FORBIDDEN


def test_there_is_an_end_to_folders_and_files(
    tmp_path: Path, make_zoo_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle without one would be hashed for ever."""
    path = make_zoo_bundle(tmp_path / "b")
    deep = path.joinpath(*"abcdefghij")
    deep.mkdir(parents=True)
    assert fault_of(path, "0" * 64) is BundleFault.BUNDLE_FORBIDDEN
    flat = make_zoo_bundle(tmp_path / "c")
    monkeypatch.setattr(zoo, "_MOST_FILES", 2)
    assert fault_of(flat, "0" * 64) is BundleFault.BUNDLE_TOO_LARGE


def test_a_configuration_that_is_none_is_refused(tmp_path: Path, make_zoo_bundle: Callable[..., Path]) -> None:
    """With MONAI's own parser."""
    path = make_zoo_bundle(tmp_path / "b")
    (path / "configs" / "inference.json").write_text("{", encoding="utf-8")
    with pytest.raises(BundleError) as refused:
        ZooBundle.open(path, zoo.digest(path)).parser()
    assert refused.value.fault is BundleFault.BUNDLE_METADATA


def test_reading_a_configuration_runs_nothing_of_it(tmp_path: Path, make_zoo_bundle: Callable[..., Path]) -> None:
    """Its expressions are text until a part is built."""
    mark = tmp_path / "ran"
    path = make_zoo_bundle(tmp_path / "b", imports=[f"$open({str(mark)!r}, 'w')"])
    parser = ZooBundle.open(path, zoo.digest(path)).parser()
    assert json.dumps(parser["network_def"])
    assert not mark.exists()


class Harmful:
    """What a pickle can make of itself."""

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        """A file is made when it is read."""
        return open, ("harm", "w")


def test_weights_with_code_in_them_are_refused(
    tmp_path: Path, make_zoo_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a pickle is run."""
    monkeypatch.chdir(tmp_path)
    path = make_zoo_bundle(tmp_path / "b", "model.pt")
    torch.save({"model": Harmful()}, path / "models" / "model.pt")
    with pytest.raises(BundleError) as refused:
        ZooBundle.open(path, zoo.digest(path)).fill(torch.nn.Conv3d(1, 3, 1))
    assert refused.value.fault is BundleFault.BUNDLE_FORBIDDEN
    assert not (tmp_path / "harm").exists()
