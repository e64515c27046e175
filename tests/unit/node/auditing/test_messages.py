"""Audit messages, every kind held to the schema of PS3.15 section A.5.1 by xmllint."""

import base64
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest

from node.auditing.messages import KINDS, Code, Reporter, Subject, message
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.reasons import ReasonCode
from tests.servers import require

SCHEMA = Path(__file__).parents[3] / "audit_message.rng"
REPORTER = Reporter("celadon", "Hospital", "CELADON", "127.0.0.1", "4711")
SUBJECT = Subject(
    "2.25.1", "PAT-7", "HOSPITAL", "Müller^Jörg", "PACS", "10.0.0.7", "ACC-1", (("1.2.840.10008.5.1.4.1.1.2", 40),)
)
HOSTILE = 'x"/><AuditMessage>&amp;\x00\x1b[31m\ud800\u202e'
AT = datetime(2025, 3, 4, 5, 6, 7, 891000, tzinfo=UTC)


def event(
    action: AuditAction, outcome: AuditOutcome = AuditOutcome.SUCCESS, actor: str = "person reader"
) -> AuditEvent:
    """A row of the trail."""
    reason = ReasonCode.CONTENT_CONFLICT if outcome is not AuditOutcome.SUCCESS else None
    return AuditEvent(AT, actor, action, outcome, series_uid="2.25.2", reason=reason, details={"address": "10.0.0.8"})


def made(one: AuditEvent, subject: Subject | None = SUBJECT) -> Element:
    """The message about a row, parsed."""
    content = message(one, subject, REPORTER)
    assert content is not None
    return fromstring(content)  # noqa: S314 — our own


def codes(root: Element, path: str) -> list[str | None]:
    """The codes at a path."""
    return [one.get("csd-code") for one in root.iterfind(path)]


@pytest.fixture(scope="module")
def xmllint() -> str:
    """The program."""
    return require("xmllint", shutil.which("xmllint"))


