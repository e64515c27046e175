"""Audit messages: rows of the trail as XML of the DICOM Audit Message Schema (PS3.15 section A.5.1).

Which action becomes which message is the table ``KINDS``; an action that is not in it is not sent. The trail itself
names no patient: whom a message is about is looked up when it is made.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from enum import Enum
from types import MappingProxyType
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document may hold (XML 1.0 section 2.2)."""
_LONGEST: Final = 256
_OUTCOMES: Final = {AuditOutcome.SUCCESS: "0", AuditOutcome.REFUSED: "4", AuditOutcome.FAILURE: "8"}
_PERSON: Final = "person "
_SERVER: Final = "4"
"""Application server process (PS3.15 section A.5.1.2.1)."""


class Code(Enum):
    """A code of DICOM (PS3.16 CIDs 400 to 405) or of RFC 3881 with its meaning."""

    APPLICATION_ACTIVITY = ("110100", "DCM", "Application Activity")
    AUDIT_LOG_USED = ("110101", "DCM", "Audit Log Used")
    INSTANCES_ACCESSED = ("110103", "DCM", "DICOM Instances Accessed")
    INSTANCES_TRANSFERRED = ("110104", "DCM", "DICOM Instances Transferred")
    STUDY_DELETED = ("110105", "DCM", "DICOM Study Deleted")
    EXPORT = ("110106", "DCM", "Export")
    PATIENT_RECORD = ("110110", "DCM", "Patient Record")
    QUERY = ("110112", "DCM", "Query")
    SECURITY_ALERT = ("110113", "DCM", "Security Alert")
    USER_AUTHENTICATION = ("110114", "DCM", "User Authentication")
    APPLICATION_START = ("110120", "DCM", "Application Start")
    APPLICATION_STOP = ("110121", "DCM", "Application Stop")
    LOGIN = ("110122", "DCM", "Login")
    LOGOUT = ("110123", "DCM", "Logout")
    NODE_AUTHENTICATION = ("110126", "DCM", "Node Authentication")
    SECURITY_CONFIGURATION = ("110129", "DCM", "Security Configuration")
    SOFTWARE_CONFIGURATION = ("110131", "DCM", "Software Configuration")
    RESTRICTED_FUNCTION = ("110132", "DCM", "Use of Restricted Function")
    RECORDING_STOPPED = ("110133", "DCM", "Audit Recording Stopped")
    OBJECT_ATTRIBUTES_CHANGED = ("110135", "DCM", "Object Security Attributes Changed")
    USER_ATTRIBUTES_CHANGED = ("110137", "DCM", "User Security Attributes Changed")
    APPLICATION = ("110150", "DCM", "Application")
    DESTINATION = ("110152", "DCM", "Destination Role ID")
    SOURCE = ("110153", "DCM", "Source Role ID")
    DESTINATION_MEDIA = ("110154", "DCM", "Destination Media")
    URI_MEDIA = ("110037", "DCM", "URI")
    STUDY = ("110180", "DCM", "Study Instance UID")
    SOP_CLASS = ("110181", "DCM", "SOP Class UID")
    NODE_ID = ("110182", "DCM", "Node ID")
    PATIENT_NUMBER = ("2", "RFC-3881", "Patient Number")
    URI = ("12", "RFC-3881", "URI")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom and what a row is about, as it is known when the message is made."""

    study_uid: str
    patient_id: str
    issuer: str
    patient_name: str
    calling_ae: str
    address: str
    accession: str = ""
    contents: tuple[tuple[str, int], ...] = ()
    """SOP Class UIDs, each with how many instances of the series are here."""


_NOBODY: Final = Subject("", "", "", "", "", "")


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports."""

    source: str
    site: str
    ae_title: str
    address: str
    process: str


@dataclass(frozen=True, slots=True)
class _Told:
    """What a message is made from."""

    event: AuditEvent
    subject: Subject | None
    reporter: Reporter


