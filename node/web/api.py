"""The API for programs, as ``/api/openapi.json`` describes it; a token of ``celadon users token`` signs in."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from node.domain.access import Permission, Person
from node.domain.audit import CLINICAL_VALUE, AuditAction
from node.domain.clinical_intake import KnownValue
from node.domain.identifiers import JobId
from node.domain.imaging import PatientIdentity
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.verdict import LONGEST_REASON, Verdict, VerdictKind
from node.errors import UsageError
from node.store.worklist import Line, Order, Wanted
from node.stores import BYTES_PER_GB
from node.web.access import TheSite, allowed_api
from node.web.case import about, add_verdict, line_of
from node.web.pages import sentence
from node.web.worklist import last_row

router = APIRouter(prefix="/api/v1", tags=["v1"])

_MOST: Final = 500
_DICOM: Final = "application/dicom"
_LINES: Final = "application/x-ndjson"

Viewer = Annotated[Person, Depends(allowed_api(Permission.SEE_CASES))]
Reader = Annotated[Person, Depends(allowed_api(Permission.GIVE_VERDICT))]
Exporter = Annotated[Person, Depends(allowed_api(Permission.EXPORT_VERDICTS))]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Job(_Answer):
    """An analysis: one version of one series."""

    job: str
    state: str = Field(description="As people see it: running:<step> while it runs.")
    version: int
    urgent: bool
    blinded: bool = Field(description="Of silent mode, and not unblinded: finding, objects and numbers are withheld.")
    patient_id: str
    accession: str
    study_uid: str
    series_uid: str
    modality: str
    predictor: str
    reason: str
    reason_text: str
    detail: str
    created_at: datetime
    completed_at: datetime | None
    finished_at: datetime | None


class Jobs(_Answer):
    """A page of analyses, the newest first."""

    jobs: list[Job]
    next: str | None = Field(description="Give it as `after` for the following page; null at the end.")


class Step(_Answer):
    """A step that ran."""

    step: str
    started_at: datetime
    seconds: float
    outcome: str
    details: dict[str, str | int | float]


class Number(_Answer):
    """A number inside an object."""

    name: str
    value: float | str
    unit: str


class Sent(_Answer):
    """An object on its way to a destination."""

    destination: str
    state: DeliveryState
    detail: str
    attempts: int
    stored_at: datetime | None
    committed_at: datetime | None = Field(description="When the archive committed to it (PS3.4 annex J).")


class Object(_Answer):
    """A result object."""

    kind: str
    sop_instance_uid: str
    sop_class_uid: str
    series_uid: str
    series_description: str
    pruned_at: datetime | None
    numbers: list[Number]
    deliveries: list[Sent]


class Feedback(_Answer):
    """What a reader said of a result: the one list of what anybody who takes verdicts along is given."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    job: str = Field(validation_alias="job_id")
    at: datetime
    reader: str
    kind: VerdictKind
    own_class: str
    reason: str
    predictor: str
    digest: str
    conclusion: str

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        """Of a verdict of the store."""
        return cls.model_validate(verdict)


class Detail(_Answer):
    """Everything about one analysis."""

    job: Job
    steps: list[Step]
    objects: list[Object]
    finding: dict[str, Any] | None
    feedback: list[Feedback]


class NewFeedback(BaseModel):
    """A verdict to add; whoever has given one before amends it."""

    model_config = ConfigDict(extra="forbid")

    kind: VerdictKind
    own_class: str = Field("", max_length=64, description="Of somebody who disagrees, e.g. CT3 or NTR_LOW.")
    reason: str = Field("", max_length=LONGEST_REASON)


class Value(_Answer):
    """A clinical value as it is known."""

    id: int
    variable: str
    value: float | str | None
    unit: str
    sent_value: str
    sent_unit: str
    observed_at: datetime | None
    received_at: datetime
    source: str
    state: str
    reason: str
    by: str


class Clinical(_Answer):
    """What is known of a patient."""

    patient_id: str
    issuer: str
    values: list[Value]


class Status(_Answer):
    """How the node is."""

    jobs: dict[str, int]
    deliveries: dict[str, int]
    queue_depth: int
    oldest_waiting: datetime | None
    last_received: datetime | None
    free_gb: float
    well: bool
    version: str


