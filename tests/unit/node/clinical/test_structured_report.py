"""Structured reports as clinical values: what carries a known code, in the models' unit, once."""

from datetime import UTC, datetime

import pytest

from node.clinical.structured_report import intake, read_moment
from node.domain.clinical import ClinicalVariable as V
from node.domain.clinical import ValueReason
from node.domain.clinical_intake import Measurement, MeasurementDocument
from node.domain.coding import Code
from node.domain.identifiers import InstanceUID
from tests.factories import PATIENT

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def measured(code: str, scheme: str, text: str, unit: str, moment: str = "20240506080000") -> Measurement:
    """A measurement."""
    return Measurement(Code(code, scheme, "Meaning"), text, unit, moment)


def document(*measurements: Measurement, is_final: bool = True) -> MeasurementDocument:
    """A document of the patient."""
    return MeasurementDocument(InstanceUID("2.25.9"), PATIENT, is_final, measurements)


def test_body_size_is_read_by_loinc_and_snomed() -> None:
    """Converted, with the patient, the document and the time; other measurements are not asked for."""
    found = intake(
        document(
            measured("8302-2", "LN", "172", "cm"),
            measured("27113001", "SCT", "80", "kg"),
            measured("410668003", "SCT", "12", "mm"),
        ),
        NOW,
    )
    assert [(one.read.raw.variable, one.read.value, one.read.unit) for one in found.values] == [
        (V.HEIGHT, pytest.approx(1.72), "m"),
        (V.WEIGHT, 80.0, "kg"),
    ]
    assert {(one.source, one.source_id, one.patient) for one in found.values} == {("sr", "2.25.9", PATIENT)}
    assert found.values[0].read.raw.observed_at == datetime(2024, 5, 6, 8).astimezone()
    assert found.message is not None
    assert found.message == intake(document(), NOW).message


@pytest.mark.parametrize(
    ("found", "is_final", "reason"),
    [
        (measured("8302-2", "LN", "172", ""), True, ValueReason.UNIT_MISSING),
        (measured("8302-2", "LN", "172", "m"), True, ValueReason.IMPLAUSIBLE),
        (measured("8302-2", "LN", "172", "cm", "20300101"), True, ValueReason.FUTURE),
        (measured("8302-2", "LN", "172", "cm", ""), True, ValueReason.NO_TIME),
        (measured("8302-2", "LN", "172", "cm"), False, ValueReason.NOT_FINAL),
    ],
)
def test_what_cannot_be_used_has_its_reason(found: Measurement, is_final: bool, reason: ValueReason) -> None:
    """The same reasons as from everywhere else."""
    (value,) = intake(document(found, is_final=is_final), NOW).values
    assert value.read.reason is reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20240506", datetime(2024, 5, 6).astimezone()),
        ("20240506081530.25", datetime(2024, 5, 6, 8, 15, 30).astimezone()),
        ("20240506081530+0200", datetime(2024, 5, 6, 6, 15, 30, tzinfo=UTC)),
        ("202405", None),
        ("20240231", None),
        ("", None),
    ],
)
def test_times_are_read_to_the_day_at_least(text: str, expected: datetime | None) -> None:
    """Without a zone in the site's."""
    assert read_moment(text) == expected
