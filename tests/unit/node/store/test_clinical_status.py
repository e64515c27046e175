"""How the clinical sources do, as far as the database tells."""

from datetime import UTC, datetime, timedelta

import pytest

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.clinical import ClinicalVariable, ValueReason
from node.domain.clinical_intake import Intake, MessageIdentity, RawValue, ReadValue, ReceivedValue
from node.domain.imaging import PatientIdentity
from node.domain.lifecycle import Step
from node.store.clinical import ClinicalStore
from node.store.clinical_status import Answers, ClinicalStatus, clinical_status
from node.store.jobs import EndedStep
from tests.factories import step_record
from tests.unit.node.store.conftest import Store


@pytest.fixture
def clinical(store: Store) -> ClinicalStore:
    """The clinical values of a fresh store."""
    return ClinicalStore(store.database)


def message(number: int, kind: str = "ORU^R01") -> MessageIdentity:
    """A message."""
    return MessageIdentity("LAB", str(number), f"{number:064}", kind)


def test_an_empty_node_has_nothing_to_say(store: Store) -> None:
    """No value, no message, no analysis."""
    assert clinical_status(store.database) == ClinicalStatus(0, None, 0, (), ())


def test_what_is_held_counts_until_a_person_decides(store: Store, clinical: ClinicalStore) -> None:
    """Used or not used: it waits no longer."""
    raw = RawValue(ClinicalVariable.CEA, "900000", "ng/mL", datetime.now(UTC))
    held = ReadValue(raw, 900000.0, "ng/mL", ValueReason.IMPLAUSIBLE)
    accepted = clinical.accept(Intake((ReceivedValue(PatientIdentity("1"), held, "hl7", "M"),) * 3))
    assert clinical_status(store.database).held == 3
    clinical.decide(accepted.value_ids[0], usable=True, by="Dr Roe")
    clinical.decide(accepted.value_ids[1], usable=False, by="Dr Roe")
    assert clinical_status(store.database).held == 1


def test_messages_are_those_that_came_by_hl7(store: Store, clinical: ClinicalStore) -> None:
    """Files and structured reports are none."""
    before = datetime.now(UTC)
    for number, kind in enumerate(("ORU^R01", "ADT^A08", "CSV", "SR")):
        clinical.accept(Intake(message=message(number, kind)))
    found = clinical_status(store.database)
    assert found.messages == 2
    assert found.last_message_at is not None
    assert found.last_message_at >= before


def test_refusals_of_the_last_day_are_counted_by_reason(store: Store) -> None:
    """The most frequent first; what was refused earlier is history."""
    now = datetime.now(UTC)
    for why, at in (("TOO_LARGE", now), ("NO_HEADER", now), ("TOO_LARGE", now), ("OLD", now - timedelta(days=2))):
        details: dict[str, str | int | float] = {"why": why, "address": "192.0.2.1"}
        refused = AuditEvent(at, "hl7 listener", AuditAction.MESSAGE_REFUSED, AuditOutcome.REFUSED, details=details)
        store.audit.record(refused)
    assert clinical_status(store.database).refused == (("TOO_LARGE", 2), ("NO_HEADER", 1))


def test_who_answered_and_who_did_not_is_read_from_the_analyses(store: Store) -> None:
    """A source that has answered since is well again."""
    store.receive()
    assert store.complete()
    claim = store.claim()
    moments = [datetime(2024, 5, 6, hour, tzinfo=UTC) for hour in range(3)]
    for at, details in zip(
        moments,
        (
            {"sources": "hl7 3, dicom-header 2", "silent": "fhir: HTTP_500"},
            {"sources": "fhir 7, dicom-header 2"},
            {"sources": "dicom-header 2", "silent": "fhir: Condition HTTP_403; other: TIMEOUT"},
        ),
        strict=True,
    ):
        store.jobs.record_steps(claim, EndedStep(step_record(Step.GATHER_CLINICAL, started_at=at, details=details)))
    assert clinical_status(store.database).sources == (
        Answers("dicom-header", moments[2], 3),
        Answers("fhir", moments[2], 1, "Condition HTTP_403"),
        Answers("hl7", moments[0], 1),
        Answers("other", moments[2], 0, "TIMEOUT"),
    )
