"""Gather clinical: the first source that knows a variable is believed."""

from node.domain.clinical import ClinicalVariable
from tests.factories import ct_slices, series_of
from tests.fakes import FakeSource
from workers.steps.gather_clinical import gather_clinical

AGE, SEX, WEIGHT = ClinicalVariable.AGE, ClinicalVariable.SEX, ClinicalVariable.WEIGHT
SERIES = series_of(ct_slices(3))


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
