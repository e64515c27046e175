"""The case: images with region and evidence, the answer and its reasons, what was known, what happened, the verdict."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response

from node import retraction
from node.domain.access import Permission, Person
from node.domain.audit import AuditAction
from node.domain.identifiers import JobId, SeriesUID
from node.domain.imaging import PatientIdentity
from node.domain.lifecycle import WAITS_FOR_A_PERSON, DeliveryState, JobState, may_follow
from node.domain.outcome import ANSWERS, LONGEST_SOURCE, outcome
from node.domain.reasons import ReasonCode
from node.domain.reporting import ObjectKind
from node.domain.verdict import LONGEST_REASON, Verdict, VerdictKind
from node.errors import Retryable, UsageError
from node.retraction import LONGEST_REASON as LONGEST_WHY
from node.store.findings import Document
from node.store.outbox import DeliveryRecord
from node.store.outcomes import standing as standing_outcomes
from node.store.verdicts import standing
from node.store.worklist import Line
from node.web.access import TheSite, allowed
from node.web.entering import Given, given, keep, variables
from node.web.nomogram import nomogram
from node.web.pictures import WINDOWS, DamagedOverlay, NoPicture, Stack
from node.web.showing import as_sentence, back_to, show
from node.web.site import About, Site
from node.web.waterfall import waterfall

router = APIRouter(include_in_schema=False)

Viewer = Annotated[Person, Depends(allowed(Permission.SEE_CASES))]
Reader = Annotated[Person, Depends(allowed(Permission.GIVE_VERDICT))]
Clerk = Annotated[Person, Depends(allowed(Permission.ENTER_CLINICAL))]
Registrar = Annotated[Person, Depends(allowed(Permission.ENTER_OUTCOME))]
Withdrawer = Annotated[Person, Depends(allowed(Permission.RETRACT))]
Unblinder = Annotated[Person, Depends(allowed(Permission.UNBLIND))]

DELIVERY_WORDS: Final = {
    DeliveryState.PENDING.value: "waiting to be sent",
    DeliveryState.SENDING.value: "being sent",
    DeliveryState.STORED.value: "stored",
    DeliveryState.COMMITMENT_REQUESTED.value: "stored, commitment asked for",
    DeliveryState.COMMITTED.value: "committed",
    DeliveryState.HELD.value: "held: filed under another patient",
    DeliveryState.FAILED.value: "failed",
    DeliveryState.WITHDRAWN.value: "withdrawn",
}
LAYERS: Final = ("outline", "evidence")
_WITHDRAWABLE: Final = tuple(state for state in JobState if may_follow(state, JobState.RETRACTED))
_RETRIABLE: Final = (JobState.NOT_ANALYSED, JobState.QUARANTINED)
_LONGEST_VALUE: Final = 64


def about(line: Line, instance_uid: str = "") -> About:
    """A case as the audit trail names it."""
    return About(line.job_id, line.series_uid, line.study_uid, instance_uid)


def line_of(site: Site, job_id: str) -> Line:
    """A case that there is; 404 otherwise."""
    line = site.stores.worklist.line(job_id)
    if line is None:
        raise HTTPException(404, "There is no such case.")
    return line


@router.get("/jobs/{job_id}")
def case(request: Request, site: TheSite, person: Viewer, job_id: str) -> Response:
    """The page of a case."""
    line = line_of(site, job_id)
    _tell_viewed(site, person, line)
    stores = site.stores
    document = stores.findings.of(job_id)
    words = stores.verdicts.of(job_id)
    values: dict[str, Any] = {
        "line": line,
        "seen": line.state.value,
        "document": document,
        "pictures": _pictures(site, line, document),
        "windows": tuple(WINDOWS.values()),
        "waterfall": waterfall(document["attribution"]) if document and document["attribution"] else None,
        "nomogram": nomogram(document["nomogram"]) if document and document["nomogram"] else None,
        "steps": stores.jobs.steps(job_id),
        "objects": [] if line.is_blinded else _objects(site, job_id),
        "versions": stores.worklist.versions(line.series_uid),
        "viewers": _viewers(site, line),
        "words": words,
        "mine": next((word for word in reversed(words) if word.reader == person.name), None),
        "standing": standing(words),
        "kinds": tuple(VerdictKind),
        "variables": variables(),
        "unblindings": stores.findings.unblindings(job_id),
        "outcomes": standing_outcomes(stores.outcomes.of(line.study_uid)),
        "answers": _answers(document),
        "may_retract": line.state in _WITHDRAWABLE and not line.is_blinded,
        "longest_why": LONGEST_WHY,
        "delivery_words": DELIVERY_WORDS,
        "may_retry": line.state in _RETRIABLE or _has_failed(site, job_id),
        "longest_reason": LONGEST_REASON,
        "now": datetime.now(UTC),
    }
    return show(request, site, person, "case.html", **values)


@router.get("/jobs/{job_id}/state")
def state(request: Request, site: TheSite, person: Viewer, job_id: str, seen: str = "") -> Response:
    """How far a case is, for a page that shows it as it was when it was ``seen``."""
    return site.pages.answer(request, "case_state.html", person=person, line=line_of(site, job_id), seen=seen)


@router.get("/jobs/{job_id}/slices/{index}.png")
def picture(site: TheSite, person: Viewer, job_id: str, index: int, window: str = "abdomen") -> Response:
    """One CT slice."""
    line = line_of(site, job_id)
    if window not in WINDOWS:
        raise HTTPException(404, "There is no such window.")
    _tell_viewed(site, person, line)
    instance = _instance(site, line, index)
    return _png(lambda: site.pictures.slice(instance, WINDOWS[window]))


@router.get("/jobs/{job_id}/slices/{index}/{layer}.png")
def overlay(site: TheSite, person: Viewer, job_id: str, index: int, layer: str) -> Response:
    """What lies over one slice."""
    line = line_of(site, job_id)
    if layer not in LAYERS:
        raise HTTPException(404, "There is no such layer.")
    if line.is_blinded:
        raise HTTPException(404, "There is no picture.")
    _tell_viewed(site, person, line)
    instance = _instance(site, line, index)
    draw = site.pictures.outline if layer == "outline" else site.pictures.evidence
    return _png(lambda: draw(job_id, instance))


@router.post("/jobs/{job_id}/verdict")
def give_verdict(
    request: Request,
    site: TheSite,
    person: Reader,
    job_id: str,
    kind: Annotated[str, Form()] = "",
    own_class: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Add what a reader says."""
    try:
        add_verdict(site, person, job_id, kind, own_class, reason)
    except UsageError as exc:
        return back_to(request, site, f"/jobs/{job_id}", problem=as_sentence(exc))
    return back_to(request, site, f"/jobs/{job_id}", done="Your verdict is kept.")