_BLINDED: Final = "The result is blinded: silent mode."
_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "There is no such thing."}}
_UNUSABLE: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "It cannot be done; `detail` says why."}}
_ACCESS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"description": "Nobody is signed in."},
    403: {"description": "It is not allowed."},
}


@router.get("/jobs", responses=_ACCESS | _UNUSABLE)
def jobs(
    site: TheSite,
    person: Viewer,
    state: JobState | None = None,
    patient: Annotated[str, Query(max_length=64, description="Patient ID, accession number or name, in part.")] = "",
    after: Annotated[str, Query(max_length=128)] = "",
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 50,
) -> Jobs:
    """List analyses; superseded ones where they are asked for."""
    site.tell(person, AuditAction.WORKLIST_VIEWED, details={"searched": int(bool(patient)), "api": 1})
    page = site.stores.worklist.page(Wanted(state, patient.replace("\x00", ""), Order.NEWEST, _after(after)), limit)
    following = f"{page.following[0].isoformat()}~{page.following[1]}" if page.following else None
    return Jobs(jobs=[_job(line) for line in page.lines], next=following)


@router.get("/jobs/{job_id}", responses=_ACCESS | _NOT_FOUND)
def job(site: TheSite, person: Viewer, job_id: str) -> Detail:
    """One analysis with its steps, objects, finding and verdicts."""
    line = line_of(site, job_id)
    site.tell(person, AuditAction.CASE_VIEWED, about=about(line))
    return Detail(
        job=_job(line),
        steps=[
            Step(
                step=one.step.value,
                started_at=one.started_at,
                seconds=round(one.seconds, 3),
                outcome=one.outcome.value,
                details=one.details,
            )
            for one in site.stores.jobs.steps(job_id)
        ],
        objects=[] if line.is_blinded else _objects(site, job_id),
        finding=site.stores.findings.of(job_id),
        feedback=[Feedback.of(one) for one in site.stores.verdicts.of(job_id)],
    )


@router.get("/jobs/{job_id}/feedback", responses=_ACCESS | _NOT_FOUND)
def read_feedback(site: TheSite, person: Viewer, job_id: str) -> list[Feedback]:
    """Everything that readers have said of a result, in order: nothing is overwritten."""
    line = line_of(site, job_id)
    site.tell(person, AuditAction.CASE_VIEWED, about=about(line))
    return [Feedback.of(one) for one in site.stores.verdicts.of(job_id)]


@router.post("/jobs/{job_id}/feedback", status_code=201, responses=_ACCESS | _NOT_FOUND | _UNUSABLE)
def add_feedback(site: TheSite, person: Reader, job_id: str, feedback: NewFeedback) -> Feedback:
    """Add a verdict on a result."""
    try:
        number = add_verdict(site, person, job_id, feedback.kind, feedback.own_class, feedback.reason)
    except UsageError as exc:
        raise HTTPException(409, str(exc)) from exc
    return next(Feedback.of(one) for one in site.stores.verdicts.of(job_id) if one.id == number)


@router.get(
    "/jobs/{job_id}/objects/{uid}",
    responses=_ACCESS | _NOT_FOUND | {200: {"content": {_DICOM: {}}, "description": "The DICOM file (PS3.10)."}},
    response_class=Response,
)
def dicom_object(site: TheSite, person: Viewer, job_id: str, uid: str) -> Response:
    """The bytes of a result object, as they were sent."""
    line = line_of(site, job_id)
    if line.is_blinded:
        raise HTTPException(404, _BLINDED)
    found = next((one for one in site.stores.results.of(job_id) if one.uid == uid and one.pruned_at is None), None)
    if found is not None:
        site.stores.blobs.bring((found.path,))
    if found is None or not found.path.is_file():
        raise HTTPException(404, "There is no such object.")
    site.tell(person, AuditAction.OBJECT_FETCHED, about=about(line, found.uid))
    disposition = {"content-disposition": f'attachment; filename="{found.uid}.dcm"'}
    return Response(found.path.read_bytes(), media_type=_DICOM, headers=disposition)


