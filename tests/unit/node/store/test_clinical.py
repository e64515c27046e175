"""Clinical values in the database: only ever added, found again under merged identifiers, and waking analyses."""

from datetime import UTC, datetime, timedelta

import pytest

from node.domain.audit import CLINICAL_VALUE, AuditAction
from node.domain.clinical import ClinicalVariable, ValueReason, ValueState
from node.domain.clinical_intake import (
    ENTERED,
    Intake,
    Merge,
    MessageIdentity,
    RawValue,
    ReadValue,
    ReceivedValue,
)
from node.domain.imaging import PatientIdentity
from node.domain.lifecycle import JobState
from node.domain.reasons import Reason, ReasonCode
from node.errors import UsageError
from node.store.clinical import ClinicalStore
from tests import factories
from tests.unit.node.store.conftest import Store

MORNING = datetime(2024, 5, 6, 8).astimezone()
PATIENT = PatientIdentity("4711")


def value(
    number: float | None = 37.0,
    patient: PatientIdentity = PATIENT,
    reason: ValueReason | None = None,
    **more: object,
) -> ReceivedValue:
    """A CA19-9 of the morning of the study."""
    settings: dict[str, object] = {"source": "hl7", "source_id": "M1", "group": "", "observed_at": MORNING} | more
    raw = RawValue(ClinicalVariable.CA19_9, str(number), "U/mL", settings.pop("observed_at"))  # type: ignore[arg-type]
    return ReceivedValue(patient, ReadValue(raw, number, "U/mL", reason), **settings)  # type: ignore[arg-type]


@pytest.fixture
def clinical(store: Store) -> ClinicalStore:
    """The clinical values of a fresh store."""
    return ClinicalStore(store.database)


def images_of(store: Store) -> PatientIdentity:
    """Take in a whole series, analysed and delivered, and say who it is of."""
    store.receive()
    assert store.complete()
    return store.inbox.series(factories.SERIES).patient  # type: ignore[arg-type]


def give_back(store: Store, reason: ReasonCode) -> None:
    """Have the series wait an hour for that reason."""
    claim = store.claim()
    event = factories.event(AuditAction.JOB_RELEASED)
    assert store.jobs.release(claim, timedelta(hours=1), event, Reason(reason))
    assert store.jobs.claim("worker") is None


def test_a_value_is_found_as_it_arrived(clinical: ClinicalStore) -> None:
    """With what was sent, what was made of it, where from and when."""
    before = datetime.now(UTC)
    clinical.accept(Intake((value(patient=PatientIdentity("4711", "", "Doe^Jane", "19600101", "F"), by="Dr Roe"),)))
    (found,) = clinical.of(PATIENT)
    assert found.received.patient.name == "Doe^Jane"
    assert found.received.read == ReadValue(RawValue(ClinicalVariable.CA19_9, "37.0", "U/mL", MORNING), 37.0, "U/mL")
    assert (found.received.source, found.received.source_id, found.received.by) == ("hl7", "M1", "Dr Roe")
    assert found.received_at >= before
    assert (found.state, found.reason) == (ValueState.USABLE, None)


def test_a_held_value_keeps_its_reason(clinical: ClinicalStore) -> None:
    """A person sees why."""
    clinical.accept(Intake((value(None, reason=ValueReason.CENSORED),)))
    (found,) = clinical.of(PATIENT)
    assert (found.state, found.reason, found.received.read.value) == (ValueState.HELD, ValueReason.CENSORED, None)


def test_patients_are_told_apart_by_number_and_issuer(store: Store) -> None:
    """The same number of another issuer is another patient; an issuer that is not said is the configured one."""
    clinical = ClinicalStore(store.database, "HOSPITAL")
    clinical.accept(Intake((value(1.0), value(2.0, PatientIdentity("4711", "ELSEWHERE")))))
    assert [known.received.read.value for known in clinical.of(PATIENT)] == [1.0]
    assert [known.received.read.value for known in clinical.of(PatientIdentity(" 4711 ", "HOSPITAL"))] == [1.0]
    assert [known.received.read.value for known in clinical.of(PatientIdentity("4711", "ELSEWHERE"))] == [2.0]


