"""Presentation contexts (PS3.8 section 9.3.2.2) as tables: what Celadon accepts, and what it proposes.

The listener accepts more SOP classes than it can analyse, so that a wrong object is refused with a coded reason by the
node instead of by silence at negotiation. Deflated transfer syntaxes are never accepted: their size before inflation
says nothing about their size after it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    KeyObjectSelectionDocumentStorage,
    MRImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom.presentation import PresentationContext, build_context

VERIFICATION: Final = UID("1.2.840.10008.1.1")
"""The SOP class of C-ECHO (PS3.4 annex A)."""
LABEL_MAP_SEGMENTATION_STORAGE: Final = UID("1.2.840.10008.5.1.4.1.1.66.7")

# PS3.8 section 9.3.2.2: context ids are the odd integers from 1 to 255.
MAX_CONTEXTS: Final = 128

IMPLICIT_LITTLE_ENDIAN: Final = UID("1.2.840.10008.1.2")
EXPLICIT_LITTLE_ENDIAN: Final = UID("1.2.840.10008.1.2.1")

# PS3.5 section 10 and annex A. An acceptor takes the first one in the requestor's order that is in this table.
ACCEPTED_TRANSFER_SYNTAXES: Final[tuple[UID, ...]] = (
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    UID("1.2.840.10008.1.2.2"),  # Explicit VR Big Endian (retired, still sent)
    UID("1.2.840.10008.1.2.4.50"),  # JPEG Baseline (Process 1)
    UID("1.2.840.10008.1.2.4.51"),  # JPEG Extended (Processes 2 and 4)
    UID("1.2.840.10008.1.2.4.57"),  # JPEG Lossless (Process 14)
    UID("1.2.840.10008.1.2.4.70"),  # JPEG Lossless (Process 14, first-order prediction)
    UID("1.2.840.10008.1.2.4.80"),  # JPEG-LS Lossless
    UID("1.2.840.10008.1.2.4.81"),  # JPEG-LS Near-Lossless
    UID("1.2.840.10008.1.2.4.90"),  # JPEG 2000 Lossless Only
    UID("1.2.840.10008.1.2.4.91"),  # JPEG 2000
    UID("1.2.840.10008.1.2.5"),  # RLE Lossless
)

# PS3.4 table B.5-1.
ACCEPTED_SOP_CLASSES: Final[tuple[UID, ...]] = (
    CTImageStorage,
    MRImageStorage,
    SegmentationStorage,
    LABEL_MAP_SEGMENTATION_STORAGE,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    EnhancedSRStorage,
    ComprehensiveSRStorage,
    Comprehensive3DSRStorage,
    ParametricMapStorage,
    EncapsulatedPDFStorage,
    KeyObjectSelectionDocumentStorage,
)

# What Celadon writes (node.reports), and the structured report that it falls back to.
RESULT_SOP_CLASSES: Final[tuple[UID, ...]] = (
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ParametricMapStorage,
    EncapsulatedPDFStorage,
    KeyObjectSelectionDocumentStorage,  # the rejection note of a retraction
)


def accepted_contexts() -> list[PresentationContext]:
    """The storage contexts that Celadon supports as SCP (PS3.4 annex B)."""
    return [build_context(sop_class, list(ACCEPTED_TRANSFER_SYNTAXES)) for sop_class in ACCEPTED_SOP_CLASSES]


def result_contexts() -> list[PresentationContext]:
    """The contexts that Celadon proposes to ask whether a destination can take its results."""
    return proposed_contexts((sop_class, EXPLICIT_LITTLE_ENDIAN) for sop_class in RESULT_SOP_CLASSES)[0]


def proposed_contexts(wanted: Iterable[tuple[str, str]]) -> list[list[PresentationContext]]:
    """The contexts that Celadon proposes as SCU to send objects of ``wanted`` (SOP class, transfer syntax).

    One transfer syntax a context, so that the acceptor says yes or no to each (PS3.8 section 9.3.3.2 lets it pick only
    one of several). Uncompressed pairs are followed by the default transfer syntax, which every application entity
    must take (PS3.5 section 10.1). One inner list an association.
    """
    associations: list[list[PresentationContext]] = [[]]
    seen: set[tuple[str, str]] = set()
    for sop_class, transfer_syntax in wanted:
        pairs = [pair for pair in _with_fallback(sop_class, transfer_syntax) if pair not in seen]
        seen.update(pairs)
        if len(associations[-1]) + len(pairs) > MAX_CONTEXTS:
            associations.append([])
        associations[-1].extend(build_context(UID(one), UID(syntax)) for one, syntax in pairs)
    return associations


def retrieval_contexts(sop_classes: Sequence[str]) -> list[PresentationContext]:
    """The storage contexts to propose beside a C-GET, at most ``MAX_CONTEXTS - 1`` (PS3.4 section C.4.3).

    A context for each transfer syntax while there is room, so that a compressed object comes back as it is stored;
    otherwise one context a class with every syntax in it.
    """
    if len(sop_classes) * len(ACCEPTED_TRANSFER_SYNTAXES) < MAX_CONTEXTS:
        return [
            build_context(UID(sop_class), syntax) for sop_class in sop_classes for syntax in ACCEPTED_TRANSFER_SYNTAXES
        ]
    return [
        build_context(UID(sop_class), list(ACCEPTED_TRANSFER_SYNTAXES)) for sop_class in sop_classes[: MAX_CONTEXTS - 1]
    ]


def _with_fallback(sop_class: str, transfer_syntax: str) -> list[tuple[str, str]]:
    """The pair itself, and the default transfer syntax when the pair can be rewritten to it without decoding."""
    pairs = [(sop_class, transfer_syntax)]
    if transfer_syntax == EXPLICIT_LITTLE_ENDIAN:
        pairs.append((sop_class, IMPLICIT_LITTLE_ENDIAN))
    return pairs
