"""The patient study attributes of the images' own header (PS3.3 section C.7.2.2): age, sex, size and weight."""

import re
from datetime import UTC, date, datetime
from typing import Final

from node.domain.clinical import ClinicalValue, ClinicalVariable, Findings
from node.domain.clinical_variables import NUMBERS
from node.domain.imaging import Series

_AGE_IN_YEARS: Final = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_DAYS_A_YEAR: Final = 365.25


class DicomHeaderSource:
    """The clinical source that is always there; implements ``node.domain.ports.ClinicalSource``."""

    name = "dicom-header"

    def gather(self, series: Series) -> Findings:
        """Age in years (a), sex (M or F), size in metres (m) and weight in kilograms (kg), as far as plausible.

        What is not is left out: Patient's Size is in metres, but often sent in centimetres.
        """
        study_day = _day(series.attribute("StudyDate"))
        observed = datetime(study_day.year, study_day.month, study_day.day, tzinfo=UTC) if study_day else None
        found: list[ClinicalValue] = []
        numbers = (
            (ClinicalVariable.AGE, _age(series, study_day), "a"),
            (ClinicalVariable.HEIGHT, _number(series.attribute("PatientSize")), "m"),
            (ClinicalVariable.WEIGHT, _number(series.attribute("PatientWeight")), "kg"),
        )
        for variable, value, unit in numbers:
            if value is not None and _is_plausible(variable, value):
                found.append(ClinicalValue(variable, value, unit, self.name, observed))
        if series.patient.sex in ("M", "F"):
            found.append(ClinicalValue(ClinicalVariable.SEX, series.patient.sex, "", self.name, observed))
        return Findings(tuple(found))


def _is_plausible(variable: ClinicalVariable, value: float) -> bool:
    return NUMBERS[variable].believes(value)


def _age(series: Series, study_day: date | None) -> float | None:
    """The age at the study: from the birth date where there is one, else Patient's Age (VR AS, PS3.5 section 6.2)."""
    born = _day(series.patient.birth_date)
    if born and study_day:
        return (study_day - born).days / _DAYS_A_YEAR
    if match := re.fullmatch(r"(\d{3})([DWMY])", series.attribute("PatientAge")):
        return int(match[1]) * _AGE_IN_YEARS[match[2]]
    return None


def _day(text: str) -> date | None:
    if not re.fullmatch(r"[0-9]{8}", text):  # strptime would also read 2024111, one way of two
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 — a DICOM date has no zone
    except ValueError:
        return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