@router.post("/jobs/{job_id}/clinical")
def enter_clinical(
    request: Request, site: TheSite, person: Clerk, job_id: str, filled: Annotated[Given, Depends(given)]
) -> Response:
    """Add a clinical value of the patient; what it may change is analysed again."""
    line = line_of(site, job_id)
    try:
        reopened = keep(site, person, _identity(site, line), filled)
    except UsageError as exc:
        return back_to(request, site, f"/jobs/{job_id}", problem=as_sentence(exc))
    again = reopened[0] if reopened else job_id
    words = "The value is kept; the analysis begins again." if reopened else "The value is kept."
    return back_to(request, site, f"/jobs/{again}", done=words)


@router.post("/jobs/{job_id}/outcome")
def enter_outcome(
    request: Request,
    site: TheSite,
    person: Registrar,
    job_id: str,
    answer: Annotated[str, Form(max_length=_LONGEST_VALUE)] = "",
    determined: Annotated[str, Form(max_length=_LONGEST_VALUE)] = "",
    source: Annotated[str, Form(max_length=LONGEST_SOURCE)] = "",
) -> Response:
    """Add what turned out to be true of the study."""
    line = line_of(site, job_id)
    try:
        made = outcome(line.study_uid, answer, determined, source, person.name, datetime.now(UTC))
    except ValueError as exc:
        return back_to(request, site, f"/jobs/{job_id}", problem=as_sentence(exc))
    site.stores.outcomes.add((made,))
    return back_to(request, site, f"/jobs/{job_id}", done="The outcome is kept.")