def test_a_message_that_comes_again_changes_nothing(clinical: ClinicalStore) -> None:
    """By sender, control ID and content: the acknowledgement may have been lost."""
    message = MessageIdentity("LAB", "17", "a" * 64, "ORU^R01")
    first = clinical.accept(Intake((value(),), message=message))
    second = clinical.accept(Intake((value(),), message=message))
    assert (first.is_duplicate, second.is_duplicate) == (False, True)
    assert len(clinical.of(PATIENT)) == 1


def test_a_counter_that_starts_again_loses_nothing(clinical: ClinicalStore) -> None:
    """The same control ID with other content is another message."""
    clinical.accept(Intake((value(1.0),), message=MessageIdentity("LAB", "1", "a" * 64, "ORU^R01")))
    clinical.accept(Intake((value(2.0),), message=MessageIdentity("LAB", "1", "b" * 64, "ORU^R01")))
    assert len(clinical.of(PATIENT)) == 2


def test_a_correction_replaces_the_value_of_its_order(clinical: ClinicalStore) -> None:
    """The earlier row stays, superseded; another order's value is left alone."""
    clinical.accept(Intake((value(1.0, group="ORDER 1"), value(9.0, group="ORDER 2"))))
    clinical.accept(Intake((value(2.0, group="ORDER 1"),)))
    found = {known.received.read.value: (known.state, known.reason) for known in clinical.of(PATIENT)}
    assert found == {
        1.0: (ValueState.SUPERSEDED, ValueReason.WITHDRAWN),
        9.0: (ValueState.USABLE, None),
        2.0: (ValueState.USABLE, None),
    }


def test_observations_of_one_order_at_other_times_stand_side_by_side(clinical: ClinicalStore) -> None:
    """A profile over the day is no correction."""
    clinical.accept(Intake((value(1.0, group="A"), value(2.0, group="A", observed_at=MORNING + timedelta(hours=2)))))
    assert {known.state for known in clinical.of(PATIENT)} == {ValueState.USABLE}


def test_merged_identifiers_are_one_patient(clinical: ClinicalStore) -> None:
    """Over several merges, in whichever direction one looks, and a circle does no harm."""
    one, two, three = PatientIdentity("1"), PatientIdentity("2"), PatientIdentity("3")
    clinical.accept(Intake((value(1.0, one), value(3.0, three))))
    clinical.accept(Intake(merges=(Merge(one, two), Merge(two, three), Merge(three, one), Merge(one, two))))
    for patient in (one, two, three):
        assert [known.received.read.value for known in clinical.of(patient)] == [1.0, 3.0]
    assert clinical.of(PATIENT) == ()


def test_a_person_decides(clinical: ClinicalStore, store: Store) -> None:
    """What was held is used, or refused for good; who did it is kept, and the audit trail says so."""
    ids = clinical.accept(Intake((value(9e9, reason=ValueReason.IMPLAUSIBLE), value(5.0)))).value_ids
    clinical.decide(ids[0], usable=True, by="Dr Roe")
    clinical.decide(ids[1], usable=False, by="Dr Roe")
    assert [(known.state, known.decided_by) for known in clinical.of(PATIENT)] == [
        (ValueState.USABLE, "Dr Roe"),
        (ValueState.REFUSED, "Dr Roe"),
    ]
    assert [event.action for event in store.audit.events()].count(AuditAction.CLINICAL_DECIDED) == 2


def test_a_decision_needs_something_to_decide(clinical: ClinicalStore) -> None:
    """No such value, or one of which nothing could be read."""
    (value_id,) = clinical.accept(Intake((value(None, reason=ValueReason.UNIT_MISSING),))).value_ids
    with pytest.raises(UsageError, match="there is no clinical value 999"):
        clinical.decide(999, usable=True, by="x")
    with pytest.raises(UsageError, match="celadon clinical enter"):
        clinical.decide(value_id, usable=True, by="x")


def test_control_characters_and_endless_fields_do_no_harm(clinical: ClinicalStore) -> None:
    """PostgreSQL takes no NUL; a field of a megabyte is cut."""
    odd = PatientIdentity("4711", "", "Doe\x00^Jane" + "x" * 10**6)
    clinical.accept(Intake((value(patient=odd, source_id="\x00\x1b[2J" + "y" * 10**6),)))
    (found,) = clinical.of(PATIENT)
    assert found.received.patient.name.startswith("Doe^Janexxx")
    assert len(found.received.patient.name) < 300
    assert found.received.source_id.startswith("[2Jyyy")


