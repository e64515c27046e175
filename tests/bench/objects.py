"""What composing the objects of one case costs: time of each writer, and memory above the volume."""

import gc
import statistics
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from node.domain.ports import ReportWriter
from node.domain.reporting import Report
from node.reports.registry import WRITERS, resolve
from tests.unit.node.reports.factory import CtSpec, attribution, build_report, gtrnet, nomogram

SLICES: Final = 300
ROUNDS: Final = 5
TARGET_S: Final = 1.5
TARGET_MB: Final = 500
_LESION: Final = (slice(130, 160), slice(220, 280), slice(200, 260))
_STATM: Final = Path("/proc/self/statm")
_PAGE_MB: Final = 4096 / 1e6


def objects() -> None:
    """Print the seconds of each writer and the memory that all of them take above the volume, warm."""
    with tempfile.TemporaryDirectory() as name:
        report = _report(Path(name))
        writers = {name: resolve(name) for name in WRITERS}
        _all(writers, report)  # imports, tables and fonts are read once a process
        times, megabytes = _timed(writers, report), _memory(writers, report)
    table = Table("objects", "median s", title=f"Objects of one case, {SLICES} slices of 512 x 512")
    for name, seconds in times.items():
        table.add_row(name, f"{seconds:.3f}")
    table.add_row("all, one after the other", f"{sum(times.values()):.3f} (target {TARGET_S})")
    table.add_row("memory above the volume", f"{megabytes:.0f} MB (target {TARGET_MB})")
    Console().print(table)


def _report(folder: Path) -> Report:
    """A series of the size that hospitals send, a lesion of 30 slices, a map on its box, three key slices."""
    made = replace(gtrnet(), nomogram=nomogram(), attribution=attribution())
    report = build_report(folder, made, CtSpec(slices=SLICES, rows=512, columns=512))
    mask = np.zeros(report.volume.geometry.shape_zyx, dtype=bool)
    mask[_LESION] = True
    saliency = np.random.default_rng(7).random((34, 100, 100), dtype=np.float32)
    explanation = replace(made.explanation, saliency=saliency, start_zyx=(128, 200, 180), key_slices=(145, 140, 150))
    return replace(report, roi=replace(report.roi, mask=mask), prediction=replace(made, explanation=explanation))


def _all(writers: dict[str, ReportWriter], report: Report) -> int:
    return sum(len(one.content) for writer in writers.values() for one in writer.write(report))


def _timed(writers: dict[str, ReportWriter], report: Report) -> dict[str, float]:
    """The median seconds of each writer, the rounds interleaved: a busy machine is busy for all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in writers}
    for _ in range(ROUNDS):
        for name, writer in writers.items():
            started = time.perf_counter()
            writer.write(report)
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def _memory(writers: dict[str, ReportWriter], report: Report) -> float:
    """The highest resident memory while everything is composed, above what there was before, in MB."""
    gc.collect()
    before, highest, stop = _resident_mb(), [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.002):
            highest[0] = max(highest[0], _resident_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    kept = [writer.write(report) for writer in writers.values()]
    stop.set()
    watcher.join()
    return max(highest[0], _resident_mb()) - before if kept else 0.0


def _resident_mb() -> float:
    return int(_STATM.read_text().split()[1]) * _PAGE_MB
