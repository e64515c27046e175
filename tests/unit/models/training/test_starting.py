"""A network as training begins."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.bundle_files import METADATA
from models.training.starting import built, taught
from node.errors import UsageError


def test_a_seed_is_a_network() -> None:
    """The same seed the same weights, and whoever seeded torch gets their generator back."""
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    one, other = (built(lambda: nn.Linear(3, 2), 5, None) for _ in range(2))
    assert torch.equal(one.weight, other.weight)
    assert not torch.equal(one.weight, built(lambda: nn.Linear(3, 2), 6, None).weight)
    assert torch.equal(torch.rand(1), expected)


def test_weights_to_start_from_are_taken(tmp_path: Path) -> None:
    """All of them."""
    file = tmp_path / "start.safetensors"
    save_file({"weight": torch.full((2, 3), 4.0), "bias": torch.zeros(2)}, file)
    assert built(lambda: nn.Linear(3, 2), 0, file).weight.eq(4.0).all()


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Of another shape, missing, or not safetensors."""
    file = tmp_path / "start.safetensors"
    save_file({"weight": torch.zeros(3, 3), "bias": torch.zeros(3)}, file)
    for wrong in (file, tmp_path / "none.safetensors"):
        with pytest.raises(UsageError, match="do not fit the network"):
            built(lambda: nn.Linear(3, 2), 0, wrong)
    file.write_bytes(b"nonsense")
    with pytest.raises(UsageError, match="do not fit the network"):
        built(lambda: nn.Linear(3, 2), 0, file)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"data_source": 3}'])
def test_a_bundle_that_does_not_say_what_it_learnt_from_says_nothing(tmp_path: Path, text: str) -> None:
    """Nor do weights that lie elsewhere."""
    assert taught(None) == taught(tmp_path / "w.safetensors") == ""
    (tmp_path / "configs").mkdir()
    (tmp_path / METADATA).write_text(text)
    assert taught(tmp_path / "models" / "w.safetensors") == ""
