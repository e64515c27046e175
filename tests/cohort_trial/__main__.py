"""``make cohort-trial``: phantoms of three centres through a silent node, outcomes, a report, and the odd centre told.

One centre's scanner reads everything brighter. What was rendered is kept in the folder. Ends with 1 unless every study
has a result or a coded reason, every outcome is accounted for, and the odd centre alone is told: by the node's page of
monitoring, and by the report.
"""

import argparse
import csv
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydicom import dcmread

from models.phantoms import Box, Kind, Wanted, draw, render
from models.phantoms.render import lesion_box
from models.training.phantom_cohort import SPAN
from node.demo.phantom_files import write_study
from node.demo.private_node import PrivateNode
from node.dicom.peer import Peer
from node.domain.identifiers import AeTitle
from node.domain.lifecycle import JobState
from node.settings import read_settings
from tests.waiting import wait_until

CENTRES: Final = ("Alder", "Birch", "Cedar")
ODD: Final = "Cedar"
OFFSET_HU: Final = 70
FIRST_COHORT: Final = 9_500
"""No training uses cohorts from here on."""
ENDED: Final = frozenset({JobState.DONE, JobState.NOT_ANALYSED, JobState.QUARANTINED})
SLICES: Final = 20
THICKNESS_MM: Final = 5.0
_READY_WITHIN_S: Final = 180.0
_STOPS_WITHIN_S: Final = 60.0
_FEWEST: Final = 12
MONITORED: Final = 10
"""Results of a centre from which on the node's monitoring speaks of it: there are fewer here than in a hospital."""
_ROW: Final = re.compile(r'<tr class="alarm-alarm"><th scope="row">([^<]*)</th>.*unlike the others</span>')
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Kept:
    """A study on disk."""

    folder: Path
    study_uid: str
    series_uid: str


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.cohort_trial", description=__doc__)
    parser.add_argument("--studies", type=int, default=60)
    parser.add_argument("--folder", type=Path, default=Path("cohort-trial"))
    asked = parser.parse_args()
    folder = asked.folder.absolute()
    made = [_study(number, folder / "studies") for number in range(asked.studies)]
    outcomes = _outcomes(folder / "outcomes.csv", made)
    with _silent_node(folder / "node") as node:
        _send(node, made)
        wait_until(lambda: _all_ended(node, made) or None, "every study has ended", 60.0 * asked.studies)
        watched = _unlike_the_others(node)
    report = _report(folder, outcomes)
    return _judge(report, made, watched)


@contextmanager
def _silent_node(folder: Path) -> Iterator[PrivateNode]:
    """A node of processes that delivers nothing; it goes on where it was."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "celadon.toml"
    data = json.dumps(str(folder / "data"))
    config.write_text(
        f'data_dir = {data}\nmode = "silent"\n[web]\nport = 0\n[dicom]\nport = 0\nmin_free_gb = 0\n'
        f"[monitoring]\nleast = {MONITORED}\n",
        encoding="utf-8",
    )
    settings, log_file = read_settings(config), folder / "node.log"
    settings.runtime_file.unlink(missing_ok=True)
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "node", "up", "--config", str(config)], stdout=log, stderr=log
        )
        try:
            wait_until(lambda: settings.runtime_file.is_file() or None, "the node is ready", _READY_WITHIN_S)
            port = int(json.loads(settings.runtime_file.read_text(encoding="utf-8"))["dicom"])
            peer = Peer(AeTitle(settings.dicom.ae_title), settings.dicom.host, port)
            yield PrivateNode(settings, config, peer, log_file, process)
        finally:
            process.terminate()
            process.wait(_STOPS_WITHIN_S)


def _study(number: int, folder: Path) -> tuple[Kept, str, bool]:
    """A study on disk with its centre and truth; slices around the lesion, whole rows and columns, and a contour."""
    centre, is_high = CENTRES[number % 3], number % 2 == 1
    if (kept := _kept(folder / f"{number:04d}")) is not None:
        return kept, centre, is_high
    wanted = Wanted(kind=Kind.PANCREATIC, ntr_high=is_high, thickness_mm=THICKNESS_MM)
    seed = FIRST_COHORT * SPAN + number
    spec = draw(seed, wanted)
    low = lesion_box(spec, (SLICES, 64, 64)).slices
    phantom = render(spec, Box(low))
    if centre == ODD:
        phantom = replace(phantom, hu=np.clip(phantom.hu + OFFSET_HU, -1024, 3000).astype(phantom.hu.dtype))
    part = folder / f".{number:04d}.part"
    for path in write_study(phantom, part, timed=True, with_seg=True).ct_paths:
        image = dcmread(path)
        image.InstitutionName = centre
        image.save_as(path)
    part.rename(folder / f"{number:04d}")
    print(f"study {number + 1}: {centre}, {'high' if is_high else 'low'}", file=sys.stderr, flush=True)  # noqa: T201
    kept = _kept(folder / f"{number:04d}")
    if kept is None:
        raise RuntimeError(f"study {number + 1} was not written")
    return kept, centre, is_high


def _kept(folder: Path) -> Kept | None:
    """A study that is on disk."""
    images = sorted(folder.glob("[0-9]*.dcm"))
    if not images:
        return None
    header = dcmread(images[0], stop_before_pixels=True)
    return Kept(folder, str(header.StudyInstanceUID), str(header.SeriesInstanceUID))


def _outcomes(file: Path, made: Sequence[tuple[Kept, str, bool]]) -> Path:
    """All but the first study's, and one of nobody."""
    generator = np.random.default_rng(1)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("study_uid", "label", "os_months", "os_event"))
        for study, _, is_high in made[1:]:
            months, end = generator.exponential(12 if is_high else 36), generator.uniform(12, 60)
            row = (study.study_uid, ("low", "high")[is_high], f"{min(months, end):.2f}", int(months <= end))
            writer.writerow(row)
        writer.writerow(("2.25.1", "high", "1", "1"))
    return file


