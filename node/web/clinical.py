"""Clinical values apart from a case: what waits for a person, what is known of a patient, and a form to enter."""

from collections.abc import Collection
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Path, Request, Response

from node.domain.access import Permission, Person
from node.domain.audit import AuditAction
from node.domain.clinical import ValueState
from node.domain.clinical_intake import KnownValue
from node.domain.clinical_matching import contradicts
from node.domain.identifiers import SeriesUID
from node.domain.imaging import PatientIdentity
from node.errors import UsageError
from node.web.access import TheSite, allowed
from node.web.entering import Field, Given, given, keep, variables
from node.web.showing import as_sentence, back_to, show
from node.web.site import About

router = APIRouter(include_in_schema=False)

MOST: Final = 200
LARGEST_ID: Final = 2**63 - 1
"""What databases count up to."""

Clerk = Annotated[Person, Depends(allowed(Permission.ENTER_CLINICAL))]


@router.get("/clinical")
def clinical(request: Request, site: TheSite, person: Clerk) -> Response:
    """The values of all patients that wait for somebody to look."""
    site.tell(person, AuditAction.CLINICAL_VIEWED)
    images: dict[str, Collection[PatientIdentity]] = {}
    held = [one for one in site.stores.clinical.all() if _waits(site, one, images)]
    return _page(request, site, person, held=held[:MOST], more=max(0, len(held) - MOST))


@router.post("/clinical")
def patient(request: Request, site: TheSite, person: Clerk, patient_id: Field = "") -> Response:
    """What is known of a patient; a number does not belong into an address, which is logged."""
    wanted = patient_id.replace("\x00", "").strip()
    identities = _identities(site, wanted)
    for series_uid in identities.values():
        site.tell(person, AuditAction.PATIENT_VIEWED, about=About(series_uid=series_uid))
    if not identities:
        site.tell(person, AuditAction.CLINICAL_VIEWED)
    # Each with their own: what another issuer's patient of that number has is nobody else's.
    known = [(one, site.stores.clinical.of(one)) for one in identities]
    return _page(request, site, person, patient_id=wanted, known=known)


@router.post("/clinical/enter")
def enter(
    request: Request,
    site: TheSite,
    person: Clerk,
    filled: Annotated[Given, Depends(given)],
    patient_id: Field = "",
    issuer: Field = "",
) -> Response:
    """Keep a value of a patient who is here; what it may change is analysed again."""
    whose = next((one for one in _identities(site, patient_id.replace("\x00", "")) if one.issuer == issuer), None)
    if whose is None:
        return back_to(request, site, "/clinical", problem="There are no images of this patient here.")
    try:
        reopened = keep(site, person, whose, filled)
    except UsageError as exc:
        return back_to(request, site, "/clinical", problem=as_sentence(exc))
    again = f" {len(reopened)} analyses begin again." if reopened else ""
    return back_to(request, site, "/clinical", done=f"The value is kept.{again}")


@router.post("/clinical/{value_id}")
def decide(
    request: Request,
    site: TheSite,
    person: Clerk,
    value_id: Annotated[int, Path(ge=1, le=LARGEST_ID)],
    usable: Annotated[bool, Form()] = False,
) -> Response:
    """Say whether a value that waits may be used."""
    try:
        site.stores.clinical.decide(value_id, usable=usable, by=person.name)
    except UsageError as exc:
        return back_to(request, site, "/clinical", problem=as_sentence(exc))
    return back_to(request, site, "/clinical", done="The value is used." if usable else "The value is not used.")


def _waits(site: TheSite, known: KnownValue, images: dict[str, Collection[PatientIdentity]]) -> bool:
    """Whether a person must look: it was held, or nobody with images under this number can be whom it is of."""
    if known.state is not ValueState.USABLE or known.decided_by:
        return known.state is ValueState.HELD
    patient = known.received.patient
    if patient.patient_id not in images:
        images[patient.patient_id] = site.stores.clinical.patients(patient.patient_id)
    imaged = images[patient.patient_id]
    return bool(imaged) and all(contradicts(patient, one) for one in imaged)


def _identities(site: TheSite, patient_id: str) -> dict[PatientIdentity, SeriesUID]:
    """The patients of that number, each with a series of theirs: several where issuers differ."""
    known = site.stores.clinical.patients(patient_id) if patient_id else {}
    return {one: known[one] for one in {one.key(): one for one in known}.values()}


def _page(request: Request, site: TheSite, person: Person, **values: Any) -> Response:
    shown: dict[str, Any] = {"held": [], "more": 0, "patient_id": "", "known": []}
    shown |= {"variables": variables(), "row": _row}
    return show(request, site, person, "clinical.html", **(shown | values))


def _row(known: KnownValue) -> dict[str, Any]:
    """A value as the tables show it."""
    read, raw = known.received.read, known.received.read.raw
    return {
        "id": known.id,
        "patient_id": known.received.patient.patient_id,
        "name": raw.variable.value.replace("_", " "),
        "sent": f"{raw.text} {raw.unit}".strip(),
        "value": "" if read.value is None else f"{read.value} {read.unit}".strip(),
        "can_be_used": read.value is not None,
        "source": known.received.source,
        "observed_at": raw.observed_at,
        "received_at": known.received_at,
        "state": known.state.value,
        "reason": known.reason.sentence if known.reason else "",
        "by": known.decided_by or known.received.by,
    }
