"""The background of Shapley values: from the bundle's file, or from the seed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from models.bundle import Bundle
from models.explain.background import FILE, background, drawn
from models.networks.fusion import MultimodalNetwork
from node.errors import BundleError

GROUPS = (1, 2, 3)


@pytest.fixture(scope="module")
def network() -> MultimodalNetwork:
    """A network for three variables in six columns."""
    return MultimodalNetwork(GROUPS).eval()


@pytest.fixture
def bundle(spoil: Callable[..., Path]) -> Bundle:
    """A bundle whose weights come from a file."""

    def trained(celadon: dict[str, Any]) -> None:
        celadon.update(weights={"file": "models/model.safetensors"}, status="phantom", disclaimer="phantoms only")

    path = spoil("porcelain", trained)
    shutil.rmtree(path / "models")
    (path / "models").mkdir()
    save_file({"unread": torch.zeros(1)}, path / "models" / "model.safetensors")
    return Bundle.open(path)


def test_a_trained_bundle_has_a_file(bundle: Bundle, network: MultimodalNetwork) -> None:
    """The rows are the file's."""
    embeddings, columns = torch.randn(7, 256), torch.randn(7, 6)
    save_file({"embeddings": embeddings, "columns": columns}, bundle.path / FILE)
    read = background(bundle, network)
    assert torch.equal(read.embeddings, embeddings)
    assert torch.equal(read.columns, columns)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (None, "cannot be read"),
        ({"embeddings": torch.zeros(7, 256)}, r"not embeddings \(n, 256\) and columns \(n, 6\)"),
        ({"embeddings": torch.zeros(7, 256), "columns": torch.zeros(7, 5)}, r"not embeddings \(n, 256\)"),
        ({"embeddings": torch.zeros(7, 256).double(), "columns": torch.zeros(7, 6)}, "float32"),
        ({"embeddings": torch.zeros(7, 256), "columns": torch.zeros(6, 6)}, "not of the same rows"),
        ({"embeddings": torch.zeros(0, 256), "columns": torch.zeros(0, 6)}, "at least one"),
        ({"embeddings": torch.full((7, 256), torch.nan), "columns": torch.zeros(7, 6)}, "not finite"),
    ],
)
def test_a_file_that_does_not_fit_is_named(
    bundle: Bundle, network: MultimodalNetwork, tensors: dict[str, torch.Tensor] | None, words: str
) -> None:
    """With what it holds and what it should."""
    if tensors is not None:
        save_file(tensors, bundle.path / FILE)
    with pytest.raises(BundleError, match=rf"background\.safetensors.*{words}"):
        background(bundle, network)


def test_drawn_rows_are_like_prepared_ones(network: MultimodalNetwork) -> None:
    """A hundred rows: embeddings not negative, one column of each one-hot group set, the same for the same seed."""
    rows = drawn(network, 3)
    assert (rows.embeddings.shape, rows.columns.shape) == ((100, 256), (100, 6))
    assert rows.embeddings.min() == 0
    for group in (slice(1, 3), slice(3, 6)):
        hot = rows.columns[:, group]
        assert torch.equal(hot.sum(dim=1), torch.ones(100))
        assert set(hot.unique().tolist()) == {0.0, 1.0}
        assert (hot.sum(dim=0) > 0).all()
    again = drawn(network, 3)
    assert torch.equal(rows.embeddings, again.embeddings)
    assert torch.equal(rows.columns, again.columns)
    assert not torch.equal(rows.columns, drawn(network, 4).columns)