@pytest.mark.parametrize("action", KINDS, ids=lambda action: action.value)
def test_every_message_is_of_the_schema(xmllint: str, action: AuditAction, tmp_path: Path) -> None:
    """For each outcome, with and without a subject, whoever acted, and whatever anybody has called themselves."""
    hostile = replace(SUBJECT, patient_id=HOSTILE, patient_name=HOSTILE, calling_ae=HOSTILE, accession=HOSTILE)
    files = []
    for outcome in AuditOutcome:
        for actor in ("person reader", "somebody", "peer PACS", "deliverer 1", HOSTILE):
            for subject in (None, SUBJECT, hostile):
                one = event(action, outcome, actor)
                one = replace(one, details=one.details | {"detail": HOSTILE, "destination": "archive"})
                content = message(replace(one, instance_uid="2.25.3"), subject, REPORTER)
                assert content is not None
                assert len(content) < 32768, "what every receiver must take (PS3.15 section A.6)"
                files.append(tmp_path / f"{len(files)}.xml")
                files[-1].write_bytes(content)
    done = subprocess.run(
        [xmllint, "--noout", "--nonet", "--relaxng", SCHEMA, *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_schema_refuses_what_is_no_message(xmllint: str, tmp_path: Path) -> None:
    """The check above can fail."""
    content = message(event(AuditAction.CASE_VIEWED), SUBJECT, REPORTER)
    assert content is not None
    file = tmp_path / "wrong.xml"
    file.write_bytes(content.replace(b' UserIsRequestor="true"', b""))
    done = subprocess.run([xmllint, "--noout", "--relaxng", SCHEMA, file], capture_output=True, check=False)
    assert done.returncode != 0


def test_a_case_that_somebody_looked_at_names_person_study_and_patient() -> None:
    """DICOM Instances Accessed (PS3.15 section A.5.3.6)."""
    root = made(event(AuditAction.CASE_VIEWED))
    assert codes(root, "EventIdentification/EventID") == [Code.INSTANCES_ACCESSED.value[0]]
    assert root.find("EventIdentification").attrib == {  # type: ignore[union-attr]  # there is one, by the schema
        "EventActionCode": "R", "EventDateTime": "2025-03-04T05:06:07.891+00:00", "EventOutcomeIndicator": "0",
    }  # fmt: skip
    people = root.findall("ActiveParticipant")
    assert [(one.get("UserID"), one.get("UserIsRequestor")) for one in people] == [
        ("reader", "true"),
        ("celadon", "false"),
    ]
    objects = root.findall("ParticipantObjectIdentification")
    assert [one.get("ParticipantObjectID") for one in objects] == ["2.25.1", "PAT-7^^^HOSPITAL"]
    assert objects[1].findtext("ParticipantObjectName") == "Müller^Jörg"


def test_a_series_that_came_says_from_whom_and_how_much() -> None:
    """DICOM Instances Transferred (PS3.15 section A.5.3.7): one message a series, not one an image."""
    assert AuditAction.INSTANCE_RECEIVED not in KINDS
    root = made(event(AuditAction.SERIES_COMPLETED, actor="listener"))
    assert codes(root, "EventIdentification/EventID") == [Code.INSTANCES_TRANSFERRED.value[0]]
    assert codes(root, "ActiveParticipant/RoleIDCode") == [Code.SOURCE.value[0], Code.DESTINATION.value[0]]
    source = root.find("ActiveParticipant")
    assert source is not None
    assert (source.get("AlternativeUserID"), source.get("NetworkAccessPointID")) == ("AETITLES=PACS", "10.0.0.7")
    holder = root.find(".//SOPClass")
    assert holder is not None
    assert holder.attrib == {"UID": "1.2.840.10008.5.1.4.1.1.2", "NumberOfInstances": "40"}


def test_an_object_that_was_sent_names_itself_and_where_it_went() -> None:
    """This node is the source."""
    one = replace(
        event(AuditAction.DELIVERED, actor="deliverer"), instance_uid="2.25.77", details={"destination": "archive"}
    )
    root = made(one)
    assert codes(root, "ActiveParticipant/RoleIDCode") == [Code.SOURCE.value[0], Code.DESTINATION.value[0]]
    assert [one.get("UserID") for one in root.findall("ActiveParticipant")] == ["celadon", "archive"]
    assert [one.get("UID") for one in root.iterfind(".//Instance")] == ["2.25.77"]


@pytest.mark.parametrize(
    ("action", "event_id", "types"),
    [
        (AuditAction.NODE_STARTED, Code.APPLICATION_ACTIVITY, [Code.APPLICATION_START]),
        (AuditAction.NODE_STOPPED, Code.APPLICATION_ACTIVITY, [Code.APPLICATION_STOP]),
        (AuditAction.SIGNED_IN, Code.USER_AUTHENTICATION, [Code.LOGIN]),
        (AuditAction.SIGNED_OUT, Code.USER_AUTHENTICATION, [Code.LOGOUT]),
        (AuditAction.AUDIT_EXPORTED, Code.AUDIT_LOG_USED, []),
        (AuditAction.VERDICTS_EXPORTED, Code.EXPORT, []),
        (AuditAction.ACCESS_REFUSED, Code.SECURITY_ALERT, [Code.RESTRICTED_FUNCTION]),
        (AuditAction.SETTINGS_CHANGED, Code.SECURITY_ALERT, [Code.SECURITY_CONFIGURATION]),
        (AuditAction.MODEL_ADDED, Code.SECURITY_ALERT, [Code.SOFTWARE_CONFIGURATION]),
        (AuditAction.USER_ADDED, Code.SECURITY_ALERT, [Code.USER_ATTRIBUTES_CHANGED]),
        (AuditAction.TRAIL_BROKEN, Code.SECURITY_ALERT, [Code.RECORDING_STOPPED]),
    ],
)
def test_each_action_has_its_event_and_type(action: AuditAction, event_id: Code, types: list[Code]) -> None:
    """CIDs 400 and 401."""
    root = made(event(action), None)
    assert codes(root, "EventIdentification/EventID") == [event_id.value[0]]
    assert codes(root, "EventIdentification/EventTypeCode") == [one.value[0] for one in types]


@pytest.mark.parametrize(
    ("action", "what"),
    [
        (AuditAction.CLINICAL_ENTERED, "U"),
        (AuditAction.CLINICAL_DECIDED, "U"),
        (AuditAction.CLINICAL_RECEIVED, "U"),
        (AuditAction.OUTCOMES_ENTERED, "U"),
        (AuditAction.IDENTITY_CORRECTED, "U"),
        (AuditAction.PATIENT_VIEWED, "R"),
    ],
)
def test_what_is_done_with_a_patients_data_names_the_patient_alone(action: AuditAction, what: str) -> None:
    """Patient Record (PS3.15 section A.5.3.14): one patient, by whom, and what happened without the value itself."""
    root = made(replace(event(action), details={"source": "entered", "count": 1}))
    assert codes(root, "EventIdentification/EventID") == ["110110"]
    assert root.find("EventIdentification").get("EventActionCode") == what  # type: ignore[union-attr]  # there is one
    people = [(one.get("UserID"), one.get("UserIsRequestor")) for one in root.findall("ActiveParticipant")]
    assert people == [("reader", "true"), ("celadon", "false")]
    (patient,) = root.findall("ParticipantObjectIdentification")
    assert (patient.get("ParticipantObjectTypeCode"), patient.get("ParticipantObjectTypeCodeRole")) == ("1", "1")
    assert patient.get("ParticipantObjectID") == "PAT-7^^^HOSPITAL"
    assert patient.findtext("ParticipantObjectName") == "Müller^Jörg"
    details = {one.get("type"): one.get("value") for one in patient.findall("ParticipantObjectDetail")}
    assert base64.b64decode(str(details["source"])) == b"entered"


def test_what_failed_says_so() -> None:
    """EventOutcomeIndicator 4 for what was refused, 8 for what failed."""
    found = [made(event(AuditAction.SIGN_IN_REFUSED, outcome)) for outcome in AuditOutcome]
    assert [root.find("EventIdentification").get("EventOutcomeIndicator") for root in found] == ["0", "4", "8"]  # type: ignore[union-attr]  # there is one


def test_what_others_have_written_stays_text() -> None:
    """Details are base64, as the schema asks."""
    one = replace(event(AuditAction.ACCESS_REFUSED), details={"what": "<script>"})
    root = made(one, None)
    details = {found.get("type"): found.get("value") for found in root.iterfind(".//ParticipantObjectDetail")}
    assert base64.b64decode(str(details["what"])) == b"<script>"


def test_what_is_not_in_the_table_is_not_sent() -> None:
    """Steps of an analysis are no audit events of DICOM's."""
    assert message(event(AuditAction.PREDICTED), SUBJECT, REPORTER) is None
