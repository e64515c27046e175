"""The candidates for the fast path, side by side: why ``models.runtime`` does what it does.

    python -m tests.bench candidates

Both trunks on this machine's CPU, every candidate in turn in one process, and how far the probabilities move. A
candidate that cannot be built here (no C++ compiler, package absent) has a row that says why.
"""

import copy
import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.fx import symbolic_trace
from torch.fx.experimental.optimization import fuse

from models import runtime
from models.bundle import Bundle, shipped
from models.registry import PREDICTORS, resolve
from models.runtime import Cut, Trunk

ROUNDS: Final = 15
Build = Callable[[nn.Module, tuple[Tensor, ...]], Trunk]


def candidates() -> None:
    """A table for each predictor."""
    warnings.simplefilter("ignore")
    for name, entry in PREDICTORS.items():
        with torch.no_grad():
            _compare(name, resolve(entry)(Bundle.open(shipped(name)))._cut())


def _compare(name: str, cut: Cut) -> None:
    """Build all, run them in turn, print."""
    table = Table("candidate", "first, s", "median, ms", "of eager", "largest dp", title=f"{name}: the trunk, one case")
    inputs = tuple(each[: cut.batch].contiguous() for each in cut.examples)
    built: dict[str, Trunk] = {}
    first: dict[str, float] = {}
    for label, build in CANDIDATES.items():
        started = time.perf_counter()
        try:
            built[label] = build(copy.deepcopy(cut.trunk) if build is not _openvino else cut.trunk, inputs)
            built[label](*inputs)
        except Exception as error:  # noqa: BLE001  a candidate that fails is a result
            built.pop(label, None)
            table.add_row(label, "", "", "", f"{type(error).__name__}: {str(error).partition(chr(10))[0][:60]}")
        first[label] = time.perf_counter() - started
    walls: dict[str, list[float]] = {label: [] for label in built}
    for _ in range(ROUNDS):
        for label, run in built.items():
            started = time.perf_counter()
            run(*inputs)
            walls[label].append(time.perf_counter() - started)
    medians = {label: statistics.median(seconds) for label, seconds in walls.items()}
    probabilities = {label: _outcome(cut, run, inputs) for label, run in built.items()}
    for label, median in medians.items():
        moved = float((probabilities[label] - probabilities["eager"]).abs().max())
        ratio = median / medians["eager"]
        table.add_row(label, f"{first[label]:.1f}", f"{1000 * median:.1f}", f"{ratio:.2f}", f"{moved:.0e}")
    Console().print(table)


def _outcome(cut: Cut, run: Trunk, inputs: tuple[Tensor, ...]) -> Tensor:
    """The probabilities for ``inputs``; the other examples go through plain torch."""
    maps = cut.trunk(*cut.examples)
    maps[: cut.batch] = run(*inputs)
    return cut.outcome(maps)[: cut.batch]


class _OneInput(nn.Module):
    """The trunk with a number of inputs that tracing can see."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, image: Tensor) -> Tensor:
        """The maps."""
        return self.trunk(image)


def _layout(inputs: tuple[Tensor, ...]) -> torch.memory_format:
    return runtime._channels_last(inputs[0])


def _eager(trunk: nn.Module, _: tuple[Tensor, ...]) -> Trunk:
    return trunk


def _channels_last(trunk: nn.Module, inputs: tuple[Tensor, ...]) -> Trunk:
    layout = _layout(inputs)
    trunk.to(memory_format=layout)
    return lambda image: trunk(image.contiguous(memory_format=layout))


def _folded(trunk: nn.Module, _: tuple[Tensor, ...]) -> Trunk:
    return fuse(symbolic_trace(_OneInput(trunk)))


def _folded_channels_last(trunk: nn.Module, inputs: tuple[Tensor, ...]) -> Trunk:
    return _channels_last(fuse(symbolic_trace(_OneInput(trunk))), inputs)


def _bf16(trunk: nn.Module, inputs: tuple[Tensor, ...]) -> Trunk:
    run = _folded_channels_last(trunk, inputs)

    def rounded(image: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return run(image).float()

    return rounded


def _torch_compile(trunk: nn.Module, _: tuple[Tensor, ...]) -> Trunk:
    import torch._inductor.config as inductor  # noqa: PLC0415  loading it takes seconds

    inductor.freezing = True
    return torch.compile(trunk, dynamic=False)


def _aot_inductor(trunk: nn.Module, inputs: tuple[Tensor, ...]) -> Trunk:
    from torch._inductor import aoti_compile_and_package, aoti_load_package  # noqa: PLC0415

    program = torch.export.export(trunk, inputs)
    path = str(Path(tempfile.mkdtemp(prefix="celadon-bench-")) / "trunk.pt2")
    aoti_compile_and_package(program, package_path=path, inductor_configs={"freezing": True})
    return aoti_load_package(path)


def _onnx_runtime(trunk: nn.Module, inputs: tuple[Tensor, ...]) -> Trunk:
    import onnxruntime  # noqa: PLC0415  a candidate, not a dependency

    stream = io.BytesIO()
    torch.onnx.export(trunk, inputs, stream, dynamo=False, input_names=["image"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(stream.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(None, {"image": image.numpy()})[0])


def _openvino(trunk: nn.Module, inputs: tuple[Tensor, ...]) -> Trunk:
    batch = len(inputs[0])
    return runtime._Compiled(runtime._compile(Cut(trunk, inputs, lambda maps: maps, batch)), batch)


CANDIDATES: Final[dict[str, Build]] = {
    "eager": _eager,
    "channels last": _channels_last,
    "BatchNorm folded": _folded,
    "folded, channels last": _folded_channels_last,
    "the same in bf16": _bf16,
    "torch.compile, frozen": _torch_compile,
    "AOTInductor": _aot_inductor,
    "ONNX Runtime": _onnx_runtime,
    "OpenVINO fp32 (taken)": _openvino,
}
