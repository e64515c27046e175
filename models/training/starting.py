"""A network as training begins: built from a seed, or with weights that something else has learnt."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import Tensor, nn

from models.bundle_files import METADATA
from models.training import checkpoint
from node.errors import UsageError

FITTED: Final = "fitted.safetensors"
"""What a finished run is kept as, in a folder of its own."""
TRAINED_ON: Final = "trained_on"
"""The scalar of it that says on which cases."""

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def built(build: Callable[[], NetworkT], seed: int, start: Path | None) -> NetworkT:
    """The network that ``build`` makes, its random start from ``seed``; torch's own generator stays as it was.

    ``start``: weights (safetensors) of the very same network to begin from, as transfer learning does. Raises
    UsageError when they do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build()
    if start is None:
        return network
    try:
        load_model(network, start, strict=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise UsageError(f"--start {start}: these weights do not fit the network") from error
    return network


def taught(start: Path | None) -> str:
    """What the weights ``start`` had learnt from, as the bundle says in which they lie; empty when nothing says it."""
    if start is None:
        return ""
    try:
        metadata = json.loads((start.parent.parent / METADATA).read_bytes())
    except (OSError, ValueError):
        return ""
    said = metadata.get("data_source") if isinstance(metadata, dict) else None
    return said if isinstance(said, str) else ""


def population(cases: Iterable[str]) -> str:
    """The identity of a set of cases, whatever their order."""
    return hashlib.sha256("\n".join(sorted(cases)).encode()).hexdigest()


def fitted_on(folder: Path, cases: str) -> Mapping[str, Tensor]:
    """The weights of the finished run in the training ``folder`` that saw exactly the population ``cases``.

    So what is built on them knows of no held-out case by their way. Raises UsageError when there is none.
    """
    for file in sorted(folder.rglob(FITTED)):
        found = checkpoint.read(file)
        if found is not None and found.scalars.get(TRAINED_ON) == cases:
            return checkpoint.part(found.tensors, "network")
    raise UsageError(
        f"{folder}: no finished run there was trained on the same cases; give it the same cohort, seed and folds"
    )
