"""Why something was not analysed or not accepted: one code and one sentence each, the same everywhere.

The code is what tests, metrics and other systems hold on to; the sentence is what a person reads.
"""

from dataclasses import dataclass
from enum import Enum


class ReasonCode(Enum):
    """Every reason that Celadon gives; the value is the sentence."""

    # At the door (the instance is refused, nothing is stored)
    PEER_NOT_ALLOWED = "The sender is not on the list of peers."
    NOT_PARSEABLE = "The object cannot be read as DICOM."
    UID_INVALID = "An identifier is missing or not well formed."
    UID_MISMATCH = "The object is not the one that the request announced."
    PIXEL_DATA_LENGTH = "The pixel data are shorter or longer than the header says."
    TOO_LARGE = "The object is larger than this node accepts."
    TOO_DEEP = "The object nests sequences deeper than this node accepts."
    DISK_FULL = "There is no room to store the object safely."
    STORE_AWAY = "The store that objects are kept in cannot be used now."
    CONTENT_CONFLICT = "Another object with the same UID and other content is already here."

    # The series (the job ends as not-analysed)
    NOT_CT = "The series is not CT."
    NOT_AN_IMAGE = "The series holds no images."
    SECONDARY_CAPTURE = "The series is a secondary capture, not original pixels."
    LOCALIZER = "The series is a scout (localizer)."
    NOT_AXIAL = "The slices are not axial."
    DERIVED_IMAGE = "The images are derived (a projection or reformat), not original axial slices."
    TOO_FEW_SLICES = "The series has too few slices for a volume."
    MISSING_SLICE = "A slice is missing: the distances between slices are not equal."
    DUPLICATE_POSITION = "Two slices lie at the same position."
    MIXED_ORIENTATION = "The slices are not parallel, or not stacked along their normal."
    MIXED_GEOMETRY = "The slices differ in size, spacing or frame of reference."
    NO_GEOMETRY = "The images carry no position, orientation or spacing."
    SLICE_THICKNESS = "The distance between slices is outside the range that the models were made for."
    PIXEL_SPACING = "The pixels are larger than the models were made for."
    FIELD_OF_VIEW = "The field of view is smaller than an abdomen."
    SHARP_KERNEL = "The series was reconstructed for bone or lung; noise hides what the models look for."
    ODD_THICKNESS = "The slices overlap, or leave gaps that were not imaged."
    NO_CONTRAST_NAMED = "The header names no contrast agent."
    PHASE_NOT_PORTAL_VENOUS = "The series was not taken in the portal venous phase."
    PHASE_CONFLICT = "The times in the header and the brightness of the vessels speak of different phases."
    PHASE_UNKNOWN = "Neither the header nor the images say in which phase the series was taken."
    BETTER_SERIES = "Another series of the study is analysed instead: it is better suited."
    NO_RESCALE = "The images carry no rescale to Hounsfield units."
    NO_RULE = "No rule sends this region to a predictor."
    ROI_NOT_FOUND = "No contour of a lesion was found for this series; send a SEG or RTSTRUCT that references it."
    ROI_NO_LESION = "The contours for this series mark organs, not a lesion in the pancreas or stomach."
    ROI_EMPTY = "The contour of the lesion holds no voxel of this series."
    ROI_GEOMETRY = "The contour does not fit the geometry of the series."
    ROI_AMBIGUOUS = "The contours for this series contradict each other."
    ROI_UNCERTAIN = "What was found in the images is not certain enough to be analysed; a person's contour is needed."
    OUT_OF_DISTRIBUTION = "The images are unlike those that the segmentation was made for."
    SEGMENTER_FAILED = "A segmentation program did not give a result that can be used."
    INPUT_CONTRACT = "The image does not meet what the model was made for."
    CLINICAL_VALUE = "A clinical value is not a number, or is in a unit that is not known."
    CLINICAL_MISSING = "More clinical values are missing than the model may do without."
    MEASUREMENTS_READ = "The object is a structured report; its measurements are clinical values of the patient now."
    DOCUMENT_UNREADABLE = "The structured report cannot be read."
    VERDICT_READ = "The object is a document with a reader's verdict; it was added to the result that it is about."
    VERDICT_UNUSABLE = "The object is a document with a reader's verdict that cannot be used."
    ANNOTATION_LINKED = "The object is a contour; it was linked to the series that it references."
    ANNOTATION_ORPHAN = "The object is a contour for a series that this node does not hold (yet)."
    ANNOTATION_UNREADABLE = "The object is a contour that cannot be read."
    OWN_RESULT = "The object is a result of this node that came back."

    # Not now (the job waits, and is tried again)
    AWAITING_CLINICAL = (
        "Clinical values that the analysis asks for are not here yet; it goes on without them in a while."
    )
    AWAITING_SERIES = "Another series of the study is still coming in: the better one will be analysed."
    NO_ROOM = "There is no room for the results: the analysis waits, and goes on when there is."
    NOT_NOW = "Something that the analysis needs cannot be used now: it is tried again."
    STORAGE_FAILED = "The disk failed while the analysis read or wrote: after three times it is held for a person."

    WORKER_ENDED = "The process that worked on it died, or was ended because it took too much: it is tried again."

    # Withdrawn by a person (the job ends as retracted)
    RETRACTED = "A person withdrew the result."

    # Held for a person (the job ends as quarantined)
    PATIENT_CONFLICT = "Instances of more than one patient or study share this series UID."
    UNDECODABLE = "The pixel data cannot be decoded."
    PRUNED = "A part of what the analysis needs was removed because it was old: send the series and its contours again."
    STORED_FILE_DAMAGED = (
        "A stored object is gone or is not what was received: check the disk, then send the series again."
    )
    STRUCK_OUT = "The analysis ended three times in a dead worker."
    INTERNAL = "The analysis failed for a reason that nobody foresaw."

    @property
    def sentence(self) -> str:
        """The reason as a person reads it."""
        return self.value


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason with what it was about: counts, positions, attribute names; never a patient's data."""

    code: ReasonCode
    detail: str = ""

    def __str__(self) -> str:
        """The code and the detail: what a log line or an error shows."""
        return f"{self.code.name}: {self.detail or self.code.sentence}"


class BundleFault(Enum):
    """What can be wrong with a model bundle, or with the checkpoint that one is to be made from; as ``ReasonCode``."""

    BUNDLE_MISSING = "The bundle, or a file that it must have, is not there."
    BUNDLE_UNREADABLE = "A file of the bundle cannot be read, or is not what its name says."
    BUNDLE_FORBIDDEN = "The bundle holds something that no bundle may hold."
    BUNDLE_TOO_LARGE = "The bundle, or a file of it, is larger than a bundle may be."
    BUNDLE_METADATA = "A field of the bundle's metadata is missing or wrong."
    BUNDLE_CHANGED = "The bundle is not the one whose digest was recorded."
    BUNDLE_UNRECORDED = "Nobody has recorded the digest of this bundle."
    BUNDLE_UNFIT = "The bundle does not fit what it is for."
    CHECKPOINT_UNEXPECTED = "The checkpoint is not the file that was expected."
    CHECKPOINT_UNREADABLE = "The checkpoint is not a whole file of the format that torch writes."
    CHECKPOINT_UNSAFE = "The checkpoint asks for something other than tensors."
    CHECKPOINT_LAYOUT = "The tensors of the checkpoint are not those of the network."
    CHECKPOINT_VALUES = "The tensors of the checkpoint hold values that no trained network has."
    CHECKPOINT_LIMIT = "Reading the checkpoint took more than it may."

    @property
    def sentence(self) -> str:
        """What is wrong as a person reads it."""
        return self.value
