"""Clinical variables from the images' own header: only what can be believed."""

from datetime import UTC, datetime

import pytest

from node.clinical.dicom_header import DicomHeaderSource
from node.domain.clinical import ClinicalValue, ClinicalVariable
from tests.factories import ct_slices, series_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # these headers are odd on purpose


def gather(**changes: object) -> dict[ClinicalVariable, ClinicalValue]:
    """What the header of a study of 6 May 2024 gives."""
    found = DicomHeaderSource().gather(series_of(ct_slices(3, **changes)))
    return {value.variable: value for value in found.values}


def test_every_value_has_unit_source_and_time() -> None:
    """Age in years, size in metres, weight in kilograms, as of the study."""
    found = gather(PatientSize="1.75", PatientWeight="70.5")
    assert {variable: (value.value, value.unit) for variable, value in found.items()} == {
        ClinicalVariable.AGE: (pytest.approx(64.34, abs=0.01), "a"),
        ClinicalVariable.HEIGHT: (1.75, "m"),
        ClinicalVariable.WEIGHT: (70.5, "kg"),
        ClinicalVariable.SEX: ("F", ""),
    }
    assert {value.source for value in found.values()} == {"dicom-header"}
    assert {value.observed_at for value in found.values()} == {datetime(2024, 5, 6, tzinfo=UTC)}


def test_the_birth_date_counts_more_than_the_age_element() -> None:
    """Patient's Age is often stale; the dates are exact."""
    assert gather(PatientAge="030Y")[ClinicalVariable.AGE].value == pytest.approx(64.34, abs=0.01)


@pytest.mark.parametrize(
    ("written", "years"),
    [("064Y", 64), ("018M", 1.5), ("052W", 52 * 7 / 365.25), ("010D", 10 / 365.25), ("000D", 0), ("120Y", 120)],
)
def test_without_a_birth_date_the_age_element_counts(written: str, years: float) -> None:
    """Days, weeks, months and years (PS3.5 section 6.2, VR AS)."""
    assert gather(PatientBirthDate="", PatientAge=written)[ClinicalVariable.AGE].value == pytest.approx(years)


@pytest.mark.parametrize("study_date", ["", "20241", "garbage", "2024.5.6", "20240230", "2024111"])
def test_without_a_readable_study_date_the_age_element_counts(study_date: str) -> None:
    """An age needs both dates; half of them, or one that can be read in two ways, is not guessed at."""
    found = gather(StudyDate=study_date, PatientAge="055Y")
    assert found[ClinicalVariable.AGE].value == 55
    assert found[ClinicalVariable.AGE].observed_at is None


@pytest.mark.parametrize("written", ["", "64Y", "0064Y", "064", "064X", "-64Y", "six"])
def test_an_age_that_is_no_age_is_left_out(written: str) -> None:
    """What is not three digits and a unit is not guessed at."""
    assert ClinicalVariable.AGE not in gather(PatientBirthDate="", PatientAge=written)


@pytest.mark.parametrize("born", ["18000101", "20300101"])
def test_an_implausible_age_is_left_out(born: str) -> None:
    """Older than 120 years, or not yet born: a typing error, not a patient."""
    assert ClinicalVariable.AGE not in gather(PatientBirthDate=born)


@pytest.mark.parametrize("written", ["175", "0", "0.2", "2.7", "-1.7", "nan", "inf", "tall"])
def test_an_implausible_height_is_left_out(written: str) -> None:
    """Centimetres where metres are due are a common mistake; no height is better than a hundredfold one."""
    slices = series_of(ct_slices(3))
    slices.instances[0].attributes["PatientSize"] = written
    found = {value.variable for value in DicomHeaderSource().gather(slices).values}
    assert ClinicalVariable.HEIGHT not in found


@pytest.mark.parametrize("written", ["0", "1", "401", "70000", "-70", "nan", "heavy"])
def test_an_implausible_weight_is_left_out(written: str) -> None:
    """Zero is what devices write for unknown, and grams where kilograms are due are a mistake."""
    slices = series_of(ct_slices(3))
    slices.instances[0].attributes["PatientWeight"] = written
    found = {value.variable for value in DicomHeaderSource().gather(slices).values}
    assert ClinicalVariable.WEIGHT not in found


@pytest.mark.parametrize(("written", "expected"), [("M", "M"), ("F", "F")])
def test_male_and_female_are_taken(written: str, expected: str) -> None:
    """The two values that the models know."""
    assert gather(PatientSex=written)[ClinicalVariable.SEX].value == expected


@pytest.mark.parametrize("written", ["O", "", "W", "m"])
def test_other_values_of_sex_are_left_out(written: str) -> None:
    """Other, unknown and what the standard does not have are not pressed into two classes."""
    assert ClinicalVariable.SEX not in gather(PatientSex=written)


def test_a_header_that_says_nothing_gives_nothing() -> None:
    """No values are made up."""
    assert gather(PatientBirthDate="", PatientSex="", StudyDate="") == {}
