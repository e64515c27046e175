"""Where the networks run: the device, and how many threads a worker may use."""

import ctypes
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from node import log
from node.errors import UsageError

AUTO: Final = "auto"
CPU: Final = "cpu"
CUDA: Final = "cuda"
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
_CPU_FILE: Final = Path("/proc/cpuinfo")
# What compiled code depends on: the model (x86), the instruction sets (x86, then Arm).
_CPU_FIELDS: Final = frozenset({"model name", "flags", "Features"})
# Of mallopt(3), glibc: nothing freed goes back, it grows by 64 MB at a time, and no array has pages of its own.
_KEEPS_MEMORY: Final = {-1: -1, -2: 64 << 20, -4: 0}


def limit_threads(workers: int) -> int:
    """Give each of ``workers`` processes its share of the cores, at least one; returns the threads for this one.

    Call it before torch is first imported: OpenMP reads its variables once, and processes whose threads outnumber the
    cores slow each other up to a hundredfold.
    """
    threads = max(1, _cores() // max(1, workers))
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    # A thread that waits by spinning takes the core that the one it waits for would need.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "torch" in sys.modules:
        import torch  # noqa: PLC0415  only where it is loaded already

        torch.set_num_threads(threads)
    return threads


def keep_freed_memory() -> bool:
    """Whether from now on this process keeps for itself what its arrays leave, where the system's allocator can.

    A step of a training makes and leaves gigabytes; given back and asked for anew, they cost a third of its time. For a
    process that does one thing and ends: what it once had it has to its end.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another system, or another C library
        return False
    return all(set_option(option, value) == 1 for option, value in _KEEPS_MEMORY.items())


def choose(wanted: str = AUTO) -> str:
    """``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``; UsageError when what is wanted is not there."""
    if wanted not in {AUTO, CPU, CUDA}:
        raise UsageError(f"device is {wanted!r}; it can be {AUTO}, {CPU} or {CUDA}")
    if wanted == CPU:
        return CPU
    import torch  # noqa: PLC0415  loading takes seconds, and ``cpu`` needs none of it

    if torch.cuda.is_available():
        # Rounding moves predictions: of 300 phantoms 17 changed their T stage in bf16. So neither it nor TF32, which
        # keeps ten bits of mantissa, is used; channels_last and batches are what makes CUDA fast here.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        return CUDA
    if wanted == CUDA:
        raise UsageError("device is 'cuda', but no CUDA device can be used here")
    return CPU


def room(device: str, needed_bytes: int, free_bytes: Callable[[], int] | None = None) -> Callable[[], bool]:
    """Whether ``device`` has so much memory free, asked each time; a CPU always has.

    ``free_bytes``: what a GPU has free, as its driver says it.
    """
    if device == CPU:
        return lambda: True
    probe, is_full = free_bytes or _free_on_gpu, False

    def has_room() -> bool:
        nonlocal is_full
        free, was_full = probe(), is_full
        is_full = free < needed_bytes
        if is_full and not was_full:
            log.get().warning(log.GPU_BUSY, bytes=free)
        return not is_full

    return has_room


def give_back() -> None:
    """Give the memory back to the GPU that torch keeps there for itself."""
    import torch  # noqa: PLC0415  as in ``choose``

    torch.cuda.empty_cache()


def _free_on_gpu() -> int:
    import torch  # noqa: PLC0415  as in ``choose``

    free, _ = torch.cuda.mem_get_info()
    return int(free)


def machine() -> str:
    """What compiled code may depend on: architecture, model of the processor, its instruction sets."""
    return "\n".join((platform.machine(), platform.processor(), *sorted(set(_processors()))))


def _processors() -> Iterator[str]:
    """The telling lines of every processor, where the system has them as a file."""
    try:
        lines = _CPU_FILE.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    yield from (line for line in lines if line.partition(":")[0].strip() in _CPU_FIELDS)


def _cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
