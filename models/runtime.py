"""The fast path: the trunk of a network as compiled code, kept for the next start, never trusted unseen.

On a CPU that is OpenVINO in fp32. Of the candidates with equal outputs (``python -m tests.bench predictors
--candidates`` measures all of them) it is the fastest for both networks or level with the fastest, and the one with the
least to go wrong:

- torch.compile and AOTInductor come close, but need a C++ compiler where they run and compile for half a minute;
- ONNX Runtime is level for ResNet-152 and slower than plain torch for 3-D convolutions;
- BatchNorm folded into the convolutions, channels last, gives half as much;
- bf16 moves probabilities by 1e-3, changes T stages, and is slow on processors that do not know it.

OpenVINO compiles in one to four seconds and loads what it compiled in less than one. It takes threads from a pool of
its own that sleeps when idle. Its package sends telemetry as soon as it is imported: here that part is never loaded.

On CUDA the trunk is torch's own in fp32, channels last, in batches as large as the caller makes them.

Whatever comes out is compared with plain torch at every start, on the network's own examples. What differs, fails or
is absent leaves plain torch, and the log says so.
"""

import hashlib
import io
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from models import device as devices
from node import log
from node.errors import Fatal

if TYPE_CHECKING:
    from openvino import CompiledModel

Trunk = Callable[..., Tensor]
"""Inputs (n, ...) to maps (n, c, ...); gradients do not pass."""

PROBABILITIES: Final = 1e-4
"""By how much a probability may differ from plain torch's."""
MAPS: Final = 1e-3
"""By how much a map may, relative to its largest value: a quarter of a grey level of what is shown."""

KEPT: Final = 16
"""Compiled trunks that stay in the cache, the last used: all bundles of an installation several times over."""

_MAGIC: Final = b"celadon compiled trunk 1\n"
_SUFFIX: Final = ".trunk"
# fp32 on processors that would rather round, the threads that torch has, and no thread tied to a core: two workers
# would be tied to the same ones.
_PRECISE: Final = {
    "INFERENCE_PRECISION_HINT": "f32",
    "EXECUTION_MODE_HINT": "ACCURACY",
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": "1",
    "ENABLE_CPU_PINNING": False,
}


