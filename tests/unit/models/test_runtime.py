"""The fast path: equal to plain torch or not used; kept, checked, and rebuilt when it is spoilt."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from structlog.testing import capture_logs
from torch import Tensor, nn

from models import runtime
from models.runtime import Cut, Part, fast
from node import log
from node.errors import Fatal

CPU = torch.device("cpu")
KEY = "ab" * 32


class Small(nn.Module):
    """A network of two halves, its BatchNorm with statistics of its own."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv, self.norm, self.out = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4)
            nn.init.normal_(self.norm.running_mean)
        self.eval().requires_grad_(requires_grad=False)

    def maps(self, images: Tensor) -> Tensor:
        """The first half."""
        return torch.relu(self.norm(self.conv(images)))

    def probabilities(self, maps: Tensor) -> Tensor:
        """The second."""
        return torch.softmax(self.out(maps.mean(dim=(2, 3))).double(), dim=1)


def cut_of(network: Small, batch: int = 3, outcome: Callable[[Tensor], Tensor] | None = None) -> Cut:
    """The network cut after its maps."""
    images = torch.randn(4, 3, 16, 12, generator=torch.Generator().manual_seed(2))
    part = Part(network.maps, {"conv": network.conv, "norm": network.norm})
    return Cut(part, (images,), outcome or network.probabilities, batch)


@pytest.fixture
def cut() -> Cut:
    """A cut network."""
    return cut_of(Small())


@pytest.fixture
def images() -> Tensor:
    """Images that are not the examples."""
    return torch.randn(7, 3, 16, 12, generator=torch.Generator().manual_seed(3))


def events(found: list[dict[str, object]]) -> list[object]:
    """The names of what was logged."""
    return [each["event"] for each in found]


def plain(images: Tensor, seed: int = 1) -> Tensor:
    """What plain torch says."""
    return Small(seed).maps(images)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_any_number_of_images_gives_what_plain_torch_gives(cut: Cut, images: Tensor, count: int) -> None:
    """Code for three images at once runs one, two, five or seven, each as plain torch would."""
    found = fast(cut, KEY, CPU)
    assert isinstance(found, runtime._Compiled)
    assert torch.allclose(found(images[:count]), plain(images[:count]), atol=1e-5)


def test_every_input_is_read_as_it_is() -> None:
    """Of several, none from memory that something else has been given meanwhile."""
    network = Small()

    def both(one: Tensor, other: Tensor) -> Tensor:
        return network.maps(one) + network.maps(other)

    generator = torch.Generator().manual_seed(4)
    pairs = [tuple(torch.randn(3, 3, 160, 120, generator=generator) for _ in range(2)) for _ in range(8)]
    part = Part(both, {"conv": network.conv, "norm": network.norm})
    expected = [both(*pair) for pair in pairs]
    found = fast(Cut(part, pairs[0], network.probabilities, 3), KEY, CPU)
    assert found is not part
    for pair, maps in zip(pairs, expected, strict=True):
        torch.testing.assert_close(found(*pair), maps, atol=1e-4, rtol=1e-4)


def test_results_are_not_overwritten(cut: Cut, images: Tensor) -> None:
    """Maps stay what they were when the trunk runs again."""
    found = fast(cut, KEY, CPU)
    first = found(images[:3])
    before = first.clone()
    found(images[3:6])
    assert torch.equal(first, before)


def test_the_plain_weights_are_given_up(cut: Cut) -> None:
    """Once the compiled trunk is accepted there is one copy of the weights; the rest of the network stays."""
    network = Small()
    fast(cut_of(network), KEY, CPU)
    assert network.conv.weight.is_meta
    assert not network.out.weight.is_meta