@router.get("/clinical/{patient}", responses=_ACCESS)
def clinical(
    site: TheSite, person: Viewer, patient: str, issuer: Annotated[str, Query(max_length=64)] = ""
) -> Clinical:
    """The clinical values that are known of a patient, used or not."""
    known = site.stores.clinical.of(PatientIdentity(patient.replace("\x00", ""), issuer.replace("\x00", "")))
    if known:
        site.tell(person, AuditAction.PATIENT_VIEWED, details={CLINICAL_VALUE: known[0].id})
    else:
        site.tell(person, AuditAction.CLINICAL_VIEWED)
    return Clinical(patient_id=patient, issuer=issuer, values=[_value(one) for one in known])


@router.get("/status", responses=_ACCESS)
def status(site: TheSite, _: Viewer) -> Status:
    """Counts by state, queue, oldest waiting, last received, free disk."""
    stores = site.stores
    counts, deliveries = stores.jobs.counts(), stores.outbox.counts()
    return Status(
        jobs={state.value: count for state, count in counts.items()},
        deliveries={state.value: count for state, count in deliveries.items()},
        queue_depth=counts[JobState.WAITING],
        oldest_waiting=stores.jobs.oldest_waiting(),
        last_received=stores.jobs.last_received(),
        free_gb=round(stores.blobs.free_bytes() / BYTES_PER_GB, 1),
        well=counts[JobState.QUARANTINED] + deliveries[DeliveryState.FAILED] == 0,
        version=site.version,
    )


@router.get(
    "/feedback",
    responses=_ACCESS | {200: {"content": {_LINES: {}}, "description": "One verdict a line."}},
    response_class=StreamingResponse,
)
def export_feedback(site: TheSite, person: Exporter) -> StreamingResponse:
    """Every verdict about every result, as JSON lines."""
    site.tell(person, AuditAction.VERDICTS_EXPORTED)

    def lines() -> Iterator[str]:
        for one in site.stores.verdicts.all():
            yield Feedback.of(one).model_dump_json() + "\n"

    return StreamingResponse(lines(), media_type=_LINES)


def _after(text: str) -> tuple[datetime, str] | None:
    try:
        return last_row(text, "~")
    except ValueError as exc:
        raise HTTPException(409, "after is not what a page has given as next") from exc


def _job(line: Line) -> Job:
    return Job(
        job=line.job_id,
        state=line.shown_state,
        version=line.version,
        urgent=line.is_urgent,
        blinded=line.is_blinded,
        patient_id=line.patient_id,
        accession=line.accession,
        study_uid=line.study_uid,
        series_uid=line.series_uid,
        modality=line.modality,
        predictor=line.predictor,
        reason=line.reason,
        reason_text=sentence(line.reason),
        detail=line.detail,
        created_at=line.created_at,
        completed_at=line.completed_at,
        finished_at=line.finished_at,
    )


def _objects(site: TheSite, job_id: str) -> list[Object]:
    sent: dict[str, list[Sent]] = {}
    for row in site.stores.outbox.rows(JobId(job_id)):
        made = Sent(
            destination=row.destination,
            state=row.state,
            detail=row.detail,
            attempts=row.attempts,
            stored_at=row.stored_at,
            committed_at=row.committed_at,
        )
        sent.setdefault(row.object_uid, []).append(made)
    return [
        Object(
            kind=one.kind.key,
            sop_instance_uid=one.uid,
            sop_class_uid=one.sop_class_uid,
            series_uid=one.series_uid,
            series_description=one.series_description,
            pruned_at=one.pruned_at,
            numbers=[Number(name=number.name, value=number.value, unit=number.unit) for number in one.numbers],
            deliveries=sent.get(one.uid, []),
        )
        for one in site.stores.results.of(job_id)
    ]


def _value(known: KnownValue) -> Value:
    read = known.received.read
    return Value(
        id=known.id,
        variable=read.raw.variable.value,
        value=read.value,
        unit=read.unit,
        sent_value=read.raw.text,
        sent_unit=read.raw.unit,
        observed_at=read.raw.observed_at,
        received_at=known.received_at,
        source=known.received.source,
        state=known.state.value,
        reason=known.reason.name if known.reason else "",
        by=known.decided_by or known.received.by,
    )
