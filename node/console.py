"""What ``celadon status``, ``jobs``, ``show`` and ``send`` print: a table for people, a document for programs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from node.clinical_checks import Check, Verdict
from node.dicom.peer import Peer
from node.dicom.sending import SendResult, send_files
from node.domain.clinical import ValueReason
from node.domain.identifiers import AeTitle, JobId
from node.domain.lifecycle import DeliveryState, JobState, Step
from node.domain.reasons import ReasonCode
from node.errors import UsageError
from node.store.clinical_status import ClinicalStatus
from node.store.jobs import JobRecord
from node.store.outbox import Attention
from node.store.results import ResultRecord
from node.store.retention import Swept
from node.stores import BYTES_PER_GB, Stores

NOT_WELL: Final = 1
_JOB_ID_CHARACTERS: Final = 16


def show_status(stores: Stores, *, as_json: bool) -> int:
    """How the node is; 1 when something waits for a person."""
    counts = stores.jobs.counts()
    deliveries = stores.outbox.counts()
    oldest, last = stores.jobs.oldest_waiting(), stores.jobs.last_received()
    clinical = stores.clinical.status()
    pruned, pruned_bytes = stores.retention.totals()
    attention = stores.outbox.attention()
    needs_a_person = counts[JobState.QUARANTINED] + len(attention)
    if as_json:
        _print_json(
            {
                "jobs": {state.value: count for state, count in counts.items()},
                "deliveries": {state.value: count for state, count in deliveries.items()},
                "attention": [
                    {
                        "job": one.job_id,
                        "destination": one.destination,
                        "state": one.state.value,
                        "objects": one.count,
                        "detail": one.detail,
                    }
                    for one in attention
                ],
                "queue_depth": counts[JobState.WAITING],
                "queues": {queue.value: count for queue, count in stores.jobs.depth().items()},
                "oldest_waiting": oldest,
                "last_received": last,
                "clinical": asdict(clinical) | {"refused": dict(clinical.refused)},
                "pruned": {"objects": pruned, "gb": round(pruned_bytes / BYTES_PER_GB, 3)},
                "alarms": [
                    {"alarm": one.kind.value, "since": one.since, "detail": one.detail}
                    for one in stores.alarms.raised()
                ],
                "free_gb": round(stores.blobs.free_bytes() / BYTES_PER_GB, 1),
                "well": needs_a_person == 0,
            }
        )
    else:
        table = Table("what", "count", title="Celadon")
        for state, count in counts.items():
            table.add_row(f"jobs {state.value}", str(count))
        for delivery, count in deliveries.items():
            table.add_row(f"deliveries {delivery.value}", str(count))
        for queue, count in stores.jobs.depth().items():
            table.add_row(f"waiting for workers of queue {queue.value}", str(count))
        table.add_row("oldest waiting since", _moment(oldest))
        table.add_row("last received", _moment(last))
        for name, told in _clinical_lines(clinical):
            table.add_row(name, told)
        table.add_row("pruned images and contours", f"{pruned} ({pruned_bytes / BYTES_PER_GB:.1f} GB)")
        table.add_row("free disk", f"{stores.blobs.free_bytes() / BYTES_PER_GB:.1f} GB")
        for one in stores.alarms.raised():
            table.add_row(f"alarm {one.kind.value}", f"since {_moment(one.since)}: {one.detail}")
        Console().print(table)
        _print_attention(attention)
    return NOT_WELL if needs_a_person else 0


def _clinical_lines(clinical: ClinicalStatus) -> Iterator[tuple[str, str]]:
    """What an administrator is shown of the clinical sources."""
    yield "clinical values held for a person", str(clinical.held)
    if clinical.last_message_at is not None:
        yield "hl7 messages in a day", f"{clinical.messages}, the last {_moment(clinical.last_message_at)}"
    for why, count in clinical.refused:
        yield "hl7 messages refused in a day", f"{count}: {why}"
    for source in clinical.sources:
        told = f"not answering: {source.trouble}" if source.trouble else f"gave values to {source.answered} analyses"
        yield f"clinical source {source.source}", f"{told}, the last {_moment(source.last_at)}"


def _print_attention(attention: Sequence[Attention]) -> None:
    """The operator's queue: what was not delivered, why, and how it is sent again."""
    if not attention:
        return
    table = Table(title="Deliveries that wait for a person: celadon retry JOB, or celadon retry --failed")
    table.add_column("job", no_wrap=True, min_width=_JOB_ID_CHARACTERS)
    for name in ("destination", "state", "objects", "why"):
        table.add_column(name, overflow="fold")
    for one in attention:
        table.add_row(one.job_id, one.destination, one.state.value, str(one.count), one.detail)
    Console().print(table)


