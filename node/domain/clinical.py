"""Clinical variables: what is known about the patient beside the images, with source, time and unit."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ClinicalVariable(StrEnum):
    """What the two models ask about a patient; the value is the name used in files and reports.

    Sources: PORCELAIN (doi 10.1038/s41746-025-02303-9), "Clinical branch"; GTRNet (doi 10.1038/s41746-025-02002-5),
    Table 3, for size, differentiation and Lauren type.
    """

    AGE = "age"
    SEX = "sex"
    HEIGHT = "height"
    WEIGHT = "weight"
    BMI = "bmi"
    CLINICAL_T = "clinical_t"
    CLINICAL_N = "clinical_n"
    LESION_SITE = "lesion_site"
    CA19_9 = "ca19_9"
    CEA = "cea"
    CA125 = "ca125"
    WBC = "wbc"
    NEUTROPHILS = "neutrophils"
    LYMPHOCYTES = "lymphocytes"
    MONOCYTES = "monocytes"
    HAEMOGLOBIN = "haemoglobin"
    PLATELETS = "platelets"
    ALBUMIN = "albumin"
    GLOBULIN = "globulin"
    ALT = "alt"
    AST = "ast"
    ALP = "alp"
    GGT = "ggt"
    BILIRUBIN_TOTAL = "bilirubin_total"
    BILIRUBIN_DIRECT = "bilirubin_direct"
    NLR = "nlr"
    PLR = "plr"
    LMR = "lmr"
    AGR = "agr"
    TUMOUR_SIZE = "tumour_size"
    DIFFERENTIATION = "differentiation"
    LAUREN_TYPE = "lauren_type"


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
