"""The input contract: what a series must be before a model sees it; everything else is refused with a coded reason."""

from collections.abc import Callable
from typing import Final

from node.domain.imaging import Series
from node.domain.reasons import Reason, ReasonCode
from node.domain.stacking import Stack, stack
from node.errors import Refused

ANNOTATION_MODALITIES: Final = frozenset({"SEG", "RTSTRUCT"})
SECONDARY_CAPTURE_CLASSES: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.7",
        "1.2.840.10008.5.1.4.1.1.7.1",
        "1.2.840.10008.5.1.4.1.1.7.2",
        "1.2.840.10008.5.1.4.1.1.7.3",
        "1.2.840.10008.5.1.4.1.1.7.4",
    }
)
CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
# Image Type (0008,0008) values that mark a projection or reformat (PS3.3 section C.8.16.1.3 and scanners' habits).
_DERIVED_WORDS: Final = frozenset({"MPR", "MIP", "MINIP", "PROJECTION IMAGE", "REFORMATTED", "CSA MPR", "CSA MIP"})
SMALLEST_AXIAL_COSINE: Final = 0.98
"""The slices' normal may lean at most 11 degrees away from the body's long axis."""
THINNEST_MM: Final = 0.5
THICKEST_MM: Final = 5.0
"""PORCELAIN's cohort had 0.75 to 5 mm slices (Methods, CECT images acquisition); distances may overlap."""
_ROUNDING_MM: Final = 0.01
"""Positions are decimal text: slices of exactly 5 mm can come out a hair above."""


def is_annotation(series: Series) -> bool:
    """Whether the series holds contours rather than images."""
    return series.modality in ANNOTATION_MODALITIES


def check(series: Series) -> Stack:
    """The series as a stack of axial CT slices.

    Raises:
        Refused: the first clause of the contract that it breaks.
    """
    for clause in _CLAUSES:
        if reason := clause(series):
            raise Refused(reason.code, reason.detail)
    made = stack(series.instances)
    if isinstance(made, Reason):
        raise Refused(made.code, made.detail)
    _require_axial(made)
    _require_spacing(made)
    return made


def _not_an_image(series: Series) -> Reason | None:
    if all(instance.rows and instance.columns for instance in series.instances):
        return None
    return Reason(ReasonCode.NOT_AN_IMAGE, f"modality {series.modality or 'absent'}")


def _secondary_capture(series: Series) -> Reason | None:
    classes = {instance.sop_class_uid for instance in series.instances}
    return Reason(ReasonCode.SECONDARY_CAPTURE) if classes & SECONDARY_CAPTURE_CLASSES else None


def _not_ct(series: Series) -> Reason | None:
    if series.modality == "CT" and all(one.sop_class_uid == CT_IMAGE_STORAGE for one in series.instances):
        return None
    return Reason(ReasonCode.NOT_CT, f"modality {series.modality or 'absent'}")


def _localizer(series: Series) -> Reason | None:
    found = sum("LOCALIZER" in _image_type(instance.attributes) for instance in series.instances)
    return Reason(ReasonCode.LOCALIZER, f"{found} of {len(series.instances)} images") if found else None


def _derived(series: Series) -> Reason | None:
    words = sorted({word for one in series.instances for word in _image_type(one.attributes)} & _DERIVED_WORDS)
    return Reason(ReasonCode.DERIVED_IMAGE, f"Image Type has {', '.join(words)}") if words else None


def _no_rescale(series: Series) -> Reason | None:
    for instance in series.instances:
        if not {"RescaleSlope", "RescaleIntercept"} <= instance.attributes.keys():
            return Reason(ReasonCode.NO_RESCALE)
        if instance.attributes.get("RescaleType", "HU") not in ("HU", "US"):
            return Reason(ReasonCode.NO_RESCALE, "Rescale Type is not HU")
    return None


_CLAUSES: Final[tuple[Callable[[Series], Reason | None], ...]] = (
    _secondary_capture,
    _not_an_image,
    _not_ct,
    _localizer,
    _derived,
    _no_rescale,
)


def _require_axial(made: Stack) -> None:
    cosine = abs(made.geometry.direction[2][2])
    if cosine < SMALLEST_AXIAL_COSINE:
        raise Refused(ReasonCode.NOT_AXIAL, f"the normal's cosine with the body axis is {cosine:.2f}")


def _require_spacing(made: Stack) -> None:
    spacing = made.geometry.spacing_xyz_mm[2]
    if not THINNEST_MM - _ROUNDING_MM <= spacing <= THICKEST_MM + _ROUNDING_MM:
        raise Refused(ReasonCode.SLICE_THICKNESS, f"{spacing:.2f} mm, allowed {THINNEST_MM} to {THICKEST_MM} mm")


def _image_type(attributes: dict[str, str]) -> set[str]:
    return {word.strip().upper() for word in attributes.get("ImageType", "").split("\\")}
