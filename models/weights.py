"""The weights of a bundle, drawn from its seed or read from its file into a network."""

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model

from models.bundle import Bundle
from models.networks.initial import Network, draw
from node.domain.reasons import BundleFault
from node.errors import BundleError

_LONGEST_WHY: Final = 300
"""Of what torch says, which names a thousand tensors when a thousand differ."""


def load(bundle: Bundle, network: Network) -> None:
    """Fill every tensor of ``network``, which is then in evaluation mode.

    Raises BundleError when the file cannot be read or its tensors are not exactly those of the network, or not
    finite.
    """
    weights = bundle.celadon.child("weights")
    if weights.has("seed"):
        draw(network, weights.natural("seed"))
    else:
        _load_file(bundle.path / weights.text("file"), network)


def _load_file(file: Path, network: Network) -> None:
    """Read ``file`` into ``network``, strictly."""
    try:
        load_model(network, file, strict=True)
    except OSError as error:
        raise BundleError(f"{file}: cannot be read", BundleFault.BUNDLE_UNREADABLE) from error
    except (RuntimeError, SafetensorError) as error:
        why = " ".join(str(error).split())[:_LONGEST_WHY]
        raise BundleError(f"{file}: does not fit the network: {why}") from error
    for name, tensor in network.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise BundleError(f"{file}: tensor {name} holds weights that are not finite numbers")
    network.eval()
