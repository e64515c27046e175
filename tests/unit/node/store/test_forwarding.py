"""Forwarding: one number says how far the trail was sent, on both databases, and nothing is passed over."""

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

from node.domain.audit import CLINICAL_VALUE, AuditAction
from node.domain.clinical import ClinicalVariable
from node.domain.clinical_intake import Intake, RawValue, ReadValue, ReceivedValue
from node.domain.imaging import PatientIdentity
from node.store.clinical import ClinicalStore
from node.store.forwarding import LEASE, Forwarding
from node.store.session import Database, add_new
from node.store.tables import audit_forwarding
from tests import factories
from tests.unit.node.store.conftest import Clock, Store

ACTIONS = (AuditAction.SIGNED_IN,)


def told(store: Store, count: int) -> None:
    """Rows, every other of which is sent."""
    for _ in range(count):
        store.audit.record(factories.event(AuditAction.SIGNED_IN), factories.event(AuditAction.COMPOSED))


def test_batches_follow_each_other_without_a_gap(store: Store) -> None:
    """And what is not sent does not hold up what is."""
    forwarding = Forwarding(store.database)
    told(store, 2)
    forwarding.begin("here")
    assert forwarding.take("here", "me", ACTIONS, 3) is None
    told(store, 5)
    seen = []
    while (batch := forwarding.take("here", "me", ACTIONS, 3)) is not None:
        seen += [number for number, _ in batch.rows]
        assert forwarding.sent("here", "me", batch)
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen)
    assert forwarding.waiting("here") == 0


def test_what_was_not_confirmed_is_given_again(store: Store) -> None:
    """However often."""
    forwarding = Forwarding(store.database)
    forwarding.begin("here")
    told(store, 1)
    first = forwarding.take("here", "me", ACTIONS, 3)
    assert forwarding.failed("here", "me", "refused") == 1
    assert forwarding.failed("here", "me", "refused") == 2
    again = forwarding.take("here", "me", ACTIONS, 3)
    assert first is not None
    assert again is not None
    assert first.rows == again.rows


def test_another_takes_over_from_one_that_is_silent(store: Store) -> None:
    """Not before; and the one that comes back late moves nothing."""
    clock = Clock()
    mine, theirs = Forwarding(store.database), Forwarding(store.database, clock)
    mine.begin("here")
    told(store, 1)
    batch = mine.take("here", "me", ACTIONS, 3)
    assert batch is not None
    assert theirs.take("here", "them", ACTIONS, 3) is None
    clock.now_s += LEASE.total_seconds() + 1
    taken = theirs.take("here", "them", ACTIONS, 3)
    assert taken is not None
    assert theirs.sent("here", "them", taken)
    assert not mine.sent("here", "me", batch)


def test_a_repository_is_told_whom_a_row_is_about(store: Store, database: Database) -> None:
    """By series, by the job or by the study, whichever is nearest of what a row says."""
    claim = store.claimed(4)
    by_series, by_job, by_study, unknown, of_nobody = Forwarding(database).about(
        [
            factories.event(series_uid=factories.SERIES),
            factories.event(job_id=claim.job_id),
            factories.event(study_uid=factories.STUDY),
            factories.event(series_uid="2.25.404"),
            factories.event(),
        ]
    )
    assert by_series is not None
    assert (by_series.study_uid, by_series.patient_id, by_series.issuer) == (factories.STUDY, "PAT-1", "HOSPITAL")
    assert by_series.contents == (("1.2.840.10008.5.1.4.1.1.2", 4),)
    assert by_job == by_series
    assert by_study == replace(by_series, contents=()), "one series of several says nothing of the whole"
    assert (unknown, of_nobody) == (None, None)


def test_a_row_about_a_clinical_value_leads_to_its_patient(store: Store) -> None:
    """By the number of the value: the row itself names nobody. A name that the laboratory left out is the images'."""
    store.claimed(1)
    raw = ReadValue(RawValue(ClinicalVariable.CA19_9, "37", "U/mL", None), 37.0, "U/mL", None)
    named, nameless, unseen = (
        PatientIdentity("PAT-2", "HOSPITAL", "Doe^Jane"),
        PatientIdentity("PAT-1", "HOSPITAL"),
        PatientIdentity("PAT-1", "ELSEWHERE"),
    )
    values = tuple(ReceivedValue(one, raw, "hl7", "M1") for one in (named, nameless, unseen))
    ClinicalStore(store.database).accept(Intake(values))
    events = [event for event in store.audit.events() if event.action is AuditAction.CLINICAL_RECEIVED]
    found = [about for about in Forwarding(store.database).about(events) if about is not None]
    assert [(about.patient_id, about.issuer, about.patient_name) for about in found] == [
        ("PAT-2", "HOSPITAL", "Doe^Jane"),
        ("PAT-1", "HOSPITAL", "Made^Up"),
        ("PAT-1", "ELSEWHERE", ""),
    ]
    (nobody,) = Forwarding(store.database).about(
        [factories.event(series_uid="", job_id="", details={CLINICAL_VALUE: 404})]
    )
    assert nobody is None


def test_several_processes_may_begin_at_once(store: Store) -> None:
    """The one that comes later goes on from where the first one has begun."""
    told(store, 1)
    with ThreadPoolExecutor(1) as pool:
        with store.database.write() as connection:
            add_new(connection, audit_forwarding, {"destination": "here", "last_id": 0, "attempts": 0, "detail": ""})
            late = pool.submit(Forwarding(store.database).begin, "here")
            assert not wait([late], 0.3).done
        late.result()
    assert Forwarding(store.database).waiting("here") > 0
