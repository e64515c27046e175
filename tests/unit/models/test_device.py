"""Devices and threads."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models import device
from node.errors import UsageError


@pytest.fixture
def _own_surroundings(monkeypatch: pytest.MonkeyPatch) -> object:
    """Undo what a test does to the environment and to torch."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    monkeypatch.setenv("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "2")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_own_surroundings")
@pytest.mark.parametrize(("cores", "workers", "threads"), [(8, 2, 4), (8, 3, 2), (2, 4, 1), (4, 0, 4)])
def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, threads: int) -> None:
    """Each worker gets its whole share of the cores and at least one, in the environment and in torch."""
    monkeypatch.setattr(device, "_cores", lambda: cores)
    assert device.limit_threads(workers) == threads
    assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == str(threads)
    assert torch.get_num_threads() == threads


def test_memory_that_was_freed_is_kept() -> None:
    """The second large array takes no page from the system; without it, each takes all of its own."""
    code = (
        "import resource, sys\n"
        "import numpy as np\n"
        "from models import device\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    np.ones(100_000_000, np.uint8)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "print(sys.argv[1] == 'keep' and device.keep_freed_memory())\n"
        "faults()\n"
        "print(faults())\n"
    )
    keeping, leaving = (
        subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, check=True).stdout.split()
        for how in ("keep", "leave")
    )
    if keeping[0] == "False":
        pytest.skip("the C library has no mallopt")
    assert int(keeping[1]) < 1_000
    assert int(leaving[1]) > 10 * int(keeping[1])


@pytest.mark.usefixtures("_own_surroundings")
def test_waiting_threads_sleep_unless_somebody_chose_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenMP's threads do not spin on cores that others need; an operator's own choice stands."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    device.limit_threads(1)
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    device.limit_threads(1)
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_auto_falls_back_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CUDA ``auto`` is the CPU, and asking for CUDA is an error that says so."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose() == "cpu"
    with pytest.raises(UsageError, match="no CUDA device"):
        device.choose("cuda")


def test_an_unknown_device_is_an_error() -> None:
    """A device that is not one of the three is a usage error naming it."""
    with pytest.raises(UsageError, match="'tpu'"):
        device.choose("tpu")


def test_the_machine_is_described_by_what_code_depends_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another instruction set is another machine; another clock rate at this moment is the same."""
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(device, "_CPU_FILE", file)
    descriptions = []
    for flags, clock in (("fma avx2", 2300), ("fma avx2", 1700), ("fma avx2 avx512f", 2300)):
        file.write_text(f"processor : 0\nmodel name : X\ncpu MHz : {clock}\nflags : {flags}\n", encoding="utf-8")
        descriptions.append(device.machine())
    assert descriptions[0] == descriptions[1] != descriptions[2]


def test_a_machine_without_a_description_still_has_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the system has no such file, the architecture remains."""
    monkeypatch.setattr(device, "_CPU_FILE", tmp_path / "absent")
    assert platform.machine() in device.machine()


def test_a_cpu_always_has_room() -> None:
    """What it lacks, the system says."""
    assert device.room(device.CPU, 10**15)()


def test_a_gpu_is_asked_each_time_whether_it_has_room() -> None:
    """Somebody else may use it for a while."""
    free = [2, 3, 2]
    has_room = device.room(device.CUDA, 3, lambda: free.pop(0))
    assert [has_room() for _ in range(3)] == [False, True, False]
