"""The GPUs that this process may use, by the names that CUDA knows: without torch, which takes seconds to ask.

Where ``CUDA_VISIBLE_DEVICES`` is set, it says them (indices, GPU or MIG UUIDs; empty: none). Else the driver's own
``nvidia-smi -L`` does; of a device that is partitioned (MIG), its instances count, since a process can use only one.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Final

VARIABLE: Final = "CUDA_VISIBLE_DEVICES"
_ANSWERS_WITHIN_S: Final = 20.0
_GPU: Final = re.compile(r"^GPU \d+: .*\(UUID: (GPU-[0-9A-Za-z-]+)\)\s*$")
_MIG: Final = re.compile(r"^\s+MIG .*\(UUID: (MIG-[0-9A-Za-z/-]+)\)\s*$")


def visible(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The devices, in CUDA's order; empty where there is none or the driver does not answer."""
    if VARIABLE in environment:
        names = [name.strip() for name in environment[VARIABLE].split(",")]
        # CUDA takes no device after the first that it does not know; -1 is how people say "none".
        return tuple(names[: next((place for place, name in enumerate(names) if name in ("", "-1")), len(names))])
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return ()
    try:
        said = subprocess.run([program, "-L"], check=True, capture_output=True, text=True, timeout=_ANSWERS_WITHIN_S)  # noqa: S603 — the driver's program, a fixed argument
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse(said.stdout)


def parse(listing: str) -> tuple[str, ...]:
    """The devices in what ``nvidia-smi -L`` prints."""
    found: list[list[str]] = []
    for line in listing.splitlines():
        if (device := _GPU.match(line)) is not None:
            found.append([device[1]])
        elif found and (instance := _MIG.match(line)) is not None:
            found[-1].append(instance[1])
    # The first of each is the device itself: it stands for its instances where there are some.
    return tuple(name for device, *instances in found for name in (instances or [device]))