def test_the_audit_trail_counts_and_names_nobody(clinical: ClinicalStore, store: Store) -> None:
    """Source and states, no patient."""
    clinical.accept(Intake((value(), value(None, reason=ValueReason.CENSORED))))
    (event,) = [event for event in store.audit.events() if event.action is AuditAction.CLINICAL_RECEIVED]
    (first, _) = clinical.of(PATIENT)
    assert event.details == {CLINICAL_VALUE: first.id, "source": "hl7", "count": 2, "usable": 1, "held": 1}


def test_a_message_about_two_patients_is_two_rows(clinical: ClinicalStore, store: Store) -> None:
    """So that each of them is told of alone."""
    other = PatientIdentity("4712")
    clinical.accept(Intake((value(), value(patient=other), value(2.0))))
    events = [event for event in store.audit.events() if event.action is AuditAction.CLINICAL_RECEIVED]
    firsts = [clinical.of(PATIENT)[0].id, clinical.of(other)[0].id]
    assert [(event.details[CLINICAL_VALUE], event.details["count"]) for event in events] == [
        (firsts[0], 2),
        (firsts[1], 1),
    ]


def test_who_entered_or_decided_is_the_actor(clinical: ClinicalStore, store: Store) -> None:
    """And is found by their name in the trail, however long."""
    (value_id,) = clinical.accept(Intake((value(source=ENTERED, by="Dr Roe"),))).value_ids
    clinical.decide(value_id, usable=False, by="x" * 500)
    entered, decided = store.audit.events()[-2:]
    assert (entered.action, entered.actor) == (AuditAction.CLINICAL_ENTERED, "person Dr Roe")
    assert decided.action is AuditAction.CLINICAL_DECIDED
    assert decided.actor == ("person " + "x" * 500)[:128]


def done(store: Store) -> str:
    """Bring the claimed job to results that are delivered, as far as the tables say."""
    claim = store.claim()
    store.change("UPDATE jobs SET state = 'done', predictor = 'porcelain' WHERE id = :id", id=claim.job_id)
    store.change(
        "INSERT INTO results (sop_instance_uid, job_id, kind, sop_class_uid, series_uid, series_description, sha256,"
        " numbers) VALUES (:uid, :id, 'x', '1.2', '1.2', '', :sha, '[]')",
        uid=f"1.2.{claim.version}", id=claim.job_id, sha="0" * 64,
    )  # fmt: skip
    return claim.job_id


def test_a_late_value_has_a_finished_series_analysed_again(clinical: ClinicalStore, store: Store) -> None:
    """A new version waits, and names the one that it will replace; a second value changes nothing more."""
    patient = images_of(store)
    job = done(store)
    again = clinical.accept(Intake((value(patient=patient),))).reopened
    assert len(again) == 1
    record = store.jobs.job(again[0])
    assert record is not None
    assert (record.state, record.version, record.supersedes) == (JobState.WAITING, 2, job)
    assert clinical.accept(Intake((value(38.0, patient=patient),))).reopened == ()


def test_results_come_in_bursts(clinical: ClinicalStore, store: Store) -> None:
    """A series that has results is not analysed again at once, but when things have settled."""
    patient = images_of(store)
    done(store)
    clinical.accept(Intake((value(patient=patient),)))
    assert store.jobs.claim("worker") is None
    clinical.accept(Intake((value(38.0, patient=patient),)))
    assert store.jobs.claim("worker") is None
    store.make_due()
    assert store.claim().version == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"observed_at": MORNING - timedelta(days=365)},
        {"observed_at": MORNING + timedelta(days=3)},
        {"observed_at": None},
        {"reason": ValueReason.CENSORED},
    ],
    ids=["stale", "after the study", "without time", "held"],
)
def test_what_would_not_be_used_wakes_nobody(clinical: ClinicalStore, store: Store, changes: dict[str, object]) -> None:
    """Years of laboratory results for one CT would otherwise have it analysed for years."""
    patient = images_of(store)
    done(store)
    assert clinical.accept(Intake((value(patient=patient, **changes),))).reopened == ()  # type: ignore[arg-type]


