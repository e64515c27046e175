"""Running a trial: studies are rendered by a process beside the node, sent one after the other, and scored."""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.bundle_store import shipped_digests
from node.settings import Settings
from tests.trial import rows as rows_on_disk
from tests.trial.plan import Planned, plan
from tests.trial.rendering import NICENESS, Rendered, find
from tests.trial.rows import Row
from tests.trial.site import Site, open_site

STUDIES: Final = "studies"
RENDERED_WITHIN_S: Final = 1200.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What is asked for."""

    studies: int
    seed: int
    folder: Path
    """Rendered studies and results are kept here."""
    contours: bool = False
    """Whether each study is sent with a contour of its lesions, the truth: then the predictors' errors stand alone."""
    thickness_mm: float | None = None
    niceness: int = NICENESS
    settings: str = ""
    """What is added to the node's settings file."""


def run(trial: Trial, say: Callable[[str], None]) -> tuple[Row, ...]:
    """All rows, those of an earlier run with the same weights and settings among them.

    Raises AssertionError when a study does not end, RuntimeError when the node or the renderer dies.
    """
    planned = plan(trial.studies, trial.seed, trial.thickness_mm)
    weights = _weights(trial)
    file = results_file(trial, weights)
    known = {row.truth.seed: row for row in rows_on_disk.read(file)}
    open_ = [one for one in planned if _seed_of(one, trial) not in known]
    if open_:
        say(f"{len(planned) - len(open_)} of {len(planned)} studies are known; {len(open_)} to go")
        for row in _send_all(open_, trial, weights, say):
            rows_on_disk.append(file, row)
            known[row.truth.seed] = row
            rows_on_disk.write_csv(csv_file(trial, weights), list(known.values()))
    seeds = [_seed_of(one, trial) for one in planned]
    return tuple(known[seed] for seed in seeds if seed is not None)


def results_file(trial: Trial, weights: str) -> Path:
    """The rows of a trial with certain weights."""
    return trial.folder / "results" / f"{_run_name(trial, weights)}.jsonl"


def csv_file(trial: Trial, weights: str) -> Path:
    """The same as a table."""
    return trial.folder / "results" / f"{_run_name(trial, weights)}.csv"


def _run_name(trial: Trial, weights: str) -> str:
    how = "contours" if trial.contours else "images"
    thick = "" if trial.thickness_mm is None else f"-{trial.thickness_mm:g}mm"
    return f"seed{trial.seed}-{how}{thick}-{weights[:12]}"


def _weights(trial: Trial) -> str:
    """A digest over the bundles that ship and the settings: what results depend on."""
    bundles = sorted(shipped_digests().items())
    return hashlib.sha256(f"{bundles}{Settings().segmenter}{trial.settings}".encode()).hexdigest()


def _seed_of(planned: Planned, trial: Trial) -> int | None:
    """The seed that a study was rendered from; None while it is not."""
    found = find(planned, trial.folder / STUDIES)
    return found.truth.seed if found else None


def _send_all(planned: Sequence[Planned], trial: Trial, weights: str, say: Callable[[str], None]) -> Iterator[Row]:
    with (
        _renderer(trial) as renderer,
        tempfile.TemporaryDirectory(prefix="celadon-trial-") as name,
        open_site(Path(name), trial.settings) as site,
    ):
        begun = time.monotonic()
        for count, one in enumerate(planned, 1):
            study = _rendered(one, trial, renderer)
            # All that are there, in one import.
            site.know([there for other in planned if (there := find(other, trial.folder / STUDIES))])
            row = _one(site, study, trial, weights)
            left = (time.monotonic() - begun) / count * (len(planned) - count)
            say(f"{count:4d} of {len(planned)}, about {left / 60.0:.0f} min to go: {_told(row)}")
            yield row


def _one(site: Site, study: Rendered, trial: Trial, weights: str) -> Row:
    site.send(study, contours=trial.contours)
    return site.outcome(study, weights=weights, contours=trial.contours)


def _told(row: Row) -> str:
    truth = row.truth
    true = f"T{truth.t_stage}" if truth.t_stage else {True: "NTR high", False: "NTR low", None: "-"}[truth.ntr_high]
    what = f"{truth.kind} {true} {truth.phase}"
    if row.reason:
        return f"{what} -> {row.state} {row.reason}"
    called = f"T{row.t_stage}" if row.t_stage else {True: "NTR high", False: "NTR low", None: "-"}[row.ntr_high]
    dice = "-" if row.dice is None else f"{row.dice:.2f}"
    return f"{what} -> {row.organ} {called}, Dice {dice}, {row.seconds} s"


def _rendered(planned: Planned, trial: Trial, renderer: "subprocess.Popen[bytes]") -> Rendered:
    deadline = time.monotonic() + RENDERED_WITHIN_S
    while time.monotonic() < deadline:
        if (found := find(planned, trial.folder / STUDIES)) is not None:
            return found
        if renderer.poll():
            raise RuntimeError(f"rendering ended with code {renderer.returncode}")
        time.sleep(0.2)
    raise RuntimeError(f"study {planned.number} was not rendered within {RENDERED_WITHIN_S:g} s")


@contextmanager
def _renderer(trial: Trial) -> "Iterator[subprocess.Popen[bytes]]":
    """The process that renders what is missing, in the order in which it is sent."""
    command = [sys.executable, "-m", "tests.trial.rendering", "--studies", str(trial.studies)]
    command += ["--seed", str(trial.seed), "--folder", str(trial.folder / STUDIES), "--niceness", str(trial.niceness)]
    if trial.thickness_mm is not None:
        command += ["--thickness-mm", str(trial.thickness_mm)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