def message(event: AuditEvent, subject: Subject | None, reporter: Reporter) -> bytes | None:
    """The message about one row, UTF-8; None where nothing is sent about its action."""
    kind = KINDS.get(event.action)
    if kind is None:
        return None
    told = _Told(event, subject, reporter)
    root = Element("AuditMessage")
    identification = SubElement(
        root,
        "EventIdentification",
        EventActionCode=kind.action,
        EventDateTime=event.at.astimezone(UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=_OUTCOMES[event.outcome],
    )
    _code(identification, "EventID", kind.code)
    for one in kind.types:
        _code(identification, "EventTypeCode", one)
    if event.reason is not None and event.outcome is not AuditOutcome.SUCCESS:
        SubElement(identification, "EventOutcomeDescription").text = _clean(event.reason.name)
    kind.participants(root, told)
    source = {"AuditSourceID": _clean(reporter.source)}
    if reporter.site:
        source["AuditEnterpriseSiteID"] = _clean(reporter.site)
    SubElement(SubElement(root, "AuditSourceIdentification", source), "AuditSourceTypeCode", {"csd-code": _SERVER})
    kind.objects(root, told)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _clean(text: object) -> str:
    return _NOT_XML.sub("\ufffd", str(text))[:_LONGEST]


def _code(parent: Element, name: str, code: Code) -> None:
    value, system, meaning = code.value
    SubElement(parent, name, {"csd-code": value, "codeSystemName": system, "originalText": meaning})


def _participant(
    root: Element, user: str, *, is_requestor: bool, role: Code | None = None, address: str = "", alternative: str = ""
) -> Element:
    attributes = {"UserID": _clean(user) or "unknown", "UserIsRequestor": "true" if is_requestor else "false"}
    if alternative:
        attributes["AlternativeUserID"] = _clean(alternative)
    if address:
        attributes |= {"NetworkAccessPointID": _clean(address), "NetworkAccessPointTypeCode": _kind_of(address)}
    made = SubElement(root, "ActiveParticipant", attributes)
    if role is not None:
        _code(made, "RoleIDCode", role)
    return made


def _kind_of(address: str) -> str:
    """2 for an IP address, 1 for a name."""
    return "2" if ":" in address or address.replace(".", "").isdecimal() else "1"


def _titles(*names: str) -> str:
    """AE titles as an AlternativeUserID (PS3.15 section A.5.2.3)."""
    return f"AETITLES={';'.join(names)}"


def _ourselves(root: Element, told: _Told, role: Code | None, *, is_requestor: bool = False) -> None:
    reporter = told.reporter
    alternative = _titles(reporter.ae_title) if role is not Code.APPLICATION else reporter.process
    _participant(
        root, reporter.source, is_requestor=is_requestor, role=role, address=reporter.address, alternative=alternative
    )


def _application(root: Element, told: _Told) -> None:
    _participant(
        root,
        told.reporter.source,
        is_requestor=False,
        role=Code.APPLICATION,
        address=told.reporter.address,
        alternative=_titles(told.reporter.ae_title),
    )


def _asker(root: Element, told: _Told) -> None:
    """Who did it, person or process, and this node where it was a person."""
    actor, address = told.event.actor, str(told.event.details.get("address", ""))
    if actor.startswith(_PERSON) or actor in ("somebody", "operator"):
        _participant(root, actor.removeprefix(_PERSON), is_requestor=True, address=address)
        _ourselves(root, told, None)
    elif actor.startswith("peer "):
        _participant(
            root,
            actor.removeprefix("peer "),
            is_requestor=True,
            address=address,
            alternative=_titles(actor.removeprefix("peer ")),
        )
        _ourselves(root, told, None)
    else:
        _participant(root, actor, is_requestor=True, address=told.reporter.address, alternative=told.reporter.process)


def _received(root: Element, told: _Told) -> None:
    subject, event = told.subject, told.event
    sender = subject.calling_ae if subject else event.actor.removeprefix("peer ")
    address = subject.address if subject else str(event.details.get("address", ""))
    _participant(root, sender, is_requestor=True, role=Code.SOURCE, address=address, alternative=_titles(sender))
    _ourselves(root, told, Code.DESTINATION)


def _sent(root: Element, told: _Told) -> None:
    _ourselves(root, told, Code.SOURCE, is_requestor=True)
    _participant(root, str(told.event.details.get("destination", "")), is_requestor=False, role=Code.DESTINATION)


def _exported(root: Element, told: _Told) -> None:
    _asker(root, told)
    media = _participant(root, told.event.actor.removeprefix(_PERSON), is_requestor=False, role=Code.DESTINATION_MEDIA)
    _code(SubElement(media, "MediaIdentifier"), "MediaType", Code.URI_MEDIA)


def _nothing(root: Element, told: _Told) -> None:
    """No participant object."""


def _object(root: Element, uid: str, code: Code, name: str, **codes: str) -> Element:
    attributes = {"ParticipantObjectID": _clean(uid) or "unknown"} | codes
    made = SubElement(root, "ParticipantObjectIdentification", attributes)
    _code(made, "ParticipantObjectIDTypeCode", code)
    SubElement(made, "ParticipantObjectName").text = _clean(name) or "-"
    return made


def _detail(parent: Element, kind: str, value: object) -> None:
    # Always base64: what somebody else has written must not become a part of the message.
    encoded = base64.b64encode(_clean(value).encode()).decode()
    SubElement(parent, "ParticipantObjectDetail", {"type": kind, "value": encoded})


def _study_and_patient(root: Element, told: _Told) -> None:
    subject, event = told.subject, told.event
    study = subject.study_uid if subject else event.study_uid
    if study:
        made = _object(
            root, study, Code.STUDY, "Study", ParticipantObjectTypeCode="2", ParticipantObjectTypeCodeRole="3"
        )
        description = SubElement(made, "ParticipantObjectDescription")
        if subject and subject.accession:
            SubElement(description, "Accession", Number=_clean(subject.accession))
        for sop_class, count in subject.contents if subject and not event.instance_uid else ():
            SubElement(description, "SOPClass", UID=_clean(sop_class), NumberOfInstances=str(count))
        if event.instance_uid:
            holder = SubElement(description, "SOPClass", NumberOfInstances="1")
            SubElement(holder, "Instance", UID=_clean(event.instance_uid))
        holder = SubElement(description, "ParticipantObjectContainsStudy")
        SubElement(holder, "StudyIDs", UID=_clean(study))
    if subject:
        _patient(root, subject)


def _patient(root: Element, subject: Subject) -> Element:
    identity = f"{subject.patient_id}^^^{subject.issuer}" if subject.issuer else subject.patient_id
    return _object(
        root,
        identity,
        Code.PATIENT_NUMBER,
        subject.patient_name,
        ParticipantObjectTypeCode="1",
        ParticipantObjectTypeCodeRole="1",
    )


def _record(root: Element, told: _Told) -> None:
    """The patient, who is there in every such message, and what happened; no value, which the trail has not."""
    made = _patient(root, told.subject or _NOBODY)
    for name, value in sorted(told.event.details.items()):
        _detail(made, name, value)


def _trail(root: Element, told: _Told) -> None:
    _object(
        root,
        f"urn:celadon:{told.reporter.source}:audit",
        Code.URI,
        "Security Audit Log",
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole="13",
    )


def _list(root: Element, told: _Told) -> None:
    made = SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=f"urn:celadon:{told.reporter.source}:{told.event.action.value.split(':')[1]}",
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole="24",
    )
    _code(made, "ParticipantObjectIDTypeCode", Code.URI)
    # What was searched for may be a patient's name: the trail does not keep it.
    SubElement(made, "ParticipantObjectQuery").text = base64.b64encode(told.event.action.value.encode()).decode()


