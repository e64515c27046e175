"""What the shipped segmenter costs on two cores: the memory should grow with its window, not with the series."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from models.phantoms import Kind, Wanted, draw, render
from models.training.phantom_cohort import volume_of

SLICES: Final = (100, 200, 400)
WITHIN_S: Final = 20.0
"""For the first of them."""
PEAK_MIB: Final = 3.0 * 1024
_SEED: Final = 1
_LENGTH_MM: Final = 300.0
_MIB: Final = 2**20


def segmenter() -> None:
    """Series of 512 x 512 pixels and so many slices, each in a fresh process."""
    table = Table(title="The shipped segmenter, warm, on two cores")
    for name in ("slices", "seconds", "times the first", "peak, MiB", "less series", "found", "bar", ""):
        table.add_column(name, justify="right")
    first = None
    with tempfile.TemporaryDirectory() as folder:
        for slices in SLICES:
            series, found = _measured(slices, Path(folder) / "hu.npy")
            first = first or found["seconds"]
            is_kept = found["peak_mib"] <= PEAK_MIB and (slices > SLICES[0] or found["seconds"] <= WITHIN_S)
            table.add_row(
                str(slices),
                f"{found['seconds']:.1f}",
                f"{found['seconds'] / first:.2f}",
                f"{found['peak_mib']:.0f}",
                f"{found['peak_mib'] - series:.0f}",
                found["came"],
                f"{WITHIN_S:.0f} s, {PEAK_MIB:.0f} MiB" if slices == SLICES[0] else f"{PEAK_MIB:.0f} MiB",
                "kept" if is_kept else "missed",
            )
    Console().print(table)


def _measured(slices: int, file: Path) -> tuple[float, dict[str, Any]]:
    """The size of the series in MiB, and what the other process says of it."""
    wanted = Wanted(kind=Kind.PANCREATIC, slices=slices, thickness_mm=_LENGTH_MM / slices)
    volume = volume_of(render(draw(_SEED, wanted)))
    np.save(file, volume.hu)
    spacing = [str(step) for step in volume.geometry.spacing_xyz_mm]
    command = [sys.executable, "-m", "tests.bench.segmented", str(file), *spacing]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    return volume.hu.nbytes / _MIB, json.loads(said)
