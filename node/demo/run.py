"""The demonstration: a PACS, a private node and a real CT, from the PACS and back to the PACS, and what came of it."""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, get_args

from rich.console import Console
from rich.table import Table

from node.demo.contents import ResultObject, read_result, save_picture
from node.demo.pacs import DemoPacs, start_pacs
from node.demo.private_node import start_node
from node.demo.series import DemoCase, Organ, make_case
from node.dicom.query import fetch, find_series
from node.domain.identifiers import AeTitle
from node.domain.lifecycle import JobState
from node.errors import Fatal, UsageError
from node.store.jobs import JobRecord
from node.stores import Stores

BOTH: Final = "both"
CALLING_AE: Final = AeTitle("DEMO")
DONE_WITHIN_S: Final = 120.0
_ENDED: Final = frozenset({JobState.DONE, JobState.NOT_ANALYSED, JobState.QUARANTINED})
_NOT_WELL: Final = 1


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from the last stored slice to the last result in the PACS, and where they went."""

    waiting_s: float
    """From the last C-STORE response until a worker began: knowing that the series is complete, and the queue."""
    compute_s: float
    """Until the results were committed."""
    delivery_s: float
    """Until the PACS had taken the last of them."""
    total_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one case."""

    case: DemoCase
    job: JobRecord
    timing: Timing | None
    """None when nothing was delivered."""
    objects: tuple[ResultObject, ...]
    pictures: tuple[Path, ...]


def run_demo(organ: str, pictures: Path, *, as_json: bool) -> int:
    """Run the demonstration and print what came back; 0 when every case came back with results."""
    organs = [name for name in get_args(Organ) if organ in (name, BOTH)]
    if not organs:
        raise UsageError(f"--organ {organ}: choose {', '.join(get_args(Organ))} or {BOTH}")
    progress = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="celadon-demo-") as name, start_pacs() as pacs:
        folder = Path(name)
        progress.print(f"PACS: {pacs.kind} {pacs.ae_title}@{pacs.host}:{pacs.port}", highlight=False)
        progress.print("Node: starting, loading the models …", highlight=False)
        with start_node(folder / "node", pacs=pacs.peer) as node:
            progress.print(f"Node: ready, {node.peer}", highlight=False)
            pacs.route_to(node.peer)
            stores = node.stores
            outcomes = [_run_case(one, folder, pacs, stores, pictures, progress) for one in organs]
            events = len(stores.audit.events())
    if as_json:
        print(json.dumps(_document(pacs.kind, outcomes, events), indent=2, ensure_ascii=False))  # noqa: T201
    else:
        _print(pacs.kind, outcomes, events, pictures)
    return 0 if all(outcome.job.state is JobState.DONE for outcome in outcomes) else _NOT_WELL


def _run_case(organ: Organ, folder: Path, pacs: DemoPacs, stores: Stores, pictures: Path, progress: Console) -> Outcome:
    case = make_case(organ, folder / organ)
    progress.print(f"{organ}: storing {len(case.ct_paths)} slices and a contour in the PACS …", highlight=False)
    # The contour was drawn before; the CT comes from the scanner as one association, and the PACS routes both.
    pacs.store([case.seg_path])
    pacs.store(case.ct_paths)
    job = _wait_ended(stores, case)
    progress.print(f"{organ}: {job.shown_state} {job.reason}".rstrip(), highlight=False)
    objects = _fetch_results(case, pacs, folder / f"{organ}-results")
    return Outcome(case, job, _timing(job), objects, tuple(_pictures(organ, objects, pictures)))


def _wait_ended(stores: Stores, case: DemoCase) -> JobRecord:
    deadline = time.monotonic() + DONE_WITHIN_S
    while time.monotonic() < deadline:
        mine = [job for job in stores.jobs.jobs(patient_id=case.patient_id) if job.series_uid == case.series_uid]
        if mine and mine[0].state in _ENDED:
            return mine[0]
        time.sleep(0.1)
    states = ", ".join(job.shown_state for job in stores.jobs.jobs(patient_id=case.patient_id)) or "nothing arrived"
    raise Fatal(f"no result within {DONE_WITHIN_S:g} s ({states})")


