"""Rendering the studies of a trial, in a process of its own with low priority, each kept on disk when it is whole.

    python -m tests.trial.rendering --studies 100 --seed 0 --folder phantom-trial/studies

A folder with ``truth.json`` is a whole study: it is written last, under another name, and then renamed. Rendering is
the slow part of a trial, so the folders are kept and used again by the next one.
"""

import argparse
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.uid import JPEGLSLossless

from models.phantoms import Phantom, draw, render
from node.demo.phantom_files import write_study
from tests.trial.plan import Planned, plan

TRUTH: Final = "truth.json"
MASK: Final = "lesions.npz"
NICENESS: Final = 19
_TRIES: Final = 5
_NEXT: Final = 50_000
"""Far enough within the cohort's span: no other study of a trial has that seed."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a study, and where its files are."""

    number: int
    seed: int
    kind: str
    phase: str
    timed: bool
    t_stage: int | None
    ntr_high: bool | None
    latent: float | None
    """What image and records of a pancreatic study are drawn from."""
    lesions: int
    lesion_ml: float
    """Of the largest, 0 without one."""
    manufacturer: str
    kernel: str
    thickness_mm: float
    spacing_mm: float
    """Between slices."""
    slices: int
    patient_id: str
    study_uid: str
    series_uid: str
    clinical: tuple[tuple[str, str, str], ...]
    """Variable, value and unit, as the records have them."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A study on disk."""

    folder: Path
    truth: Truth

    @property
    def ct_paths(self) -> tuple[Path, ...]:
        """From the lowest slice up."""
        return tuple(sorted((self.folder / "ct").glob("[0-9]*.dcm")))

    @property
    def seg_path(self) -> Path | None:
        """The SEG of all lesions, where there is one."""
        path = self.folder / "ct" / "lesions-seg.dcm"
        return path if path.is_file() else None

    def lesion(self) -> npt.NDArray[np.bool_]:
        """The voxels of the largest lesion, [slice, row, column]."""
        with np.load(self.folder / MASK) as kept:
            shape, box, inside = kept["shape"], kept["box"], kept["inside"]
        mask = np.zeros(tuple(shape), dtype=np.bool_)
        if inside.size:
            mask[tuple(slice(first, stop) for first, stop in box)] = inside
        return mask


def folder_of(planned: Planned, studies: Path) -> Path:
    """Where a study is kept."""
    return studies / f"v{draw(planned.seed, planned.wanted).kind.version}-{planned.name}"


def find(planned: Planned, studies: Path) -> Rendered | None:
    """A study that is there, whole; None when it is not."""
    file = folder_of(planned, studies) / TRUTH
    if not file.is_file():
        return None
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    values["clinical"] = tuple(tuple(row) for row in values["clinical"])
    return Rendered(file.parent, Truth(**values))


def make(planned: Planned, studies: Path) -> Rendered:
    """Render a study and write it down, unless it is there."""
    if (found := find(planned, studies)) is not None:
        return found
    final = folder_of(planned, studies)
    part = final.with_name(f".{final.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    phantom = _shown(planned)
    # Lossless, and a quarter of the disk.
    study = write_study(phantom, part / "ct", transfer_syntax=JPEGLSLossless, timed=planned.timed, with_seg=True)
    lesion = phantom.lesion()
    np.savez_compressed(part / MASK, **_boxed(lesion))
    spec, machine = phantom.spec, phantom.spec.scanner
    z, y, x = spec.grid.spacing_zyx_mm
    from pydicom import dcmread  # noqa: PLC0415  one header

    truth = Truth(
        number=planned.number,
        seed=spec.seed,
        kind=spec.kind.value,
        phase=spec.phase.value,
        timed="ContrastBolusStartTime" in dcmread(study.ct_paths[0], stop_before_pixels=True),
        t_stage=spec.t_stage,
        ntr_high=spec.ntr.is_high if spec.ntr else None,
        latent=spec.ntr.latent if spec.ntr else None,
        lesions=len([number for number in np.unique(phantom.lesions) if number]),
        lesion_ml=round(float(lesion.sum()) * z * y * x / 1000.0, 3),
        manufacturer=machine.manufacturer,
        kernel=machine.kernel.name,
        thickness_mm=machine.thickness_mm,
        spacing_mm=z,
        slices=len(study.ct_paths),
        patient_id=study.patient_id,
        study_uid=study.study_uid,
        series_uid=study.series_uid,
        clinical=tuple((value.variable.value, str(value.value), value.unit) for value in spec.clinical.values),
    )
    (part / TRUTH).write_text(json.dumps(asdict(truth), indent=1), encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    return Rendered(final, truth)


def _shown(planned: Planned) -> Phantom:
    """The phantom; where its lesion lies hidden behind other organs, the next seed's."""
    for attempt in range(_TRIES):
        phantom = render(draw(planned.seed + attempt * _NEXT, planned.wanted))
        if not phantom.spec.lesions or phantom.lesion().any():
            return phantom
    raise RuntimeError(f"no lesion of {planned.name} shows")


def _boxed(mask: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[Any]]:
    at = np.argwhere(mask)
    if not len(at):
        return {"shape": np.array(mask.shape), "box": np.zeros((3, 2), int), "inside": np.zeros((0, 0, 0), bool)}
    box = np.stack([at.min(axis=0), at.max(axis=0) + 1], axis=1)
    inside = mask[tuple(slice(first, stop) for first, stop in box)]
    return {"shape": np.array(mask.shape), "box": box, "inside": inside}


def main() -> int:
    """Render what is not there yet; ends when the process that started it is gone."""
    parser = argparse.ArgumentParser(prog="python -m tests.trial.rendering", description=__doc__)
    parser.add_argument("--studies", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--thickness-mm", type=float)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--niceness", type=int, default=NICENESS)
    asked = parser.parse_args()
    os.nice(asked.niceness)
    parent = os.getppid()
    for planned in plan(asked.studies, asked.seed, asked.thickness_mm):
        if os.getppid() != parent:
            return 1
        make(planned, asked.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