def _alert(root: Element, told: _Told) -> None:
    event = told.event
    made = _object(
        root,
        told.reporter.source,
        Code.NODE_ID,
        event.action.value,
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole="13",
    )
    _detail(made, "Alert Description", f"{event.action.value} {event.reason.name if event.reason else ''}".strip())
    for name, value in sorted(event.details.items()):
        _detail(made, name, value)
    _study_and_patient(root, told)


_Part = Callable[[Element, _Told], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """A message: its event, and which participants and objects it has."""

    code: Code
    action: str
    """EventActionCode: create, read, update, delete or execute."""
    participants: _Part
    objects: _Part
    types: tuple[Code, ...] = ()


def _security(*types: Code) -> Kind:
    """Security Alert (PS3.15 section A.5.3.11)."""
    return Kind(Code.SECURITY_ALERT, "E", _asker, _alert, types)


def _patient_record(action: str) -> Kind:
    """Patient Record (PS3.15 section A.5.3.14): a patient's data were read or changed, and no instance of DICOM's."""
    return Kind(Code.PATIENT_RECORD, action, _asker, _record)


_CHANGED: Final = _patient_record("U")
_ACCESSED: Final = Kind(Code.INSTANCES_ACCESSED, "R", _asker, _study_and_patient)
_SENT: Final = Kind(Code.INSTANCES_TRANSFERRED, "C", _sent, _study_and_patient)
_RECEIVED: Final = Kind(Code.INSTANCES_TRANSFERRED, "C", _received, _study_and_patient)
_TRAIL_USED: Final = Kind(Code.AUDIT_LOG_USED, "R", _asker, _trail)
_LOOKED_UP: Final = Kind(Code.QUERY, "E", _asker, _list)
_EXPORTED: Final = Kind(Code.EXPORT, "R", _exported, _list)

KINDS: Final[Mapping[AuditAction, Kind]] = MappingProxyType(
    {
        AuditAction.NODE_STARTED: Kind(
            Code.APPLICATION_ACTIVITY, "E", _application, _nothing, (Code.APPLICATION_START,)
        ),
        AuditAction.NODE_STOPPED: Kind(
            Code.APPLICATION_ACTIVITY, "E", _application, _nothing, (Code.APPLICATION_STOP,)
        ),
        AuditAction.SERIES_COMPLETED: _RECEIVED,
        AuditAction.INSTANCE_REFUSED: _RECEIVED,
        AuditAction.DELIVERED: _SENT,
        AuditAction.DELIVERY_FAILED: _SENT,
        AuditAction.SERIES_PRUNED: Kind(Code.STUDY_DELETED, "D", _asker, _study_and_patient),
        AuditAction.CASE_VIEWED: _ACCESSED,
        AuditAction.OBJECT_FETCHED: _ACCESSED,
        AuditAction.WORKLIST_VIEWED: _LOOKED_UP,
        AuditAction.CLINICAL_VIEWED: _LOOKED_UP,
        AuditAction.PATIENT_VIEWED: _patient_record("R"),
        AuditAction.CLINICAL_ENTERED: _CHANGED,
        AuditAction.CLINICAL_DECIDED: _CHANGED,
        AuditAction.CLINICAL_RECEIVED: _CHANGED,
        AuditAction.OUTCOMES_ENTERED: _CHANGED,
        AuditAction.IDENTITY_CORRECTED: _CHANGED,
        AuditAction.SIGNED_IN: Kind(Code.USER_AUTHENTICATION, "E", _asker, _nothing, (Code.LOGIN,)),
        AuditAction.SIGN_IN_REFUSED: Kind(Code.USER_AUTHENTICATION, "E", _asker, _nothing, (Code.LOGIN,)),
        AuditAction.SIGNED_OUT: Kind(Code.USER_AUTHENTICATION, "E", _asker, _nothing, (Code.LOGOUT,)),
        AuditAction.AUDIT_VIEWED: _TRAIL_USED,
        AuditAction.AUDIT_EXPORTED: _TRAIL_USED,
        AuditAction.VERDICTS_EXPORTED: _EXPORTED,
        AuditAction.CLINICAL_EXPORTED: _EXPORTED,
        AuditAction.ASSOCIATION_REFUSED: _security(Code.NODE_AUTHENTICATION),
        AuditAction.ACCESS_REFUSED: _security(Code.RESTRICTED_FUNCTION),
        AuditAction.RESULT_UNBLINDED: _security(Code.RESTRICTED_FUNCTION),
        AuditAction.INSTANCE_CONFLICT: _security(Code.OBJECT_ATTRIBUTES_CHANGED),
        AuditAction.TRAIL_BROKEN: _security(Code.RECORDING_STOPPED),
        AuditAction.MODEL_REFUSED: _security(Code.SOFTWARE_CONFIGURATION),
        AuditAction.MODEL_ADDED: _security(Code.SOFTWARE_CONFIGURATION),
        AuditAction.MODEL_REMOVED: _security(Code.SOFTWARE_CONFIGURATION),
        AuditAction.MODEL_RESTORED: _security(Code.SOFTWARE_CONFIGURATION),
        AuditAction.SETTINGS_CHANGED: _security(Code.SECURITY_CONFIGURATION),
        AuditAction.USER_ADDED: _security(Code.USER_ATTRIBUTES_CHANGED),
        AuditAction.USER_DISABLED: _security(Code.USER_ATTRIBUTES_CHANGED),
        AuditAction.TOKEN_ADDED: _security(Code.USER_ATTRIBUTES_CHANGED),
        AuditAction.TOKENS_REVOKED: _security(Code.USER_ATTRIBUTES_CHANGED),
    }
)