def _fetch_results(case: DemoCase, pacs: DemoPacs, folder: Path) -> tuple[ResultObject, ...]:
    """Find what is new in the study by C-FIND, fetch it by C-GET, read it."""
    sent = {case.series_uid, str(read_result(case.seg_path).series_uid)}
    found = find_series(pacs.peer, CALLING_AE, case.study_uid)
    results: list[ResultObject] = []
    for series in sorted(found, key=lambda one: int(one.series_number or 0)):
        if series.series_uid not in sent:
            files = fetch(pacs.peer, CALLING_AE, folder, case.study_uid, series.series_uid)
            results.extend(sorted(map(read_result, files), key=lambda one: one.instance_number))
    return tuple(results)


def _pictures(organ: str, objects: Sequence[ResultObject], folder: Path) -> Iterator[Path]:
    captures = [made for made in objects if made.kind == "secondary capture"]
    folder.mkdir(parents=True, exist_ok=True)
    for number, made in enumerate(captures, start=1):
        picture = folder / f"{organ}-{number}.png"
        save_picture(made.path, picture)
        yield picture


def _timing(job: JobRecord) -> Timing | None:
    if job.claimed_at is None or job.finished_at is None or job.delivered_at is None:
        return None
    moments = (job.last_received_at, job.claimed_at, job.finished_at, job.delivered_at)
    waiting, compute, delivery = (round((later - earlier).total_seconds(), 3) for earlier, later in pairwise(moments))
    return Timing(waiting, compute, delivery, round((moments[-1] - moments[0]).total_seconds(), 3))


def _document(pacs: str, outcomes: Sequence[Outcome], events: int) -> dict[str, Any]:
    return {
        "pacs": pacs,
        "audit_events": events,
        "cases": [
            {
                "organ": outcome.case.organ.key,
                "patient_id": outcome.case.patient_id,
                "study_uid": outcome.case.study_uid,
                "series_uid": outcome.case.series_uid,
                "job": outcome.job.job_id,
                "state": outcome.job.shown_state,
                "reason": outcome.job.reason,
                "predictor": outcome.job.predictor,
                "timing": asdict(outcome.timing) if outcome.timing else None,
                "objects": [
                    {name: value for name, value in asdict(made).items() if name != "path"} for made in outcome.objects
                ],
                "pictures": [str(picture.absolute()) for picture in outcome.pictures],
            }
            for outcome in outcomes
        ],
    }


def _print(pacs: str, outcomes: Sequence[Outcome], events: int, pictures: Path) -> None:
    console = Console()
    for outcome in outcomes:
        title = f"{outcome.case.organ.key}: patient {outcome.case.patient_id}, study {outcome.case.study_uid}"
        table = Table("object", title=title, title_justify="left", show_lines=True)
        table.add_column("series description, UID", overflow="fold")
        table.add_column("inside", overflow="fold")
        for made in outcome.objects:
            inside = "\n".join(f"{name}: {value}" for name, value in made.numbers.items())
            table.add_row(made.kind, f"{made.series_description}\n{made.sop_instance_uid}", inside)
        console.print(table)
        if (timing := outcome.timing) is not None:
            console.print(
                f"last slice to last result in the PACS: {timing.total_s:.2f} s = {timing.waiting_s:.2f} waiting "
                f"+ {timing.compute_s:.2f} compute + {timing.delivery_s:.2f} delivery\n",
                highlight=False,
            )
        else:
            console.print(f"no result: {outcome.job.reason} {outcome.job.detail}\n", highlight=False)
    console.print(f"PACS: {pacs}; found by C-FIND, fetched by C-GET, read back. Audit trail: {events} events.")
    console.print(f"Pictures: {pictures.absolute()}{os.sep}", soft_wrap=True, highlight=False)
    console.print(
        "Regions are stand-ins, and no weights have seen a patient: the numbers mean nothing, the way is real."
    )
    console.print("Next: README.md, “Beside your own PACS”.")
