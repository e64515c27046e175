"""Clinical variables: what is known about the patient beside the images, with source, time and unit."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ClinicalVariable(StrEnum):
    """The variables that the DICOM header can give; the value is the name used in files and reports."""

    AGE = "age"
    SEX = "sex"
    HEIGHT = "height"
    WEIGHT = "weight"
    BMI = "bmi"


@dataclass(frozen=True, slots=True)
class ClinicalValue:
    """One value of one variable: a number in a UCUM unit, or a word for a category (unit empty)."""

    variable: ClinicalVariable
    value: float | str
    unit: str
    source: str
    """Where it came from, as registered: for example ``dicom-header``."""
    observed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ClinicalRecord:
    """All values known for one case, at most one a variable."""

    values: tuple[ClinicalValue, ...] = ()

    def get(self, variable: ClinicalVariable) -> ClinicalValue | None:
        """The value of ``variable``, or None when it is not known."""
        return next((value for value in self.values if value.variable is variable), None)
