"""The one code table: every concept that a result object uses, with where the standard defines it.

What has no standard code is in the private scheme 99CELADON, one pre-coordinated code a number, because viewers show
the code meaning as the label. Numbers are never coded as a staging statement: the concept name is a private
"Predicted cT category", and the AJCC code is its value.
"""

from typing import Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept

from node.domain.coding import Anatomy, Code
from node.domain.prediction import Conclusion, ExplanationMethod, Prediction, Quantity

PRIVATE_SCHEME: Final = "99CELADON"

# Document titles (PS3.16 CID 7021). 126000 with a group that has no SCOORD blanks OHIF's viewport.
ONCOLOGY_MEASUREMENT_REPORT: Final = Code("126001", "DCM", "Oncology Measurement Report")
# Title of a rejection note (PS3.16 CID 7010; IHE RAD TF-3 section 4.66.4.1.3.1)
REJECTED_FOR_PATIENT_SAFETY: Final = Code("113037", "DCM", "Rejected for Patient Safety Reasons")
# Procedure reported (PS3.16 CID 100)
CT_UNSPECIFIED_BODY_REGION: Final = Code("25045-6", "LN", "CT unspecified body region")
# Text in a measurement group (PS3.16 CID 7003 and annex D)
SUMMARY: Final = Code("121111", "DCM", "Summary")
COMMENT: Final = Code("121106", "DCM", "Comment")
# Contributing equipment (PS3.16 CID 7005)
PROCESSING_EQUIPMENT: Final = Code("109102", "DCM", "Processing Equipment")
# Source of a derived image (PS3.16 CID 7202)
SOURCE_FOR_PROCESSING: Final = Code("121322", "DCM", "Source image for image processing operation")
# Observer type (PS3.16 CID 270)
DEVICE: Final = Code("121007", "DCM", "Device")
# Algorithm families (PS3.16 CID 7162)
ARTIFICIAL_INTELLIGENCE: Final = Code("123110", "DCM", "Artificial Intelligence")
REGION_TRANSFER: Final = Code("REGION_TRANSFER", PRIVATE_SCHEME, "Transfer of a received region to the image grid")
# Segment category and type (PS3.16 CID 7150 and CID 7159); "lesion" claims no diagnosis
ABNORMAL_STRUCTURE: Final = Code("49755003", "SCT", "Morphologically Abnormal Structure")
LESION: Final = Code("52988006", "SCT", "Lesion")
# Measurements and methods (PS3.16 CID 7469; IBSI through CID 7472)
VOLUME: Final = Code("118565006", "SCT", "Volume")
VOXEL_SUMMATION: Final = Code("YEKZ", "IBSI", "Volume from Voxel Summation")
# Units (PS3.16 CID 7181; UCUM). "No units" shows as "0.52 1" in viewers, hence per cent.
PERCENT: Final = Code("%", "UCUM", "%")
MILLILITRE: Final = Code("mL", "UCUM", "mL")
NO_UNITS: Final = Code("1", "UCUM", "no units")
# Languages (RFC 5646, PS3.16 CID 5000)
ENGLISH: Final = Code("en", "RFC5646", "English")

# Private concepts
AI_NOTICE: Final = Code("AI_NOTICE", PRIVATE_SCHEME, "Notice about an AI analysis")
"""The title of a notice: no measurement report, in which viewers would look for measurements."""
DECISION_THRESHOLD: Final = Code("DECISION_THRESHOLD", PRIVATE_SCHEME, "Decision threshold")
SLICE_VOTE: Final = Code("SLICE_VOTE", PRIVATE_SCHEME, "Vote of one slice")
CLINICAL_VALUE_USED: Final = Code("CLINICAL_VALUE", PRIVATE_SCHEME, "Clinical value used")
CLINICAL_VALUE_IMPUTED: Final = Code("CLINICAL_IMPUTED", PRIVATE_SCHEME, "Clinical value missing, imputed")
REASON: Final = Code("REASON", PRIVATE_SCHEME, "Contribution to the result (Shapley value)")
NOMOGRAM_ITEM: Final = Code("NOMOGRAM_ITEM", PRIVATE_SCHEME, "Nomogram item")
NOMOGRAM_NOTE: Final = Code("NOMOGRAM_NOTE", PRIVATE_SCHEME, "Note on the nomogram")
MAP_DICE: Final = Code("MAP_DICE", PRIVATE_SCHEME, "Dice of evidence map and region")
INPUT_QUALITY: Final = Code("INPUT_CONTRACT", PRIVATE_SCHEME, "Series as an input of the model")
NOTE: Final = Code("NOTE", PRIVATE_SCHEME, "Note on this result")
REGION_SOURCE: Final = Code("REGION_SOURCE", PRIVATE_SCHEME, "Who drew the region")
FURTHER_LESION: Final = Code("FURTHER_LESION", PRIVATE_SCHEME, "Further lesion, not analysed")
PHASE: Final = Code("PHASE", PRIVATE_SCHEME, "Phase of enhancement, with its evidence")
NTR_CLASS: Final = Code("NTR_CLASS", PRIVATE_SCHEME, "Predicted NTR class")
PREDICTED_CT: Final = Code("PREDICTED_CT", PRIVATE_SCHEME, "Predicted cT category")