@router.post("/jobs/{job_id}/retract")
def retract(
    request: Request,
    site: TheSite,
    person: Withdrawer,
    job_id: str,
    reason: Annotated[str, Form(max_length=LONGEST_WHY)] = "",
    confirmed: Annotated[bool, Form()] = False,
) -> Response:
    """Withdraw what was sent of a case, visibly."""
    line = line_of(site, job_id)
    path = f"/jobs/{job_id}"
    if not confirmed:
        return back_to(request, site, path, problem="Nothing was withdrawn: the box that confirms it was not ticked.")
    if not reason.strip():
        return back_to(request, site, path, problem="Nothing was withdrawn: whoever withdraws a result says why.")
    if line.is_blinded:
        return back_to(request, site, path, problem="Nothing was withdrawn: a blinded result was sent to nobody.")
    try:
        done = retraction.retract(site.stores, site.settings, job_id, reason=reason, by=person.actor)
    except (UsageError, Retryable) as exc:
        return back_to(request, site, path, problem=as_sentence(exc))
    where = ", ".join(done.destinations)
    words = f"Withdrawn; a rejection note and a notice go to {where}." if where else "Withdrawn; nothing had been sent."
    return back_to(request, site, path, done=words)


@router.post("/jobs/{job_id}/unblind")
def unblind(
    request: Request,
    site: TheSite,
    person: Unblinder,
    job_id: str,
    reason: Annotated[str, Form(max_length=LONGEST_WHY)] = "",
) -> Response:
    """Show a result of silent mode from now on."""
    line_of(site, job_id)
    path = f"/jobs/{job_id}"
    if person.how == "local":
        return back_to(request, site, path, problem="A result is unblinded by somebody with a name: sign in.")
    try:
        site.stores.findings.unblind(job_id, person.name, reason)
    except UsageError as exc:
        return back_to(request, site, path, problem=as_sentence(exc))
    return back_to(request, site, path, done="The result is shown from now on.")


def add_verdict(site: Site, person: Person, job_id: str, kind: str, own_class: str, reason: str) -> int:
    """Keep a verdict, and give its number.

    Raises:
        UsageError: it is not complete, or there is nothing that could be judged.
        HTTPException: there is no such case.
    """
    line = line_of(site, job_id)
    document = site.stores.findings.of(job_id)
    if document is None:
        raise UsageError("there is no result that could be judged")
    if kind not in tuple(VerdictKind):
        raise UsageError(f"a verdict is one of {', '.join(VerdictKind)}")
    verdict = Verdict(
        job_id=JobId(job_id),
        at=datetime.now(UTC),
        reader=person.name,
        kind=VerdictKind(kind),
        own_class=own_class if kind == VerdictKind.DISAGREE else "",
        reason=reason.strip(),
        predictor=line.predictor,
        digest=document["algorithm"]["digest"],
        conclusion=document["conclusion"]["code"],
    )
    if fault := verdict.fault(tuple(one["code"] for one in document["classes"])):
        raise UsageError(fault)
    return site.stores.verdicts.add(verdict)


def _tell_viewed(site: Site, person: Person, line: Line) -> None:
    """Each case, not each slice of it."""
    key = (AuditAction.CASE_VIEWED, person.how, person.name, line.job_id)
    site.lately.once(key, lambda: site.tell(person, AuditAction.CASE_VIEWED, about=about(line)))