def retry(stores: Stores, job: str | None, destination: str | None, object_uid: str | None, *, failed: bool) -> int:
    """Run a job again, or send what was not delivered again; says what was done."""
    if failed == (job is not None):
        raise UsageError("name a JOB, or say --failed for every delivery that waits for a person")
    if job is not None and destination is None and object_uid is None:
        stores.jobs.retry(JobId(job))
        print(f"job {job} is queued again")  # noqa: T201 — said to a person
        return 0
    count = stores.outbox.retry(job, destination, object_uid)
    print(f"{count} deliveries are queued again")  # noqa: T201 — the same
    return 0


def prune(stores: Stores, days: int | None, *, rehearse: bool, as_json: bool) -> int:
    """Remove what is old, and sweep up; or only say what would be removed."""
    if days is None:
        raise UsageError("retention.days is not set: everything is kept for ever")
    found = stores.retention.prune(timedelta(days=days), rehearse=rehearse)
    swept = Swept() if rehearse else stores.retention.sweep()
    if as_json:
        _print_json({"days": days, "dry_run": rehearse, "pruned": asdict(found), "swept": asdict(swept)})
        return 0
    table = Table("what", "count", title="Would be pruned" if rehearse else "Pruned")
    table.add_row(f"series done with for more than {days} days", str(found.series))
    table.add_row("their objects", str(found.objects))
    table.add_row("objects set aside", str(found.set_aside))
    table.add_row("space", f"{found.size_bytes / BYTES_PER_GB:.3f} GB")
    if not rehearse:
        table.add_row("left by killed processes", str(swept.parts + swept.orphans))
    Console().print(table)
    return 0


def show_examination(checks: Sequence[Check], *, as_json: bool) -> int:
    """What the doctor found; 1 when something keeps results from coming."""
    is_well = not any(check.verdict is Verdict.FAIL for check in checks)
    if as_json:
        _print_json({"well": is_well, "checks": [asdict(check) for check in checks]})
    else:
        table = Table("check", "is", "detail", "mend", title="Celadon doctor")
        for check in checks:
            table.add_row(check.name, check.verdict.value, check.detail, check.mend)
        Console(markup=False).print(table)
    return 0 if is_well else NOT_WELL


def show_jobs(stores: Stores, *, state: str | None, patient: str | None, since: datetime | None, as_json: bool) -> int:
    """The jobs, newest first."""
    wanted = _state(state)
    moment = since.astimezone(UTC) if since else None
    found = stores.jobs.jobs(state=wanted, patient_id=patient, since=moment)
    stuck: dict[str, list[str]] = {}
    for one in stores.outbox.attention():
        stuck.setdefault(one.job_id, []).append(f"{one.destination}: {one.count} {one.state.value}")
    if as_json:
        _print_json([_job(record) | {"attention": stuck.get(record.job_id, [])} for record in found])
        return 0
    table = Table(title=f"{len(found)} jobs")
    # The id is what the other commands ask for: it is never cut, whatever the width of the terminal.
    table.add_column("job", no_wrap=True, min_width=_JOB_ID_CHARACTERS)
    for name in ("state", "patient", "", "predictor", "reason", "received"):
        table.add_column(name, overflow="fold")
    for record in found:
        table.add_row(
            record.job_id, record.shown_state, record.patient_id, record.modality, record.predictor,
            "\n".join(filter(None, (record.reason, *stuck.get(record.job_id, ())))),
            f"{record.last_received_at.astimezone():%m-%d %H:%M}",
        )  # fmt: skip
    Console().print(table)
    return 0


def show_job(stores: Stores, job_id: str, *, as_json: bool) -> int:
    """One job with its steps and objects; 1 when it waits for a person."""
    record = stores.jobs.job(job_id)
    if record is None:
        raise UsageError(f"there is no job {job_id}")
    document = describe_job(stores, record)
    if as_json:
        _print_json(document)
    else:
        _print_job(document)
    return NOT_WELL if record.state is JobState.QUARANTINED else 0


def describe_job(stores: Stores, record: JobRecord) -> dict[str, Any]:
    """Everything that is known of a job, as a document."""
    blinded = stores.findings.is_blinded(record.job_id)
    deliveries: dict[str, list[dict[str, Any]]] = {}
    for one in stores.outbox.rows(record.job_id):
        deliveries.setdefault(one.object_uid, []).append(
            {
                "destination": one.destination,
                "state": one.state.value,
                "detail": one.detail,
                "attempts": one.attempts,
                "next_attempt_at": one.next_attempt_at if one.state is DeliveryState.PENDING else None,
                "stored_at": one.stored_at,
                "committed_at": one.committed_at,
            }
        )
    return _job(record) | {
        "blinded": blinded,
        "steps": [
            {
                "step": step.step.value,
                "started_at": step.started_at,
                "seconds": round(step.seconds, 3),
                "outcome": step.outcome.value,
                "details": step.details,
            }
            for step in stores.jobs.steps(record.job_id)
        ],
        "objects": [
            {
                "kind": made.kind.name.lower(),
                "sop_instance_uid": made.uid,
                "series_uid": made.series_uid,
                "series_description": made.series_description,
                "pruned_at": made.pruned_at,
                # Not of a result of silent mode before somebody has unblinded it.
                "numbers": [] if blinded else _numbers(made),
                "deliveries": deliveries.get(made.uid, []),
            }
            for made in stores.results.of(record.job_id)
        ],
    }


