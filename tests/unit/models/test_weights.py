"""Weights: the same from a seed every time, and from a file strictly."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_model

from models import weights
from models.bundle import Bundle
from models.networks.fusion import MultimodalNetwork
from node.errors import BundleError
from tests.drawn import drawn

Spoil = Callable[..., Path]
GROUPS = (1, 1, 2)


def test_a_seed_gives_the_same_weights_whatever_torch_did_before() -> None:
    """Two networks from one seed are equal, and torch's own generator is left as it was."""
    bundle = Bundle.open(drawn("porcelain"))
    torch.manual_seed(1)
    first = MultimodalNetwork(GROUPS)
    state = torch.get_rng_state()
    weights.load(bundle, first)
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
    file = path / "models" / "model.safetensors"
    file.parent.mkdir(exist_ok=True)
    source, target = MultimodalNetwork(GROUPS), MultimodalNetwork(GROUPS)
    save_model(source, str(file))
    bundle = Bundle.open(path)
    bundle.load_into(target)
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=True)
    )
    with pytest.raises(BundleError, match=r"BUNDLE_UNFIT: .*model\.safetensors: does not fit"):
        bundle.load_into(MultimodalNetwork((1, 1)))
    file.write_bytes(b"not a tensor file")
    with pytest.raises(BundleError, match="does not fit"):
        bundle.load_into(MultimodalNetwork(GROUPS))
    file.unlink()
    with pytest.raises(BundleError, match=r"BUNDLE_UNREADABLE: .*model\.safetensors: cannot be read"):
        bundle.load_into(MultimodalNetwork(GROUPS))
