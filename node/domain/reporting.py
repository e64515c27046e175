"""Results on their way out: the report as a value, the objects it becomes, and their delivery."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Final

from node.domain.clinical import ClinicalRecord
from node.domain.identifiers import InstanceUID, JobId, SeriesUID, Uid
from node.domain.identity import NO_CORRECTION, Correction
from node.domain.imaging import Roi, Series, Volume
from node.domain.lifecycle import DeliveryState
from node.domain.phase import PhaseVerdict
from node.domain.prediction import AlgorithmIdentity, Prediction
from node.domain.reasons import Reason


class ObjectKind(Enum):
    """The kinds of result object, in the order a viewer should list them; the value numbers their series."""

    SUMMARY = 0
    KEY_IMAGES = 1
    SEGMENTATION = 2
    STRUCTURED_REPORT = 3
    PARAMETRIC_MAP = 4
    DOCUMENT = 5
    """The pages as an encapsulated PDF."""
    ENHANCED_REPORT = 6
    """The structured report for archives that do not take a Comprehensive 3D SR."""
    NOTICE = 7
    """A page that says why there is no result, or that one was withdrawn."""
    NOTICE_REPORT = 8
    """The same in a structured report."""
    REJECTION_NOTE = 9
    """What tells an archive that objects must not be used any more (IHE IOCM)."""
    MESSAGE = 90
    """Not DICOM: what goes to receivers of HL7 messages."""
    MESSAGE_WITHDRAWN = 91
    """What takes back such a message."""

    @property
    def key(self) -> str:
        """Its name in settings and tables: ``parametric-map``."""
        return self.name.lower().replace("_", "-")

    @property
    def series_number(self) -> int:
        """Series Number (0020,0011): 9000 and up, clear of what scanners use, a hundred apart."""
        return 9000 + 100 * self.value


MESSAGE_KINDS: Final = frozenset({ObjectKind.MESSAGE, ObjectKind.MESSAGE_WITHDRAWN})
NOTICE_KINDS: Final = (
    ObjectKind.NOTICE, ObjectKind.NOTICE_REPORT, ObjectKind.REJECTION_NOTE, ObjectKind.MESSAGE_WITHDRAWN
)  # fmt: skip
"""What is delivered of a job that has no result, or none any more."""
CITED_KINDS: Final = (ObjectKind.STRUCTURED_REPORT, ObjectKind.NOTICE_REPORT)
"""What a newer version cites as its predecessor: kept for as long as rows are."""


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Everything that the result objects are written from; a pure function of it gives the same bytes every time."""

    job_id: JobId
    version: int
    manifest: str
    """SHA-256 over what was analysed: the instances of the series and the annotation used."""
    fixed_at: datetime
    """Fixed when the job was first claimed, in the site's zone: the content date and time of every object."""
    node_version: str
    series: Series
    """In the order of the volume's slices; every instance has its path."""
    volume: Volume
    roi: Roi
    clinical: ClinicalRecord
    prediction: Prediction
    phase: PhaseVerdict
    remarks: tuple[Reason, ...] = ()
    """What a reader should know about the series, although it may be analysed."""
    correction: Correction = field(default_factory=lambda: NO_CORRECTION)
    """What the archive says of patient and accession now, where the images say otherwise."""
    predecessor_paths: tuple[Path, ...] = ()
    """Structured reports of the version that this one supersedes, notices among them."""

    @property
    def algorithm(self) -> AlgorithmIdentity:
        """Who says it."""
        return self.prediction.algorithm


class NoticeKind(Enum):
    """What a notice says; the value is its heading."""

    NOT_ANALYSED = "Not analysed"
    HELD = "Not analysed: held for a person"
    WITHDRAWN = "AI result withdrawn"


@dataclass(frozen=True, slots=True, eq=False)
class Notice:
    """Why there is no result of a series, or not any more: never silence, which would read as negative."""

    kind: NoticeKind
    job_id: JobId
    version: int
    manifest: str
    fixed_at: datetime
    """When the job was first claimed, or the withdrawal asked for, in the site's zone."""
    node_version: str
    series: Series
    source: Path
    """The DICOM file that patient and study are copied from: an image of the series, or what is withdrawn."""
    reason: str
    """Why, as a person reads it, without patient data."""
    detail: str = ""
    """What exactly; empty where it would help nobody at a viewer."""
    correction: Correction = field(default_factory=lambda: NO_CORRECTION)
    """What the archive says of patient and accession now, where ``source`` says otherwise; empty for a withdrawal,
    which goes out as what it withdraws did."""
    predecessor_paths: tuple[Path, ...] = ()
    """Structured reports that this notice takes the place of."""
    withdrawn: tuple["ObjectReference", ...] = ()
    """What must not be used any more."""


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """Which object, exactly (PS3.3 section C.17.2.1)."""

    sop_class_uid: str
    uid: InstanceUID
    series_uid: SeriesUID


@dataclass(frozen=True, slots=True)
class ReportedNumber:
    """A number inside an object, as a person reads it."""

    name: str
    value: float | str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class ReportObject:
    """One finished DICOM object."""

    kind: ObjectKind
    uid: InstanceUID
    sop_class_uid: str
    series_uid: SeriesUID
    series_description: str
    content: bytes
    """The DICOM file (PS3.10), complete."""
    numbers: tuple[ReportedNumber, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One object on its way to one destination."""

    id: int
    job_id: JobId
    object_uid: InstanceUID
    sop_class_uid: str
    destination: str
    path: Path
    attempts: int
    state: DeliveryState


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What a destination answered for one object."""

    object_uid: InstanceUID
    state: DeliveryState
    """STORED, PENDING (try again later), FAILED (for good), HELD or WITHDRAWN (another form of it was stored)."""
    detail: str


@dataclass(frozen=True, slots=True)
class Commitment:
    """A request for storage commitment (PS3.4 annex J), as it was written down before it was sent."""

    transaction_uid: Uid
    job_id: JobId
    destination: str
    references: tuple[tuple[str, InstanceUID], ...]
    """SOP class and instance of each object."""


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What an archive reports of a transaction (PS3.4 section J.3.3)."""

    transaction_uid: Uid
    committed: tuple[InstanceUID, ...]
    failed: tuple[tuple[InstanceUID, int], ...] = ()
    """Failure Reason (0008,1197) of each instance that it does not commit to."""


class ReportVerdict(Enum):
    """What became of a report; only what is TAKEN or known is acknowledged as a success."""

    TAKEN = "taken"
    KNOWN = "known already"
    UNKNOWN = "no such transaction with this archive"
