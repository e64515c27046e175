"""The input contract: what a series must be before a model sees it; everything else is refused with a coded reason."""

from collections.abc import Callable
from typing import Final

from node.domain.imaging import Instance, Series
from node.domain.phase import Phase
from node.domain.reasons import Reason, ReasonCode
from node.domain.stacking import Stack, stack
from node.errors import Refused
from node.triage.kernel import Sharpness, sharpness_of
from node.triage.phase import from_timing

ANNOTATION_MODALITIES: Final = frozenset({"SEG", "RTSTRUCT"})
DOCUMENT_MODALITIES: Final = frozenset({"SR", "KO"})
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
"""The least distance between slices, which may overlap."""
THINNEST_SLICE_MM: Final = 0.75
THICKEST_MM: Final = 5.0
"""PORCELAIN's cohort had 0.75 to 5 mm slices (Methods, CECT images acquisition)."""
WIDEST_PIXEL_MM: Final = 1.5
"""500 mm over 512 pixels are 0.98 mm; a matrix of 256 over 380 mm is the coarsest that still shows a gastric wall."""
NARROWEST_FIELD_MM: Final = 250.0
"""A field of view that holds no adult abdomen: a targeted reconstruction."""
EVEN_WITHIN: Final = 0.1
"""Share of the distance by which slices may be thicker or thinner and still count as laid side by side."""
_ROUNDING_MM: Final = 0.01
"""Positions are decimal text: slices of exactly 5 mm can come out a hair above."""


def is_annotation(series: Series) -> bool:
    """Whether the series holds contours rather than images."""
    return series.modality in ANNOTATION_MODALITIES


def is_document(series: Series) -> bool:
    """Whether the series holds structured reports or key object selections: measurements, or verdicts of readers."""
    return series.modality in DOCUMENT_MODALITIES


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
    _require_thickness(series)
    _require_pixels(made)
    _require_phase(series)
    return made


def may_meet(series: Series) -> bool:
    """Whether a series that is still coming in may turn out to meet the contract: its images are of the right kind."""
    return not any(clause(series) for clause in _CLAUSES)


def notes(series: Series, made: Stack) -> tuple[Reason, ...]:
    """What a reader of the result should know about a series that meets the contract; none of it refuses."""
    found = (_narrow_field(made), _sharp_kernel(series), _odd_thickness(series, made), _no_contrast_named(series))
    return tuple(reason for reason in found if reason)


def _narrow_field(made: Stack) -> Reason | None:
    _, rows, columns = made.geometry.shape_zyx
    between_columns, between_rows, _ = made.geometry.spacing_xyz_mm
    field = min(rows * between_rows, columns * between_columns)
    return Reason(ReasonCode.FIELD_OF_VIEW, f"{field:.0f} mm") if field < NARROWEST_FIELD_MM else None


def _sharp_kernel(series: Series) -> Reason | None:
    kernel = series.attribute("ConvolutionKernel")
    sharp = sharpness_of(kernel, series.attribute("Manufacturer")) is Sharpness.SHARP
    return Reason(ReasonCode.SHARP_KERNEL, f"kernel {kernel}") if sharp else None


def _odd_thickness(series: Series, made: Stack) -> Reason | None:
    """Slices that are thicker than they lie apart show everything twice; thinner ones leave out what lies between."""
    spacing = made.geometry.spacing_xyz_mm[2]
    thickness = max(_thickness_mm(one) for one in series.instances)
    if not thickness or abs(thickness - spacing) <= EVEN_WITHIN * spacing:
        return None
    how = "overlap" if thickness > spacing else "leave gaps"
    return Reason(ReasonCode.ODD_THICKNESS, f"{thickness:.2f} mm thick, {spacing:.2f} mm apart: they {how}")


def _no_contrast_named(series: Series) -> Reason | None:
    """Many scanners are not told: an absent agent is no proof of an absent injection."""
    return None if series.attribute("ContrastBolusAgent") else Reason(ReasonCode.NO_CONTRAST_NAMED)


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


def _require_thickness(series: Series) -> None:
    """Slice Thickness (0018,0050) where the header has it; slices may overlap, so that the distance says less."""
    for one in series.instances:
        thickness = _thickness_mm(one)
        if thickness and not THINNEST_SLICE_MM - _ROUNDING_MM <= thickness <= THICKEST_MM + _ROUNDING_MM:
            allowed = f"{THINNEST_SLICE_MM} to {THICKEST_MM} mm"
            raise Refused(ReasonCode.SLICE_THICKNESS, f"slices {thickness:.2f} mm thick, allowed {allowed}")


def _thickness_mm(instance: Instance) -> float:
    try:
        return float(instance.attributes.get("SliceThickness", "0"))
    except ValueError:
        return 0.0


def _require_pixels(made: Stack) -> None:
    widest = max(made.geometry.spacing_xyz_mm[:2])
    if widest > WIDEST_PIXEL_MM + _ROUNDING_MM:
        raise Refused(ReasonCode.PIXEL_SPACING, f"{widest:.2f} mm, allowed up to {WIDEST_PIXEL_MM} mm")


def _require_phase(series: Series) -> None:
    """A bolus time that puts the scan into another phase ends here: with any attenuation it would end as refused or as
    a conflict. Where the header does not say, attenuation is asked once organs are known.
    """  # noqa: D205 — one sentence of reason
    found = from_timing(series)
    if found.phase not in (Phase.PORTAL_VENOUS, Phase.UNKNOWN):
        raise Refused(ReasonCode.PHASE_NOT_PORTAL_VENOUS, f"{found.phase}: {found.evidence}")


def _image_type(attributes: dict[str, str]) -> set[str]:
    return {word.strip().upper() for word in attributes.get("ImageType", "").split("\\")}
