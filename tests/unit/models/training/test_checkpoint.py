"""Checkpoints: what was written comes back exactly, and what is not one of ours is refused."""

from pathlib import Path

import pytest
import torch
from torch import nn

from models.training import checkpoint
from models.training.checkpoint import Checkpoint
from node.errors import UsageError


def test_tensors_and_scalars_come_back(tmp_path: Path) -> None:
    """Bit by bit, a float of 17 digits among them."""
    file = tmp_path / "c.safetensors"
    tensors = {"a/x": torch.randn(3, 2), "b/x": torch.tensor([1, 2])}
    checkpoint.write(file, Checkpoint(tensors, {"loss": 0.1 + 0.2, "history": [{"epoch": 1}], "best": None}))
    found = checkpoint.read(file)
    assert found is not None
    assert torch.equal(found.tensors["a/x"], tensors["a/x"])
    assert found.scalars == {"loss": 0.1 + 0.2, "history": [{"epoch": 1}], "best": None}
    assert list(checkpoint.part(found.tensors, "b")) == ["x"]


def test_no_file_is_no_checkpoint(tmp_path: Path) -> None:
    """None, not an error."""
    assert checkpoint.read(tmp_path / "none") is None


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Saying what to do."""
    file = tmp_path / "c.safetensors"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="remove it to begin this run again"):
        checkpoint.read(file)


def test_a_half_written_file_changes_nothing(tmp_path: Path) -> None:
    """A part file that a kill left beside the checkpoint is not read, and the next write replaces it."""
    file = tmp_path / "c.safetensors"
    checkpoint.write(file, Checkpoint({"x": torch.ones(1)}, {"step": 1}))
    file.with_suffix(".part").write_bytes(b"half")
    found = checkpoint.read(file)
    assert found is not None
    assert found.scalars == {"step": 1}
    checkpoint.write(file, Checkpoint({"x": torch.ones(1)}, {"step": 2}))
    assert [each.name for each in tmp_path.iterdir()] == ["c.safetensors"]


def test_an_optimiser_goes_on_exactly() -> None:
    """Two AdamW that have seen the same gradients, one of them put together again in between, do the same step."""
    torch.manual_seed(0)
    one, other = nn.Linear(3, 1), nn.Linear(3, 1)
    first = torch.optim.AdamW(one.parameters(), lr=0.1)
    _step(one, first)
    checkpoint.fill(other, checkpoint.weights(one))
    second = torch.optim.AdamW(other.parameters(), lr=0.1)
    checkpoint.refill_optimiser(second, checkpoint.optimiser_tensors(first))
    _step(one, first)
    _step(other, second)
    assert torch.equal(one.weight, other.weight)


def _step(network: nn.Linear, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    network(torch.tensor([[1.0, 2.0, 3.0]])).sum().backward()
    optimiser.step()


def test_weights_of_another_network_are_refused() -> None:
    """By name or by shape."""
    with pytest.raises(UsageError, match="another network"):
        checkpoint.fill(nn.Linear(3, 1), checkpoint.weights(nn.Linear(2, 1)))
    with pytest.raises(UsageError, match="another network"):
        checkpoint.fill(nn.Linear(3, 1), {})