def _send(node: PrivateNode, made: Sequence[tuple[Kept, str, bool]]) -> None:
    """An association a study, tried again as an archive does; what is there already is there once."""
    to = f"{node.peer.ae_title}@{node.peer.host}:{node.peer.port}"
    for study, _, _ in made:
        command = [sys.executable, "-m", "node", "send", str(study.folder), "--to", to]
        if not any(subprocess.run(command, check=False, timeout=600).returncode == 0 for _ in range(_TRIES)):
            raise RuntimeError(f"{study.folder.name} was not stored")


def _all_ended(node: PrivateNode, made: Sequence[tuple[Kept, str, bool]]) -> bool:
    if node.process.poll() is not None:
        raise RuntimeError(f"the node died:\n{node.log_file.read_text(errors='replace')[-3000:]}")
    newest = {job.series_uid: job for job in reversed(node.stores.jobs.jobs())}
    mine = [newest.get(study.series_uid) for study, _, _ in made]
    return all(job is not None and job.state in ENDED for job in mine)


def _unlike_the_others(node: PrivateNode) -> set[str]:
    """The centres of which the page of monitoring says so."""
    port = int(json.loads(node.settings.runtime_file.read_text(encoding="utf-8"))["web"])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/monitoring", timeout=60) as answer:
        return set(_ROW.findall(answer.read().decode()))


def _report(folder: Path, outcomes: Path) -> dict[str, Any]:
    command = ["evaluate", "--from-node", "--outcomes", str(outcomes), "--out", str(folder / "report"), "--json"]
    config = ["--config", str(folder / "node" / "celadon.toml")]
    done = subprocess.run(
        [sys.executable, "-m", "node", *command, *config], check=True, stdout=subprocess.PIPE, timeout=1800
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _judge(report: dict[str, Any], made: Sequence[tuple[Kept, str, bool]], watched: set[str]) -> int:
    flow = dict(report["provenance"]["flow"])
    (part,) = report["analysis"]["sets"]
    auc = part["variants"][0]["positive"]["auc"]
    said = {one["centre"] for one in report["analysis"]["shifts"] if one["psi"] > 0.25 and one["p"] < 0.05}
    told = {
        "series": flow["CT series of that time in this node"],
        "results": flow["of them with a result of any model"],
        "delivered": flow["of them delivered to an archive"],
        "outcomes matched": flow.get("outcomes: matched", 0),
        "cases measured": part["cases"],
        "AUC": f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})" if auc["low"] is not None else "-",
        "centres that have shifted": ", ".join(sorted(said)) or "none",
        "the same by monitoring": ", ".join(sorted(watched)) or "none",
    }
    for name, value in told.items():
        print(f"{name:28}{value}")  # noqa: T201 — the table
    right = flow["CT series of that time in this node"] == len(made) and flow["of them delivered to an archive"] == 0
    # All but the first study's, and one of nobody.
    right = right and sum(number for step, number in flow.items() if step.startswith("outcomes: ")) == len(made)
    right = right and (said == watched == {ODD} or len(made) < 3 * _FEWEST)
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