def _identity(site: Site, line: Line) -> PatientIdentity:
    """Whose images these are: another issuer may have given the same number, and the same name, to somebody else."""
    return site.stores.inbox.series(SeriesUID(line.series_uid)).patient


def _pictures(site: Site, line: Line, document: Document | None) -> dict[str, Any] | None:
    """What the page needs to scroll through the slices; None where there is nothing to see."""
    stack = _stack(site, line, document)
    if stack is None:
        return None
    regions, maps = (_shown_on(site, line, kind) for kind in (ObjectKind.SEGMENTATION, ObjectKind.PARAMETRIC_MAP))
    west, east, north, south = stack.edges
    uids = [one.uid for one in stack.instances]
    keys = document["key_slices"] if document else []
    first = keys[0] if keys and keys[0] < len(uids) else len(uids) // 2
    return {
        "count": len(uids),
        "first": first,
        "keys": [key for key in keys if key < len(uids)],
        "edges": {"west": west, "east": east, "north": north, "south": south},
        "outlined": [number for number, uid in enumerate(uids) if uid in (regions or ())],
        "explained": [number for number, uid in enumerate(uids) if uid in (maps or ())],
        "damaged": [name for name, found in (("region", regions), ("evidence map", maps)) if found is None],
        "heights": [stack.height_mm(number) for number in range(len(uids))],
    }


def _shown_on(site: Site, line: Line, kind: ObjectKind) -> frozenset[str] | None:
    """The images that an overlay has something on; None where that cannot be read any more."""
    if line.is_blinded:
        return frozenset()
    try:
        return site.pictures.shown_on(line.job_id, kind)
    except DamagedOverlay:
        return None


def _stack(site: Site, line: Line, document: Document | None) -> Stack | None:
    if line.modality not in ("CT", "MR", "PT"):
        return None
    try:
        stack = site.pictures.stack(line.series_uid, document["slices"] if document else None)
    except NoPicture:
        return None
    return stack if stack.instances else None


def _instance(site: Site, line: Line, index: int) -> Any:
    stack = _stack(site, line, site.stores.findings.of(line.job_id))
    if stack is None or not 0 <= index < len(stack.instances):
        raise HTTPException(404, "There is no such slice.")
    return stack.instances[index]


def _png(draw: Any) -> Response:
    try:
        return Response(draw(), media_type="image/png")
    except NoPicture as exc:
        raise HTTPException(404, "There is no picture.") from exc
    except DamagedOverlay as exc:
        damaged = ReasonCode.STORED_FILE_DAMAGED
        raise HTTPException(409, f"{damaged.name}: {damaged.sentence}") from exc


def _objects(site: Site, job_id: str) -> list[dict[str, Any]]:
    sent: dict[str, list[DeliveryRecord]] = {}
    for one in site.stores.outbox.rows(job_id):
        sent.setdefault(one.object_uid, []).append(one)
    return [{"record": one, "sent": sent.get(one.uid, [])} for one in site.stores.results.of(job_id)]


def _has_failed(site: Site, job_id: str) -> bool:
    return any(one.state in WAITS_FOR_A_PERSON for one in site.stores.outbox.rows(job_id))


def _viewers(site: Site, line: Line) -> list[tuple[str, str]]:
    values = {
        "study_uid": line.study_uid,
        "series_uid": line.series_uid,
        "patient_id": line.patient_id,
        "accession": line.accession,
    }
    quoted = {name: quote(value, safe="") for name, value in values.items()}
    return [(name, template.format(**quoted)) for name, template in site.settings.web.viewers.items()]


def _answers(document: Document | None) -> tuple[str, ...]:
    """What may have turned out to be true: answers to the question of this result, or to any while that is blinded."""
    asked = {ANSWERS.get(name) for name in (document or {}).get("observed", {}).get("scores", {})} - {None}
    return tuple(answer for answer, question in ANSWERS.items() if not asked or question in asked)