QUANTITIES: Final[dict[Quantity, Code]] = {
    Quantity.NTR_HIGH: Code("P_NTR_HIGH", PRIVATE_SCHEME, "Probability of high NTR"),
    Quantity.T1: Code("P_T1", PRIVATE_SCHEME, "Probability of cT1"),
    Quantity.T2: Code("P_T2", PRIVATE_SCHEME, "Probability of cT2"),
    Quantity.T3: Code("P_T3", PRIVATE_SCHEME, "Probability of cT3"),
    Quantity.T4: Code("P_T4", PRIVATE_SCHEME, "Probability of cT4"),
}
"""The concept name of each probability."""

NOMOGRAM_QUANTITIES: Final[dict[Quantity, tuple[Code, Code, Code]]] = {
    quantity: (
        Code(f"NOMOGRAM_P_{quantity.value}", PRIVATE_SCHEME, f"Nomogram probability of c{quantity.value}"),
        Code(f"NOMOGRAM_P_{quantity.value}_MIN", PRIVATE_SCHEME, f"Nomogram probability of c{quantity.value}, least"),
        Code(f"NOMOGRAM_P_{quantity.value}_MAX", PRIVATE_SCHEME, f"Nomogram probability of c{quantity.value}, most"),
    )
    for quantity in (Quantity.T1, Quantity.T2, Quantity.T3, Quantity.T4)
}
"""The concept names of a nomogram's probability: exact, and the ends of its range where an item is unknown."""

CONCLUSIONS: Final[dict[Conclusion, tuple[Code, Code]]] = {
    Conclusion.NTR_HIGH: (NTR_CLASS, Code("NTR_HIGH", PRIVATE_SCHEME, Conclusion.NTR_HIGH.value)),
    Conclusion.NTR_LOW: (NTR_CLASS, Code("NTR_LOW", PRIVATE_SCHEME, Conclusion.NTR_LOW.value)),
    # AJCC clinical T categories (SNOMED CT); pathological pT codes would be wrong for imaging
    Conclusion.CT1: (PREDICTED_CT, Code("1228889001", "SCT", "American Joint Committee on Cancer cT1")),
    Conclusion.CT2: (PREDICTED_CT, Code("1228929004", "SCT", "American Joint Committee on Cancer cT2")),
    Conclusion.CT3: (PREDICTED_CT, Code("1228938002", "SCT", "American Joint Committee on Cancer cT3")),
    Conclusion.CT4: (PREDICTED_CT, Code("1228944003", "SCT", "American Joint Committee on Cancer cT4")),
}
"""The concept name and the value of each conclusion."""

EXPLANATIONS: Final[dict[ExplanationMethod, Code]] = {
    # PS3.16 CID 217
    ExplanationMethod.GRAD_CAM: Code("130403", "DCM", "Gradient-weighted class activation"),
    ExplanationMethod.CLASS_ACTIVATION: Code("130402", "DCM", "Class activation"),
}
"""The method of each kind of saliency map."""

BODY_PARTS: Final[dict[Anatomy, str]] = {Anatomy.PANCREAS: "PANCREAS", Anatomy.STOMACH: "STOMACH"}
"""Body Part Examined (0018,0015) of each organ (PS3.16 annex L)."""

_SUBJECTS: Final[dict[Code, str]] = {NTR_CLASS: "NTR", PREDICTED_CT: "cT"}


def concept(code: Code) -> CodedConcept:
    """``code`` as a coded concept that datasets hold (PS3.3 section 8.8)."""
    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def subject(prediction: Prediction) -> str:
    """What was predicted in one short word: ``cT`` or ``NTR``."""
    return _SUBJECTS[CONCLUSIONS[prediction.conclusion][0]]


def private_scheme() -> CodingSchemeIdentificationItem:
    """The item that introduces 99CELADON (PS3.3 section C.12.1, Coding Scheme Identification Sequence)."""
    return CodingSchemeIdentificationItem(
        designator=PRIVATE_SCHEME,
        name="Celadon private codes",
        responsible_organization="Celadon",
    )
