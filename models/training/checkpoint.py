"""A checkpoint: tensors and scalars of a training in one safetensors file.

It is written so that a kill leaves the old or the new one, never a part. Scalars stand in the file's own metadata as
JSON; nothing is pickled.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from node.errors import UsageError

_SCALARS: Final = "celadon"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a training goes on from."""

    tensors: Mapping[str, Tensor]
    scalars: Mapping[str, Any]
    """What JSON can hold; numbers survive exactly."""


def write(file: Path, checkpoint: Checkpoint) -> None:
    """Replace ``file``, durably."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    content = save(tensors, {_SCALARS: json.dumps(dict(checkpoint.scalars), sort_keys=True)})
    part = file.with_suffix(".part")
    with part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(file: Path) -> Checkpoint | None:
    """What ``file`` holds; None when there is none. UsageError when it is not one of ours."""
    if not file.exists():
        return None
    try:
        with safe_open(file, "pt") as opened:
            scalars = json.loads(opened.metadata()[_SCALARS])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  no mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{file}: is not a checkpoint; remove it to begin this run again") from error
    return Checkpoint(tensors, scalars)


def weights(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer of a network once, whatever other names it has; copies."""
    named = (*network.named_parameters(), *network.named_buffers())
    return {name: tensor.detach().cpu().clone() for name, tensor in named}


def fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put what ``weights`` gave back, in place; UsageError when it is of another network."""
    named = dict((*network.named_parameters(), *network.named_buffers()))
    if set(named) != set(tensors) or any(named[name].shape != tensors[name].shape for name in named):
        raise UsageError("the checkpoint is of another network")
    with torch.no_grad():
        for name, tensor in named.items():
            tensor.copy_(tensors[name])


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimiser remembers, by the number of the parameter and a name; copies."""
    state = optimiser.state_dict()["state"]
    return {f"{index}.{name}": tensor.clone() for index, entry in state.items() for name, tensor in entry.items()}


def refill_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put what ``optimiser_tensors`` gave back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix`` and a slash, without it."""
    return {name.removeprefix(f"{prefix}/"): each for name, each in tensors.items() if name.startswith(f"{prefix}/")}


def prefixed(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The inverse of ``part``."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}