def test_the_second_start_compiles_nothing(
    cut: Cut, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first start kept, the second loads, with the same numbers."""
    first = fast(cut, KEY, CPU, tmp_path / "new")(images)
    monkeypatch.setattr(runtime, "_compile", lambda _: pytest.fail("compiled again"))
    second = fast(cut_of(Small()), KEY, CPU, tmp_path / "new")
    assert isinstance(second, runtime._Compiled)
    assert torch.equal(second(images), first)
    assert [file.suffix for file in (tmp_path / "new").iterdir()] == [".trunk"]


def _shortened(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def _of_another_make(content: bytes) -> bytes:
    code = b"not what OpenVINO wrote"
    return runtime._header(code) + code


@pytest.mark.parametrize("spoil", [_shortened, _flipped, _of_another_make, lambda _: b""])
def test_a_spoilt_file_is_built_again(tmp_path: Path, images: Tensor, spoil: Callable[[bytes], bytes]) -> None:
    """A file that is cut, changed, foreign or empty is never used, and the next start finds a good one."""
    fast(cut_of(Small()), KEY, CPU, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(spoil(file.read_bytes()))
    with capture_logs() as logged:
        found = fast(cut_of(Small()), KEY, CPU, tmp_path)
    assert events(logged) == [log.ARTEFACT_DROPPED, log.FAST_PATH_READY]
    assert torch.allclose(found(images), plain(images), atol=1e-5)
    with capture_logs() as logged:
        fast(cut_of(Small()), KEY, CPU, tmp_path)
    assert [(each["event"], each["detail"]) for each in logged] == [(log.FAST_PATH_READY, "from the cache")]


def test_kept_code_for_other_weights_is_built_again(tmp_path: Path, images: Tensor) -> None:
    """A whole file under the right name with the wrong weights in it does not pass the comparison."""
    fast(cut_of(Small(seed=1)), KEY, CPU, tmp_path)
    found = fast(cut_of(Small(seed=9)), KEY, CPU, tmp_path)
    assert torch.allclose(found(images), plain(images, seed=9), atol=1e-5)


@pytest.mark.parametrize("change", ["key", "machine", "threads"])
def test_other_weights_machines_and_threads_have_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The name of a file says for what it was compiled."""
    fast(cut_of(Small()), KEY, CPU, tmp_path)
    if change == "machine":
        monkeypatch.setattr(runtime.devices, "machine", lambda: "another processor")
    if change == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1 + os.cpu_count())
    fast(cut_of(Small()), "cd" * 32 if change == "key" else KEY, CPU, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def _wrong_maps(model: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *inputs: model(*inputs) * 1.01


def _no_numbers(model: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *inputs: model(*inputs) * float("nan")


def _wrong_shape(model: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *inputs: model(*inputs)[:, :1]


@pytest.mark.parametrize("spoil", [_wrong_maps, _no_numbers, _wrong_shape])
def test_code_that_says_something_else_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    images: Tensor,
    spoil: Callable[[Callable[..., Tensor]], Callable[..., Tensor]],
) -> None:
    """Maps that differ, are no numbers or have another shape: plain torch runs, the log says so, nothing is kept."""
    honest = runtime._Compiled.__call__
    monkeypatch.setattr(runtime._Compiled, "__call__", lambda self, *inputs: spoil(partial_of(honest, self))(*inputs))
    with capture_logs() as logged:
        found = fast(cut_of(Small()), KEY, CPU, tmp_path)
    assert torch.equal(found(images), plain(images))
    assert [(each["event"], each["error"]) for each in logged] == [(log.FAST_PATH_REFUSED, "Differs")]
    assert list(tmp_path.iterdir()) == []


def partial_of(function: Callable[..., Tensor], instance: object) -> Callable[..., Tensor]:
    """A method of an instance."""
    return lambda *inputs: function(instance, *inputs)


def test_small_differences_of_maps_that_move_probabilities_are_not_used(images: Tensor) -> None:
    """What counts is what the network says: a head that magnifies rounding keeps plain torch."""
    network = Small()
    touchy = cut_of(network, outcome=lambda maps: torch.sigmoid(1e7 * (maps - plain(cut_of(Small()).examples[0]))))
    assert fast(touchy, KEY, CPU)(images).equal(plain(images))


@pytest.mark.parametrize("error", [RuntimeError("no such layer"), ImportError("openvino"), MemoryError()])
def test_without_a_compiler_plain_torch_runs(
    cut: Cut, images: Tensor, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever compiling dies of, the network answers as before, and the log says why."""

    def fail(_: Cut) -> None:
        raise error

    monkeypatch.setattr(runtime, "_compile", fail)
    with capture_logs() as logged:
        found = fast(cut, KEY, CPU)
    assert torch.equal(found(images), plain(images))
    assert [(each["event"], each["error"]) for each in logged] == [(log.FAST_PATH_REFUSED, type(error).__name__)]


def test_a_folder_that_cannot_be_written_costs_only_time(cut: Cut, images: Tensor, tmp_path: Path) -> None:
    """The compiled trunk runs; that it is not kept is logged."""
    (tmp_path / "taken").write_text("a file where the folder should be", encoding="utf-8")
    with capture_logs() as logged:
        found = fast(cut, KEY, CPU, tmp_path / "taken")
    assert events(logged) == [log.ARTEFACT_NOT_KEPT, log.FAST_PATH_READY]
    assert torch.allclose(found(images), plain(images), atol=1e-5)


def test_what_is_long_unused_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache holds so many files, and the one removed is the one used longest ago."""
    monkeypatch.setattr(runtime, "KEPT", 2)
    for age, name in ((300, "old"), (200, "used")):
        file = tmp_path / f"{name}.trunk"
        file.touch()
        os.utime(file, (file.stat().st_mtime - age,) * 2)
    fast(cut_of(Small()), KEY, CPU, tmp_path)
    names = {file.stem for file in tmp_path.iterdir()}
    assert len(names) == 2
    assert "old" not in names
    assert "used" in names


def test_a_failure_while_running_is_fatal(cut: Cut) -> None:
    """There is no plain trunk left to ask: the error says so in the node's own words."""
    found = fast(cut, KEY, CPU)
    with pytest.raises(Fatal, match="compiled network failed"):
        found(torch.zeros(1, 3, 5, 5))


def test_cuda_is_channels_last_and_equal(cut: Cut, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """On CUDA the whole batch goes through torch at once, channels last.

    The choice is faked: this runs on the CPU.
    """
    monkeypatch.setattr(runtime, "_ACCELERATORS", {"cpu": runtime._on_cuda})
    seen: list[Tensor] = []
    trunk = cut.trunk
    trunk.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    found = fast(cut, KEY, CPU)
    seen.clear()
    assert torch.allclose(found(images), plain(images), atol=1e-6)
    (batch,) = seen
    assert batch.shape[0] == 7
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert next(trunk.parameters()).is_contiguous(memory_format=torch.channels_last)


def test_an_unknown_device_runs_plain_torch(cut: Cut, images: Tensor) -> None:
    """A device without a fast path is no error."""
    with capture_logs() as logged:
        assert fast(cut, KEY, torch.device("meta")) is cut.trunk
    assert events(logged) == [log.FAST_PATH_REFUSED]


def test_nothing_is_sent_anywhere() -> None:
    """Compiling and running opens no connection and never loads OpenVINO's telemetry, which is installed with it."""
    script = """
import sys
attempts = []
sys.addaudithook(lambda event, _: attempts.append(event) if event.startswith(("socket.", "urllib.")) else None)
import torch
from models import runtime
cut = runtime.Cut(torch.nn.Conv2d(1, 1, 3).eval(), (torch.ones(1, 1, 8, 8),), lambda maps: maps, 1)
found = runtime.fast(cut, "ab" * 32, torch.device("cpu"))
assert isinstance(found, runtime._Compiled), found
assert not [name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module]
assert not {"socket.connect", "socket.getaddrinfo", "urllib.Request"} & set(attempts), attempts
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])


def test_the_registry_is_free_of_torch() -> None:
    """Asking what there is costs no model library."""
    script = "import sys, models.registry; assert not {'torch', 'monai', 'openvino'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])