def test_a_value_of_somebody_else_under_the_same_number_wakes_nobody(clinical: ClinicalStore, store: Store) -> None:
    """The birth date is another one."""
    patient = images_of(store)
    done(store)
    other = PatientIdentity(patient.patient_id, patient.issuer, "", "19010101", "")
    assert clinical.accept(Intake((value(patient=other),))).reopened == ()


def test_what_a_person_enters_needs_no_time(clinical: ClinicalStore, store: Store) -> None:
    """They vouch for it."""
    patient = images_of(store)
    done(store)
    entered = value(patient=PatientIdentity(patient.patient_id, patient.issuer), source=ENTERED, observed_at=None)
    assert len(clinical.accept(Intake((entered,))).reopened) == 1


def test_a_running_analysis_begins_again(clinical: ClinicalStore, store: Store) -> None:
    """It may have gathered already: its result would be that of yesterday's knowledge."""
    patient = images_of(store)
    claim = store.claim()
    assert clinical.accept(Intake((value(patient=patient),))).reopened == (claim.job_id,)
    assert not store.jobs.heartbeat(claim)
    assert store.claim().token > claim.token


def test_a_series_that_waits_for_values_is_woken(clinical: ClinicalStore, store: Store) -> None:
    """Whether everything is here now is for the analysis to say."""
    patient = images_of(store)
    give_back(store, ReasonCode.AWAITING_CLINICAL)
    assert clinical.accept(Intake((value(patient=patient),))).reopened == ()
    assert store.claim().version == 1


@pytest.mark.parametrize("reason", [ReasonCode.NO_ROOM, ReasonCode.NOT_NOW, ReasonCode.STORAGE_FAILED])
def test_a_series_that_waits_for_something_else_goes_on_waiting(
    clinical: ClinicalStore, store: Store, reason: ReasonCode
) -> None:
    """Laboratory results make no room on a disk: each would cost a whole analysis, or one of its three tries."""
    patient = images_of(store)
    give_back(store, reason)
    clinical.accept(Intake((value(patient=patient),)))
    assert store.jobs.claim("worker") is None


def test_a_merge_has_the_series_of_both_looked_at_again(clinical: ClinicalStore, store: Store) -> None:
    """Values that were another patient's until now are this one's."""
    patient = images_of(store)
    done(store)
    elsewhere = PatientIdentity("OLD-1")
    clinical.accept(Intake((value(patient=elsewhere),)))
    assert len(clinical.accept(Intake(merges=(Merge(elsewhere, patient),))).reopened) == 1


def test_what_was_merged_by_mistake_is_two_patients_again(clinical: ClinicalStore, store: Store) -> None:
    """A result that used the other's values is made anew without them; merged again, they count again."""
    patient, other = images_of(store), PatientIdentity("OLD-1")
    clinical.accept(Intake((value(patient=other),), merges=(Merge(other, patient),)))
    done(store)
    assert [one.received.patient.patient_id for one in clinical.of(patient)] == ["OLD-1"]
    parted = clinical.accept(Intake(merges=(Merge(patient, other, is_undone=True),)))
    assert len(parted.reopened) == 1
    assert clinical.of(patient) == ()
    assert clinical.canonical() == {key: key for key in ((patient.key()), other.key())}
    clinical.accept(Intake(merges=(Merge(other, patient),)))
    assert len(clinical.of(patient)) == 1


def test_undoing_a_merge_that_never_was_changes_nothing(clinical: ClinicalStore, store: Store) -> None:
    """Messages come in any order, and twice."""
    patient = images_of(store)
    clinical.accept(Intake(merges=(Merge(PatientIdentity("OLD-1"), patient, is_undone=True),)))
    clinical.accept(Intake(merges=(Merge(PatientIdentity("OLD-2"), patient),)))
    clinical.accept(Intake((value(patient=PatientIdentity("OLD-2")),)))
    assert len(clinical.of(patient)) == 1


