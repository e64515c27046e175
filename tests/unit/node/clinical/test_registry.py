"""Every registered clinical source keeps to what the port promises."""

import pytest

from node.clinical.registry import SOURCES
from node.domain.clinical import ClinicalVariable
from node.domain.ports import ClinicalSource
from tests.factories import ct_slices, series_of

every_source = pytest.mark.parametrize("name", SOURCES)

UNITS = {
    ClinicalVariable.AGE: "a",
    ClinicalVariable.HEIGHT: "m",
    ClinicalVariable.WEIGHT: "kg",
    ClinicalVariable.BMI: "kg/m2",
    ClinicalVariable.SEX: "",
}


@every_source
def test_it_is_a_source_under_its_own_name(name: str) -> None:
    """The name in the registry is the name that its values carry."""
    source = SOURCES[name]()
    assert isinstance(source, ClinicalSource)
    assert source.name == name


@every_source
def test_its_values_say_where_they_come_from_and_in_what_unit(name: str) -> None:
    """One value a variable, in the unit that the models expect."""
    values = SOURCES[name]().gather(series_of(ct_slices(3, PatientSize="1.7", PatientWeight="70")))
    assert {value.source for value in values} <= {name}
    assert len({value.variable for value in values}) == len(values)
    assert all(value.unit == UNITS[value.variable] for value in values)


@every_source
def test_it_survives_a_header_without_anything(name: str) -> None:
    """A patient about whom nothing is known gives no values and no error."""
    unknown = series_of(ct_slices(3, PatientID="", PatientBirthDate="", PatientSex="", StudyDate="", StudyTime=""))
    assert SOURCES[name]().gather(unknown) == ()