def _numbers(made: ResultRecord) -> list[dict[str, Any]]:
    return [{"name": one.name, "value": one.value, "unit": one.unit} for one in made.numbers]


def send_files_to(paths: Sequence[Path], to: str, calling: str) -> int:
    """Store files, with progress; 1 when one was not stored."""
    files = list(_files(paths))
    if not files:
        raise UsageError("there is no file to send")
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        task = progress.add_task("storing", total=len(files))
        results = send_files(files, Peer.parse(to), AeTitle(calling), on_progress=lambda _: progress.advance(task))
    failed = [result for result in results if not result.is_stored]
    for result in failed:
        console.print(f"{result.path}: {_answer(result)}", markup=False, highlight=False)
    Console().print(f"{len(results) - len(failed)} of {len(results)} stored at {to}", markup=False, highlight=False)
    return NOT_WELL if failed else 0


def _answer(result: SendResult) -> str:
    status = f"0x{result.status:04X} " if result.status is not None else ""
    return f"{status}{result.detail}"


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file())
        else:
            yield path


def _state(name: str | None) -> JobState | None:
    if name is None:
        return None
    try:
        return JobState(name)
    except ValueError as exc:
        raise UsageError(f"--state {name}: known states are {', '.join(JobState)}") from exc


def _job(record: JobRecord) -> dict[str, Any]:
    reason = ReasonCode[record.reason].sentence if record.reason else ""
    return {
        "job": record.job_id,
        "state": record.shown_state,
        "version": record.version,
        "supersedes": record.supersedes,
        "patient_id": record.patient_id,
        "study_uid": record.study_uid,
        "series_uid": record.series_uid,
        "modality": record.modality,
        "predictor": record.predictor,
        "reason": record.reason,
        "reason_text": reason,
        "detail": record.detail,
        "created_at": record.created_at,
        "last_received_at": record.last_received_at,
        "completed_at": record.completed_at,
        "claimed_at": record.claimed_at,
        "finished_at": record.finished_at,
        "delivered_at": record.delivered_at,
    }


def _print_job(document: dict[str, Any]) -> None:
    console = Console()
    facts = Table("job", document["job"], title="Analysis")
    for name in ("state", "patient_id", "study_uid", "series_uid", "predictor", "reason", "reason_text", "detail"):
        if document[name]:
            facts.add_row(name.replace("_", " "), str(document[name]))
    console.print(facts)
    steps = Table("step", "seconds", "outcome", "details", title="Steps")
    for step in document["steps"]:
        details = ", ".join(f"{name} {value}" for name, value in step["details"].items())
        steps.add_row(step["step"], f"{step['seconds']:.3f}", step["outcome"], details)
    console.print(steps)
    for line in _clinical_reasons(document["steps"]):
        console.print(line, markup=False, highlight=False)
    objects = Table("object", "series description", "numbers", "delivery", title="Objects")
    for made in document["objects"]:
        numbers = "\n".join(f"{one['name']}: {one['value']} {one['unit']}".rstrip() for one in made["numbers"])
        sent = "\n".join(f"{one['destination']}: {one['state']} {one['detail']}".rstrip() for one in made["deliveries"])
        objects.add_row(made["kind"], made["series_description"], numbers, sent)
    console.print(objects)


def _clinical_reasons(steps: list[dict[str, Any]]) -> Iterator[str]:
    """Why clinical values were not used, in sentences: the step keeps names and codes."""
    gathered: dict[str, Any] = next(
        (step["details"] for step in reversed(steps) if step["step"] == Step.GATHER_CLINICAL.value), {}
    )
    for entry in str(gathered.get("held", "")).split():
        variable, source, reason = entry.split(":")
        yield f"not used: {variable} ({source}): {ValueReason[reason].sentence}"
    for entry in str(gathered.get("conflicts", "")).split():
        variable, _, sources = entry.partition(":")
        yield f"sources disagree on {variable}: {sources.replace('/', ' was believed, not ')}"
    for told in filter(None, str(gathered.get("silent", "")).split("; ")):
        yield f"no answer from {told}; celadon clinical check says what helps"


def _moment(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else "never"


def _print_json(document: Any) -> None:
    def encode(value: Any) -> str:
        return value.isoformat() if isinstance(value, datetime) else str(value)

    print(json.dumps(document, default=encode, indent=2, ensure_ascii=False))  # noqa: T201 — the promised document
