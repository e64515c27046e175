"""The background of Shapley values: prepared inputs of other patients, which stand for "usual".

A trained bundle stores them as ``models/background.safetensors``: ``embeddings`` (n, 256), the image embeddings of
training cases, and ``columns`` (n, c), their clinical columns. A bundle whose weights are drawn from a seed has no
cases; its background is random numbers from the same seed, and means as little as its weights.
"""

from dataclasses import dataclass
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.bundle import Bundle
from models.networks.en_pct import EMBEDDING
from models.networks.fusion import MultimodalNetwork
from node.errors import BundleError

ROWS: Final = 100
FILE: Final = "models/background.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Rows of background, one a case."""

    embeddings: Tensor
    """(n, 256)."""
    columns: Tensor
    """(n, c)."""


def background(bundle: Bundle, network: MultimodalNetwork) -> Background:
    """The background of a bundle; raises BundleError when its file is absent or does not fit ``network``."""
    weights = bundle.celadon.child("weights")
    if weights.has("seed"):
        return drawn(network, weights.natural("seed"))
    file = bundle.path / FILE
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{file}: cannot be read") from error
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in tensors.items() if tensor.dtype is torch.float32}
    if shapes != {"embeddings": (EMBEDDING,), "columns": (network.columns,)}:
        raise BundleError(
            f"{file}: holds {shapes}, not embeddings (n, {EMBEDDING}) and columns (n, {network.columns}) in float32"
        )
    if not 0 < len(tensors["embeddings"]) == len(tensors["columns"]):
        raise BundleError(f"{file}: embeddings and columns are not of the same rows, at least one")
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise BundleError(f"{file}: holds values that are not finite numbers")
    return Background(tensors["embeddings"], tensors["columns"])


def drawn(network: MultimodalNetwork, seed: int) -> Background:
    """Random rows: rectified normal embeddings (eq. 2 has a ReLU), normal numbers, and one of each one-hot group."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(ROWS, EMBEDDING, generator=generator).relu()
    columns = torch.randn(ROWS, network.columns, generator=generator)
    for members in network.clinical.groups.cpu() > 0:
        size = int(members.sum())
        if size > 1:
            hot = torch.randint(size, (ROWS,), generator=generator)
            columns[:, members] = torch.nn.functional.one_hot(hot, size).float()
    return Background(embeddings, columns)
