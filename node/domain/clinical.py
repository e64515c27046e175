"""Clinical variables: what is known about the patient beside the images, with source, time and unit."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum


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


class ValueState(StrEnum):
    """What may be done with a value that arrived; decisions are added to a value, never written over."""

    USABLE = "usable"
    HELD = "held"
    """A person must look: until then it is not used."""
    REFUSED = "refused"
    """It is not a value that could be used, whoever looks."""
    SUPERSEDED = "superseded"
    """Its source has corrected or withdrawn it."""


class ValueReason(Enum):
    """Why a value is not used; the value is the sentence that a person reads."""

    UNIT_MISSING = "The number has no unit, and none is guessed."
    UNIT_UNKNOWN = "The unit is not one that UCUM or a known spelling explains."
    UNIT_NOT_ACCEPTED = "The unit does not measure this variable."
    NOT_A_NUMBER = "The value is text where a number is due."
    CENSORED = "The result is a limit (less or more than a number), not a number."
    SPECIMEN = "The laboratory calls the specimen unfit."
    NEGATIVE = "A negative number where none can be."
    IMPLAUSIBLE = "The number is outside of what can be believed."
    UNKNOWN_CATEGORY = "The word is none of the categories of this variable."
    FUTURE = "It is dated in the future."
    NO_TIME = "It does not say when it was observed."
    NOT_FINAL = "The result is not final yet."
    WITHDRAWN = "The source has withdrawn or corrected it."
    STALE = "It is too old for this study."
    AFTER_STUDY = "It was observed after this study."
    PATIENT_CONTRADICTED = "Name, birth date or sex are not those of the images under the same patient ID."
    TOO_LONG = "The field is longer than any value is."
    AMBIGUOUS = "The text can be read in more than one way, or is in doubt itself."

    @property
    def sentence(self) -> str:
        """The reason as a person reads it."""
        return self.value


@dataclass(frozen=True, slots=True)
class ClinicalValue:
    """One value of one variable: a number in a UCUM unit, or a word for a category (unit empty)."""

    variable: ClinicalVariable
    value: float | str
    unit: str
    source: str
    """Where it came from, as registered: for example ``dicom-header``."""
    observed_at: datetime | None = None
    parts: tuple[ClinicalVariable, ...] = ()
    """What it was computed from; empty where somebody measured or said it."""


@dataclass(frozen=True, slots=True)
class HeldValue:
    """A value that is known but not used, and why."""

    variable: ClinicalVariable
    source: str
    reason: ValueReason
    observed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two sources that disagree about one variable; ``used`` is the one that was believed."""

    used: ClinicalValue
    other: ClinicalValue


@dataclass(frozen=True, slots=True)
class Findings:
    """What one source says of one patient."""

    values: tuple[ClinicalValue, ...] = ()
    held: tuple[HeldValue, ...] = ()
    unanswered: tuple[str, ...] = ()
    """What of it could not be asked although the rest could: ``Condition HTTP_403``."""


@dataclass(frozen=True, slots=True)
class ClinicalRecord:
    """All values known for one case, at most one a variable, and what stands beside them."""

    values: tuple[ClinicalValue, ...] = ()
    held: tuple[HeldValue, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    silent: tuple[str, ...] = ()
    """Sources that could not be asked, each with a coded reason: ``fhir: HTTP_500``."""

    def get(self, variable: ClinicalVariable) -> ClinicalValue | None:
        """The value of ``variable``, or None when it is not known."""
        return next((value for value in self.values if value.variable is variable), None)
