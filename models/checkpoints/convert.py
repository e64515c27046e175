"""The process that reads a checkpoint: ``python -m models.checkpoints.convert``, started by ``conversion``.

It confines itself before it opens the file, reads tensors and nothing else, compares them with the network, and writes
them as safetensors to the one descriptor that it holds. What it found goes to standard output as one JSON document.
"""

import argparse
import json
import os
import pickle
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch

from models import registry
from models.checkpoints import archive
from models.confinement import Bounds, confine
from node.domain.reasons import BundleFault
from node.errors import BundleError

_NESTED_UNDER: Final = ("state_dict", "model_state_dict", "model", "net", "network")
"""Where training scripts keep the network in what they save."""
_PARALLEL: Final = "module."
"""What ``DataParallel`` puts before every name."""
_ASKED_FOR: Final = re.compile(r"GLOBAL ([\w.]{1,80})")
_SHOWN_NAMES: Final = 3


def main() -> int:
    """Read, compare, write; 0 when it did, 1 with the fault on standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--network", required=True)
    parser.add_argument("--weights-fd", type=int, required=True)
    for bound in ("memory-bytes", "cpu-s", "file-bytes"):
        parser.add_argument(f"--{bound}", type=int, required=True)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with torch.device("meta"):
        wanted = registry.resolve(asked.network)().state_dict()
    has_landlock = confine(Bounds(asked.memory_bytes, asked.cpu_s, asked.file_bytes))
    try:
        tensors = checked(read(asked.checkpoint), wanted)
    except BundleError as error:
        return _say({"fault": error.fault.name, "detail": error.detail}, 1)
    with os.fdopen(asked.weights_fd, "wb") as stream:
        stream.write(safetensors.torch.save(tensors))
    return _say({"tensors": len(tensors), "landlock": has_landlock}, 0)


def read(path: Path) -> Mapping[Any, Any]:
    """The state dict in the checkpoint at ``path``, its tensors mapped, not copied; raises BundleError."""
    archive.check(path)
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        asked = _ASKED_FOR.search(str(error))
        what = f"it asks for {asked[1]}" if asked else "it asks for something other than tensors"
        raise BundleError(f"the checkpoint: {what}", BundleFault.CHECKPOINT_UNSAFE) from error
    except MemoryError:
        raise
    except Exception as error:
        # What damaged bytes make of an unpickler is of no kind: an answer all the same.
        raise BundleError(
            f"the checkpoint: torch cannot read it ({type(error).__name__})", BundleFault.CHECKPOINT_UNREADABLE
        ) from error
    return _state_dict(found)


def checked(state: Mapping[Any, Any], wanted: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of ``state`` under the names of ``wanted``, each of its shape and kind, with values that can be.

    Raises BundleError (CHECKPOINT_LAYOUT, CHECKPOINT_VALUES) that names a tensor.
    """
    names = [name for name in state if isinstance(name, str)]
    prefix = _PARALLEL if names and all(name.startswith(_PARALLEL) for name in names) else ""
    if len(names) < len(state):
        raise _layout("a tensor has no name")
    tensors = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    for what, difference in (("lacks", wanted.keys() - tensors.keys()), ("has also", tensors.keys() - wanted.keys())):
        if difference:
            shown = ", ".join(ascii(name)[:80] for name in sorted(difference)[:_SHOWN_NAMES])
            raise _layout(f"{what} {len(difference)} tensors: {shown}")
    return {name: _tensor(name, tensors[name], expected) for name, expected in wanted.items()}


def _say(answer: dict[str, Any], code: int) -> int:
    print(json.dumps(answer))  # noqa: T201 — the answer is what standard output is for
    return code


def _state_dict(found: Any) -> Mapping[Any, Any]:
    """The mapping of names to tensors, wherever a training script has put it."""
    for name in _NESTED_UNDER:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
            break
    if not isinstance(found, dict) or not found:
        raise _layout("it holds no state dict")
    return found


def _tensor(name: str, tensor: Any, expected: torch.Tensor) -> torch.Tensor:
    """One tensor, dense and in memory of its own."""
    if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided or tensor.is_meta:
        raise _layout(f"{name} is no dense tensor")
    if tensor.shape != expected.shape or tensor.dtype is not expected.dtype:
        found, needed = (f"{tuple(one.shape)} of {one.dtype}" for one in (tensor, expected))
        raise _layout(f"{name} is {found}, not {needed}")
    tensor = tensor.detach()
    if not bool(torch.isfinite(tensor).all()):
        raise _values(f"{name} holds values that are not finite numbers")
    if name.endswith(("running_var", "num_batches_tracked")) and bool((tensor < 0).any()):
        raise _values(f"{name} holds values below zero")
    own: torch.Tensor = tensor.clone(memory_format=torch.contiguous_format)
    return own


def _layout(why: str) -> BundleError:
    return BundleError(f"the checkpoint: {why}", BundleFault.CHECKPOINT_LAYOUT)


def _values(why: str) -> BundleError:
    return BundleError(f"the checkpoint: {why}", BundleFault.CHECKPOINT_VALUES)


if __name__ == "__main__":
    sys.exit(main())