@pytest.mark.parametrize(
    ("reason", "again"),
    [(ReasonCode.CLINICAL_MISSING, 1), (ReasonCode.CLINICAL_VALUE, 1), (ReasonCode.ROI_NOT_FOUND, 0)],
)
def test_a_series_that_had_too_few_values_is_analysed_when_one_comes(
    clinical: ClinicalStore, store: Store, reason: ReasonCode, again: int
) -> None:
    """One that was refused for something else is not: values would not help."""
    patient = images_of(store)
    claim = store.claim()
    assert store.jobs.finish(claim, JobState.NOT_ANALYSED, Reason(reason), factories.event(AuditAction.SERIES_REFUSED))
    assert len(clinical.accept(Intake((value(patient=patient),))).reopened) == again


def test_who_has_a_number_is_read_from_the_images(clinical: ClinicalStore, store: Store) -> None:
    """With the identity that values are held against."""
    patient = images_of(store)
    assert clinical.patients(patient.patient_id) == {patient: factories.SERIES}
    assert clinical.patients("nobody") == {}


def test_an_update_corrects_one_thing_of_what_is_known(clinical: ClinicalStore) -> None:
    """A birth date that was mistyped is set right, also for values that came before."""
    clinical.accept(Intake((value(patient=PatientIdentity("4711", "", "Doe^Jane", "19600110", "F")),)))
    clinical.accept(Intake(updates=(PatientIdentity("4711", "", "Doe^Jane", "19600101", "F"),)))
    assert clinical.of(PATIENT)[0].received.patient.birth_date == "19600101"


def test_an_update_that_writes_one_patient_over_another_moves_nothing(clinical: ClinicalStore) -> None:
    """What was known of the first stays the first's."""
    clinical.accept(Intake((value(patient=PatientIdentity("4711", "", "Doe^Jane", "19600101", "F")),)))
    clinical.accept(Intake(updates=(PatientIdentity("4711", "", "Roe^Richard", "19850303", "M"),)))
    assert clinical.of(PATIENT)[0].received.patient.name == "Doe^Jane"


def test_a_contradiction_that_a_person_accepts_has_the_series_analysed_again(
    clinical: ClinicalStore, store: Store
) -> None:
    """They have said whose it is."""
    patient = images_of(store)
    done(store)
    other = PatientIdentity(patient.patient_id, patient.issuer, "", "19010101", "")
    (value_id,) = clinical.accept(Intake((value(patient=other),))).value_ids
    clinical.decide(value_id, usable=True, by="Dr Roe")
    store.make_due()
    assert store.claim().version == 2


def test_a_series_whose_bytes_are_gone_keeps_its_result(clinical: ClinicalStore, store: Store) -> None:
    """There is nothing to analyse again: a new version could only fail."""
    patient = images_of(store)
    done(store)
    store.change("UPDATE instances SET pruned_at = :moment", moment="2024-06-01 00:00:00.000000")
    assert clinical.accept(Intake((value(patient=patient),))).reopened == ()


def test_an_export_asks_for_everybody(clinical: ClinicalStore) -> None:
    """Thousands of patients in one go, merged ones under one identifier."""
    people = [PatientIdentity(str(number)) for number in range(2000)]
    clinical.accept(Intake(tuple(value(patient=one) for one in people), merges=(Merge(people[5], people[7]),)))
    assert len(clinical.all()) == 2000
    assert clinical.canonical() == {("5", ""): ("5", ""), ("7", ""): ("5", "")}


def test_without_a_number_nobody_is_found(clinical: ClinicalStore) -> None:
    """Two patients without a number are not one."""
    clinical.accept(Intake((value(patient=PatientIdentity("")),)))
    assert clinical.of(PatientIdentity("")) == ()


def test_a_value_of_another_patient_in_the_same_file_wakes_nobody(clinical: ClinicalStore, store: Store) -> None:
    """Each series looks at its own patient's values alone; of hundreds, merged identifiers are still followed."""
    patient = images_of(store)
    done(store)
    others = tuple(value(patient=PatientIdentity(f"X{number}")) for number in range(200))
    stale = value(patient=patient, observed_at=MORNING - timedelta(days=365))
    assert clinical.accept(Intake((*others, stale))).reopened == ()
    clinical.accept(Intake(merges=(Merge(PatientIdentity("OLD"), patient),)))
    store.make_due()
    done(store)
    assert len(clinical.accept(Intake((*others, value(patient=PatientIdentity("OLD"))))).reopened) == 1