class Part(nn.Module):
    """A step of a network as a module of its own: ``run`` with exactly the ``layers`` that it uses."""

    def __init__(self, run: Trunk, layers: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self._run = run
        self.layers = nn.ModuleDict(layers)

    def forward(self, *inputs: Tensor) -> Tensor:
        """What ``run`` gives."""
        return self._run(*inputs)


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """Where a network is cut in two: the trunk that is compiled, and what tells whether it still says the same."""

    trunk: nn.Module
    examples: tuple[Tensor, ...]
    """Inputs (n, ...), scaled like prepared ones; n at least ``batch``."""
    outcome: Callable[[Tensor], Tensor]
    """From the maps of all examples to the probabilities that the network gives for them."""
    batch: int
    """How many images one case has."""


class Differs(ValueError):
    """Compiled code that does not give what plain torch gives."""


def fast(cut: Cut, key: str, device: torch.device, cache: Path | None = None) -> Trunk:
    """The trunk of ``cut`` as fast as ``device`` allows at equal outputs; the plain one when that cannot be had.

    ``key`` is the digest of the bundle that the weights came from: with it, the machine and the versions of the
    libraries, compiled code is kept in ``cache`` (None: it is not kept). Once compiled code is accepted the plain
    trunk's weights are given up: they would be a second copy.
    """
    started = time.perf_counter()
    try:
        with torch.no_grad():
            found, source = _ACCELERATORS[device.type](cut, key, cache)
    except Exception as error:  # noqa: BLE001  whatever a compiler dies of, plain torch still answers
        log.get().warning(log.FAST_PATH_REFUSED, digest=key, error=type(error).__name__, detail=_first_line(error))
        return cut.trunk
    log.get().info(log.FAST_PATH_READY, digest=key, detail=source, seconds=round(time.perf_counter() - started, 3))
    return found


def _on_cpu(cut: Cut, key: str, cache: Path | None) -> tuple[Trunk, str]:
    """OpenVINO's trunk: the kept one where it is still right, else a new one."""
    expected = cut.trunk(*cut.examples)
    file = cache and cache / f"{key[:16]}-{_fingerprint(cut)[:16]}{_SUFFIX}"
    found = _kept(cut, expected, file) if file else None
    source = "from the cache"
    if found is None:
        source = "compiled"
        found = _Compiled(_compile(cut), cut.batch)
        _verify(cut, found, expected)
        if file:
            _keep(file, found.exported())
    cut.trunk.to("meta")
    return found, source


def _on_cuda(cut: Cut, _key: str, _cache: Path | None) -> tuple[Trunk, str]:
    """Torch's own trunk, its weights and inputs laid out channels last."""
    expected = cut.trunk(*cut.examples)
    layout = _channels_last(cut.examples[0])
    cut.trunk.to(memory_format=layout)  # type: ignore[call-overload]  # torch knows layouts of modules as a keyword only

    def found(image: Tensor, *others: Tensor) -> Tensor:
        maps: Tensor = cut.trunk(image.contiguous(memory_format=layout), *others)
        return maps.contiguous()

    _verify(cut, found, expected)
    return found, "channels last"


_ACCELERATORS: Final[Mapping[str, Callable[[Cut, str, Path | None], tuple[Trunk, str]]]] = {
    devices.CPU: _on_cpu,
    devices.CUDA: _on_cuda,
}


def _channels_last(image: Tensor) -> torch.memory_format:
    planar = 4
    return torch.channels_last if image.ndim == planar else torch.channels_last_3d


def _verify(cut: Cut, found: Trunk, expected: Tensor) -> None:
    """Run all examples through ``found``; raises Differs when the maps are not those ``expected``."""
    actual = found(*cut.examples)
    if actual.shape != expected.shape:
        raise Differs(f"the maps have shape {tuple(actual.shape)}, not {tuple(expected.shape)}")
    maps = float((actual - expected).abs().max() / expected.abs().max())
    probabilities = float((cut.outcome(actual) - cut.outcome(expected)).abs().max())
    # Written so that NaN fails.
    if not (maps <= MAPS and probabilities <= PROBABILITIES):
        raise Differs(f"probabilities differ by {probabilities:.1e}, maps by {maps:.1e}")


class _Compiled:
    """OpenVINO's code for a fixed number of images; others are run in parts, the last filled up with zeros."""

    def __init__(self, model: "CompiledModel", batch: int) -> None:
        self._model = model
        self._request = model.create_infer_request()
        self._batch = batch
        self._shape = tuple(model.outputs[0].shape)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The maps. Raises Fatal when OpenVINO fails: the plain trunk is no longer there to ask."""
        images = inputs[0].shape[0]
        parts = [
            self._run([each[first : first + self._batch] for each in inputs]) for first in range(0, images, self._batch)
        ]
        return torch.cat(parts)[:images]

    def exported(self) -> bytes:
        """What ``_kept`` reads."""
        stream = self._model.export_model()
        return stream if isinstance(stream, bytes) else bytes(stream.getbuffer())

    def _run(self, inputs: Sequence[Tensor]) -> Tensor:
        """The maps of up to ``batch`` images, and of zeros for what is missing."""
        openvino = _openvino()
        # The result goes where nobody else writes: OpenVINO's own buffer is overwritten by the next call.
        maps = np.empty(self._shape, dtype=np.float32)
        try:
            # All of them are held until it has run: OpenVINO reads their memory and does not keep it.
            full = [self._filled(each).numpy() for each in inputs]
            for index, each in enumerate(full):
                self._request.set_input_tensor(index, openvino.Tensor(each, shared_memory=True))
            self._request.set_output_tensor(openvino.Tensor(maps, shared_memory=True))
            self._request.infer()
        except RuntimeError as error:
            raise Fatal(f"the compiled network failed: {_first_line(error)}") from error
        return torch.from_numpy(maps)

    def _filled(self, images: Tensor) -> Tensor:
        """(up to ``batch``, ...) to (``batch``, ...)."""
        missing = self._batch - images.shape[0]
        return nn.functional.pad(images, (0, 0) * (images.ndim - 1) + (0, missing)).contiguous()


def _compile(cut: Cut) -> "CompiledModel":
    """Code for ``cut.batch`` images on this processor."""
    openvino = _openvino()
    inputs = tuple(each[: cut.batch].contiguous() for each in cut.examples)
    # OpenVINO would trace as well, and run it twice more to compare; ours is compared with plain torch anyway. What
    # replaces tracing in torch makes the first start three times as long.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(cut.trunk, inputs, check_trace=False)  # type: ignore[no-untyped-call]  # torch's gap
    model = openvino.convert_model(traced, example_input=inputs, input=[list(each.shape) for each in inputs])
    return openvino.Core().compile_model(model, "CPU", _options())


def _options() -> dict[str, Any]:
    return {**_PRECISE, "INFERENCE_NUM_THREADS": torch.get_num_threads()}


def _openvino() -> Any:
    """The package without its telemetry, which it does without when it cannot be imported."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is how Python forbids an import
    import openvino  # noqa: PLC0415  after the line above, and only where it is used

    return openvino


def _fingerprint(cut: Cut) -> str:
    """SHA-256 over all that compiled code depends on, besides the weights."""
    parts = (
        *(f"{package} {version(package)}" for package in ("celadon", "openvino", "torch")),
        devices.machine(),
        json.dumps(_options(), sort_keys=True),
        *(str(tuple(each.shape[1:])) for each in cut.examples),
        str(cut.batch),
        repr(cut.trunk),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _kept(cut: Cut, expected: Tensor, file: Path) -> _Compiled | None:
    """The compiled trunk in ``file`` where it is whole and right; otherwise the file is removed."""
    if not file.is_file():
        return None
    try:
        found = _Compiled(_openvino().Core().import_model(_read(file), "CPU", _options()), cut.batch)
        _verify(cut, found, expected)
    except (OSError, RuntimeError, ValueError, Fatal) as error:
        log.get().warning(log.ARTEFACT_DROPPED, path=file.name, error=type(error).__name__, detail=_first_line(error))
        file.unlink(missing_ok=True)
        return None
    os.utime(file)
    return found


def _read(file: Path) -> io.BytesIO:
    """The code in ``file``; raises ValueError when the file is not whole."""
    with file.open("rb") as stream:
        header, code = stream.read(len(_MAGIC) + hashlib.sha256().digest_size), stream.read()
    if header != _header(code):
        raise ValueError("the file is not as it was written")
    return io.BytesIO(code)


def _header(code: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(code).digest()


def _keep(file: Path, code: bytes) -> None:
    """Write ``file`` whole or not at all, and remove what has long not been used. A full disk only costs time."""
    part: Path | None = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=file.stem, suffix=".part", delete=False) as stream:
            part = Path(stream.name)
            stream.write(_header(code))
            stream.write(code)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
        for old in sorted(file.parent.glob(f"*{_SUFFIX}"), key=_last_used, reverse=True)[KEPT:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.get().warning(log.ARTEFACT_NOT_KEPT, path=file.name, error=type(error).__name__, detail=error.strerror)
        if part is not None:
            part.unlink(missing_ok=True)


def _last_used(file: Path) -> float:
    return file.stat().st_mtime


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
