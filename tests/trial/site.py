"""A hospital for the length of a trial: an archive that routes to a whole node, and takes back what the node finds."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from node.clinical_console import import_csv
from node.demo.pacs import DemoPacs, start_pacs
from node.demo.phantom_files import ISSUER, STUDY_DATE
from node.demo.private_node import PrivateNode
from node.dicom.query import fetch, find_series
from node.domain.lifecycle import JobState
from node.store.jobs import JobRecord
from tests.engine import start_node
from tests.trial.readback import dice, read_region, read_report
from tests.trial.rendering import Rendered
from tests.trial.rows import Row
from tests.waiting import wait_until

ME: Final = "TRIAL"
ENDED: Final = frozenset({JobState.DONE, JobState.NOT_ANALYSED, JobState.QUARANTINED})
ENDS_WITHIN_S: Final = 600.0
_READ_BACK: Final = ("SR", "SEG")


@dataclass(slots=True)
class Site:
    """The archive and the node; studies go in by the archive, and come out of it."""

    pacs: DemoPacs
    node: PrivateNode
    folder: Path
    _imported: set[str] = field(default_factory=set)

    def know(self, studies: Sequence[Rendered]) -> None:
        """Import what the records say of these patients, as ``celadon clinical import`` does, unless it was."""
        new = [study for study in studies if study.truth.patient_id not in self._imported]
        if not new:
            return
        file = self.folder / f"records-{len(self._imported):04d}.csv"
        _write_records(file, new)
        # In this process: studies come one by one, and a command of its own for each costs as much as its analysis.
        with redirect_stdout(io.StringIO()) as said:
            code = import_csv(self.node.stores, file, rehearse=False)
        if code:
            raise RuntimeError(f"the records were not imported: {said.getvalue()}")
        self._imported.update(study.truth.patient_id for study in new)

    def send(self, study: Rendered, *, contours: bool) -> None:
        """Store a study in the archive as a scanner does; the contour, where it is sent, was drawn before."""
        if contours and study.seg_path is not None:
            self.pacs.store([study.seg_path])
        self.pacs.store(study.ct_paths)

    def outcome(self, study: Rendered, *, weights: str, contours: bool) -> Row:
        """What came of a study: the verdict as ``celadon jobs`` tells it, the rest from what the archive gives back."""
        truth = study.truth
        job = wait_until(lambda: self._ended(truth.series_uid), f"study {truth.number} has ended", ENDS_WITHIN_S)
        objects = self._results(truth.study_uid) if job.state is JobState.DONE else ()
        report, region = read_report(objects), read_region(objects, study.ct_paths)
        waiting, compute, delivery = _seconds(job)
        voxels = None if region is None else int(region.sum())
        lesion = study.lesion() if region is not None else None
        return Row(
            truth=truth,
            weights=weights,
            contours=contours,
            state=job.state.value,
            reason=job.reason,
            detail=job.detail,
            objects=len(objects),
            organ=report.organ if report else "",
            p_ntr_high=report.probabilities.get("P_NTR_HIGH") if report else None,
            ntr_high=report.ntr_high if report else None,
            p_t=tuple(report.probabilities.get(f"P_T{k}") for k in (1, 2, 3, 4)) if report else (),
            t_stage=report.t_stage if report else None,
            phase=report.phase if report else "",
            region_source=report.region_source if report else "",
            further_lesions=report.further_lesions if report else 0,
            region_voxels=voxels,
            dice=None if region is None or lesion is None else round(dice(region, lesion), 4),
            waiting_s=waiting,
            compute_s=compute,
            delivery_s=delivery,
        )

    def _ended(self, series_uid: str) -> JobRecord | None:
        if self.node.process.poll() is not None:
            raise RuntimeError(f"the node died:\n{self.node.log_file.read_text(errors='replace')[-3000:]}")
        mine = [job for job in self.node.stores.jobs.jobs() if job.series_uid == series_uid]
        return mine[0] if mine and mine[0].state in ENDED else None

    def _results(self, study_uid: str) -> tuple[Path, ...]:
        """Found by C-FIND and fetched by C-GET: what the node has made of the study."""
        found: list[Path] = []
        for series in find_series(self.pacs.peer, ME, study_uid):
            if series.modality in _READ_BACK and series.series_description.startswith("AI "):
                folder = self.folder / "results" / study_uid
                found.extend(fetch(self.pacs.peer, ME, folder, study_uid, series.series_uid))
        return tuple(found)


@contextmanager
def open_site(folder: Path, extra: str = "") -> Iterator[Site]:
    """A site of its own, everything in ``folder`` but the archive; ``extra`` ends the node's settings."""
    with start_pacs() as pacs, start_node(folder / "node", pacs=pacs.peer, extra=extra) as node:
        pacs.route_to(node.peer)
        yield Site(pacs, node, folder)


def _write_records(file: Path, studies: Sequence[Rendered]) -> None:
    day = f"{STUDY_DATE[:4]}-{STUDY_DATE[4:6]}-{STUDY_DATE[6:]}"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("patient_id", "issuer", "variable", "value", "unit", "observed_at"))
        for study in studies:
            for variable, value, unit in study.truth.clinical:
                writer.writerow((study.truth.patient_id, ISSUER, variable, value, unit, day))


def _seconds(job: JobRecord) -> tuple[float | None, float | None, float | None]:
    """From the last slice: until a worker began, until it had the results, until the archive had them."""
    moments = (job.last_received_at, job.claimed_at, job.finished_at, job.delivered_at)
    gaps = [
        None if earlier is None or later is None else round((later - earlier).total_seconds(), 3)
        for earlier, later in pairwise(moments)
    ]
    return gaps[0], gaps[1], gaps[2]
