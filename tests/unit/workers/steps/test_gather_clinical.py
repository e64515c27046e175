"""Gather clinical: the first source that knows a variable is believed."""

from datetime import UTC, datetime

import pytest

from node.domain.clinical import ClinicalVariable, HeldValue, ValueReason
from node.errors import Retryable, SourceSilent
from tests.factories import ct_slices, series_of
from tests.fakes import FakeSource
from workers.steps.gather_clinical import gather_clinical

AGE, SEX, WEIGHT = ClinicalVariable.AGE, ClinicalVariable.SEX, ClinicalVariable.WEIGHT
SERIES = series_of(ct_slices(3))
MONDAY, TUESDAY = datetime(2024, 5, 6, 12, tzinfo=UTC), datetime(2024, 5, 7, 12, tzinfo=UTC)


def test_the_first_source_is_believed() -> None:
    """Later sources fill gaps, and overwrite nothing."""
    record = gather_clinical(SERIES, [FakeSource("a", {AGE: 60}), FakeSource("b", {AGE: 61, WEIGHT: 70})])
    assert [(one.variable, one.value, one.source) for one in record.values] == [(AGE, 60, "a"), (WEIGHT, 70, "b")]


def test_variables_come_in_one_order() -> None:
    """The record does not depend on the order in which sources list what they know."""
    one = gather_clinical(SERIES, [FakeSource("a", {WEIGHT: 70, SEX: "F", AGE: 60})])
    other = gather_clinical(SERIES, [FakeSource("a", {AGE: 60, SEX: "F", WEIGHT: 70})])
    assert one == other


def test_without_sources_nothing_is_known() -> None:
    """An empty record, and None for every variable."""
    record = gather_clinical(SERIES, [])
    assert all(record.get(variable) is None for variable in ClinicalVariable)


@pytest.mark.parametrize(
    ("one", "other", "disagrees"), [(70.0, 75.0, True), (70.0, 71.0, False), ("F", "M", True), ("F", "F", False)]
)
def test_disagreement_is_recorded(one: float | str, other: float | str, disagrees: bool) -> None:
    """With both values; rounding is no disagreement."""
    record = gather_clinical(SERIES, [FakeSource("a", {WEIGHT: one}), FakeSource("b", {WEIGHT: other})])
    assert [(found.used.source, found.other.source) for found in record.conflicts] == [("a", "b")] * disagrees


def test_numbers_of_two_days_may_differ() -> None:
    """Yesterday's count is no objection to today's."""
    sources = [
        FakeSource("a", {WEIGHT: 70.0}, observed_at=TUESDAY),
        FakeSource("b", {WEIGHT: 80.0}, observed_at=MONDAY),
    ]
    assert gather_clinical(SERIES, sources).conflicts == ()


def test_what_is_held_is_told_unless_another_source_knows() -> None:
    """A reader sees that something is there and why it was not used."""
    held = HeldValue(AGE, "a", ValueReason.UNIT_MISSING)
    assert gather_clinical(SERIES, [FakeSource("a", held=(held,))]).held == (held,)
    assert gather_clinical(SERIES, [FakeSource("a", held=(held,)), FakeSource("b", {AGE: 60})]).held == ()


def test_a_silent_source_stops_nothing() -> None:
    """The others are asked, and the record says which was silent and why."""

    def fail() -> None:
        raise SourceSilent("HTTP_500")

    record = gather_clinical(SERIES, [FakeSource("fhir", {AGE: 1}, hook=fail), FakeSource("b", {AGE: 60})])
    assert record.silent == ("fhir: HTTP_500",)
    assert [one.source for one in record.values] == ["b"]


def test_a_database_that_is_gone_stops_it() -> None:
    """It would look as if nothing were known: the job is tried again instead."""

    def fail() -> None:
        raise Retryable("database: gone")

    with pytest.raises(Retryable):
        gather_clinical(SERIES, [FakeSource("hl7", hook=fail)])


def test_derived_values_follow() -> None:
    """Only from what was chosen, and from believed units: a fake's values have none."""
    sources = [FakeSource("a", {ClinicalVariable.NEUTROPHILS: 6.0, ClinicalVariable.LYMPHOCYTES: 2.0})]
    assert gather_clinical(SERIES, sources).get(ClinicalVariable.NLR) is None
