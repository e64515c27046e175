"""What a checkpoint may hold: the tensors of the network, exactly, with values that a trained network can have."""

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.checkpoints.convert import checked, read
from node.domain.reasons import BundleFault
from node.errors import BundleError
from tests.small_network import SmallNetwork, state

State = OrderedDict[str, Tensor]


class Payload:
    """Unpickled, it would run a command."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self._command,)


def saved(found: Any, path: Path) -> Path:
    """A checkpoint of whatever it is."""
    torch.save(found, path)
    return path


def same(one: dict[str, Tensor], other: State) -> bool:
    """Whether names, order and values are the same."""
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in other)


def parallel(of: State) -> State:
    """As DataParallel names them."""
    return OrderedDict((f"module.{name}", tensor) for name, tensor in of.items())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda found: found,
        parallel,
        lambda found: {"state_dict": found, "epoch": 7, "optimizer": {"lr": 0.1}},
        lambda found: {"model": parallel(found), "best_acc": 0.9},
        lambda found: OrderedDict(
            (name, nn.Parameter(t, requires_grad=t.is_floating_point())) for name, t in found.items()
        ),
        lambda found: OrderedDict(reversed(found.items())),
    ],
    ids=["plain", "DataParallel", "training script", "both", "parameters", "other order"],
)
def test_the_tensors_are_found(tmp_path: Path, wrap: Callable[[State], Any]) -> None:
    """Wherever a training script has put them; the values are unchanged and in the network's order."""
    found = checked(read(saved(wrap(state()), tmp_path / "x.pth")), SmallNetwork().state_dict())
    assert same(found, state())


def test_a_payload_does_not_run(tmp_path: Path) -> None:
    """The same file that runs a command in a plain unpickler is refused here, with what it asks for."""
    marker = tmp_path / "ran"
    payload = Payload(f"touch {marker}")
    pickle.loads(pickle.dumps(payload))  # noqa: S301 — it is armed
    assert marker.exists()
    marker.unlink()
    path = saved(OrderedDict(state(), extra=payload), tmp_path / "x.pth")
    with pytest.raises(BundleError, match=r"CHECKPOINT_UNSAFE: .*asks for (posix|nt)\.system"):
        read(path)
    assert not marker.exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    """It would need the code that it was made with."""
    with pytest.raises(BundleError, match=r"CHECKPOINT_UNSAFE: .*asks for tests\.small_network\.SmallNetwork"):
        read(saved(SmallNetwork(), tmp_path / "x.pth"))


@pytest.mark.parametrize("found", [[1, 2], {}, torch.zeros(3), 7, {"state_dict": {}}], ids=repr)
def test_what_holds_no_state_dict_is_refused(tmp_path: Path, found: object) -> None:
    """A list, nothing, a bare tensor, a number."""
    with pytest.raises(BundleError, match="CHECKPOINT_LAYOUT"):
        checked(read(saved(found, tmp_path / "x.pth")), SmallNetwork().state_dict())


def test_damaged_bytes_are_an_answer(tmp_path: Path) -> None:
    """A pickle of noise inside a whole archive: one error, whatever torch makes of it."""
    path = saved(state(), tmp_path / "x.pth")
    content = bytearray(path.read_bytes())
    start = content.index(b"data.pkl") + len(b"data.pkl")
    content[start : start + 300] = np.random.default_rng(1).bytes(300)
    path.write_bytes(content)
    with pytest.raises(BundleError) as fault:
        checked(read(path), SmallNetwork().state_dict())
    assert fault.value.fault.name.startswith("CHECKPOINT_")


def _without(name: str) -> Callable[[State], object]:
    return lambda found: found.pop(name)


def _with(name: Any, tensor: Any) -> Callable[[Any], object]:
    return lambda found: found.__setitem__(name, tensor)


LAYOUT, VALUES = BundleFault.CHECKPOINT_LAYOUT, BundleFault.CHECKPOINT_VALUES


@pytest.mark.parametrize(
    ("change", "fault", "words"),
    [
        (_without("fc.bias"), LAYOUT, "lacks 1 tensors: 'fc.bias'"),
        (_with("fc2.bias", torch.zeros(2)), LAYOUT, "has also 1 tensors: 'fc2.bias'"),
        (_with(7, torch.zeros(2)), LAYOUT, "has no name"),
        (_with("fc.weight", torch.zeros(3, 2)), LAYOUT, r"fc.weight is \(3, 2\) of torch.float32, not \(2, 3\)"),
        (_with("fc.weight", torch.zeros(2, 3, dtype=torch.float64)), LAYOUT, "torch.float64, not"),
        (_with("fc.weight", torch.zeros(2, 3).to_sparse()), LAYOUT, "fc.weight is no dense tensor"),
        (_with("fc.weight", torch.zeros(2, 3, device="meta")), LAYOUT, "fc.weight is no dense tensor"),
        (_with("fc.weight", "text"), LAYOUT, "fc.weight is no dense tensor"),
        (_with("fc.bias", torch.tensor([0.0, float("nan")])), VALUES, "fc.bias holds values that are not finite"),
        (_with("fc.bias", torch.tensor([0.0, float("inf")])), VALUES, "fc.bias holds values that are not finite"),
        (_with("bn.running_var", torch.tensor([1.0, -1.0])), VALUES, "bn.running_var holds values below zero"),
        (_with("bn.num_batches_tracked", torch.tensor(-1)), VALUES, "bn.num_batches_tracked holds values below zero"),
    ],
)
def test_what_differs_from_the_network_is_named(
    change: Callable[[State], object], fault: BundleFault, words: str
) -> None:
    """Names, shapes, kinds and values, with the tensor."""
    found = state()
    change(found)
    with pytest.raises(BundleError, match=words) as error:
        checked(found, SmallNetwork().state_dict())
    assert error.value.fault is fault


def test_what_is_kept_shares_no_memory() -> None:
    """A view of a large or overlapping storage becomes a tensor of its own."""
    found = state()
    found["fc.bias"] = torch.zeros(1).expand(2)
    kept = checked(found, SmallNetwork().state_dict())["fc.bias"]
    assert kept.untyped_storage().nbytes() == 8
    assert kept.is_contiguous()
