"""Stored sources: the newest value that is usable, of this patient and of the time of this study."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from node.clinical.stored import StoredSource
from node.domain.clinical import ClinicalVariable as V
from node.domain.clinical import Findings, ValueReason, ValueState
from node.domain.clinical_intake import ENTERED, KnownValue, RawValue, ReadValue, ReceivedValue
from node.domain.imaging import PatientIdentity
from tests.factories import ct_slices, series_of

SERIES = series_of(ct_slices(3))
NOON = datetime(2024, 5, 6, 12).astimezone()  # the day of the study that the factory makes
LATER = NOON + timedelta(days=40)


@dataclass
class Known:
    """Knows what it is told to know."""

    values: Sequence[KnownValue]

    def of(self, patient: PatientIdentity) -> Sequence[KnownValue]:  # noqa: ARG002 — the port's signature
        """All of it."""
        return self.values


def known(value: float | None = 37.0, days_before: float | None = 1, **more: object) -> KnownValue:
    """A CA19-9 by HL7."""
    moment = None if days_before is None else NOON - timedelta(days=days_before)
    raw = RawValue(V.CA19_9, str(value), "U/mL", moment)
    source = str(more.pop("source", "hl7"))
    patient = more.pop("patient", PatientIdentity(SERIES.patient.patient_id))
    assert isinstance(patient, PatientIdentity)
    received = ReceivedValue(patient, ReadValue(raw, value, "U/mL"), source, "M1")
    return replace(KnownValue(1, received, LATER, ValueState.USABLE, None), **more)


def gather(*values: KnownValue, source: str = "hl7", stale_days: dict[V, int] | None = None) -> Findings:
    """What the source says of them."""
    return StoredSource(source, Known(values), stale_days or {}).gather(SERIES)


def test_the_newest_before_the_end_of_the_study_day_counts() -> None:
    """In whatever order they came; what was observed after is not used."""
    found = gather(known(1.0, 3), known(2.0, 1), known(3.0, 2), known(4.0, -1))
    assert [(one.value, one.source, one.observed_at) for one in found.values] == [
        (2.0, "hl7", NOON - timedelta(days=1))
    ]
    assert found.held == ()


def test_another_sources_values_are_not_its_own() -> None:
    """Each is asked for its own."""
    assert gather(known(source="csv")) == Findings()


@pytest.mark.parametrize("days", [31, 4000])
def test_what_is_too_old_is_held(days: int) -> None:
    """With the reason, so that a reader knows that there was one."""
    assert [one.reason for one in gather(known(1.0, days)).held] == [ValueReason.STALE]


def test_a_limit_of_ones_own_counts() -> None:
    """The settings may be stricter or laxer."""
    assert gather(known(1.0, 31), stale_days={V.CA19_9: 60}).values
    assert not gather(known(1.0, 5), stale_days={V.CA19_9: 3}).values


@pytest.mark.parametrize(
    "other",
    [
        replace(SERIES.patient, birth_date="19010101"),
        replace(SERIES.patient, sex="M" if SERIES.patient.sex == "F" else "F"),
        replace(SERIES.patient, name="Somebody^Else"),
    ],
)
def test_a_value_of_somebody_else_under_the_same_number_is_held(other: PatientIdentity) -> None:
    """Never used, and shown as a contradiction; a person who looks at it may decide otherwise."""
    assert [one.reason for one in gather(known(patient=other)).held] == [ValueReason.PATIENT_CONTRADICTED]
    assert gather(known(patient=other, decided_by="Dr Roe")).values


def test_held_values_give_their_reason_and_refused_ones_nothing() -> None:
    """A person can mend the former; the latter are no values."""
    held = known(None, state=ValueState.HELD, reason=ValueReason.CENSORED)
    assert [one.reason for one in gather(held).held] == [ValueReason.CENSORED]
    assert gather(replace(held, state=ValueState.REFUSED, reason=ValueReason.NEGATIVE)) == Findings()
    assert gather(known(state=ValueState.SUPERSEDED)) == Findings()


def test_what_a_person_entered_needs_no_time() -> None:
    """It counts for this study, dated when it was entered."""
    found = gather(known(days_before=None, source=ENTERED), source=ENTERED)
    assert [one.observed_at for one in found.values] == [LATER]
