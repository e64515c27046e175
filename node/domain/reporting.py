"""Results on their way out: the report as a value, the objects it becomes, and their delivery."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path

from node.domain.clinical import ClinicalRecord
from node.domain.identifiers import InstanceUID, JobId, SeriesUID
from node.domain.imaging import Roi, Series, Volume
from node.domain.lifecycle import DeliveryState
from node.domain.prediction import Prediction


class ObjectKind(Enum):
    """The kinds of result object, in the order a viewer should list them; the value numbers their series."""

    SUMMARY = 0
    KEY_IMAGES = 1
    SEGMENTATION = 2
    STRUCTURED_REPORT = 3
    PARAMETRIC_MAP = 4

    @property
    def key(self) -> str:
        """Its name in settings and tables: ``parametric-map``."""
        return self.name.lower().replace("_", "-")

    @property
    def series_number(self) -> int:
        """Series Number (0020,0011): 9000 and up, clear of what scanners use, a hundred apart."""
        return 9000 + 100 * self.value


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
    predecessor_paths: tuple[Path, ...] = ()
    """Structured reports of the version that this one supersedes."""


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
    """STORED, PENDING (try again later) or FAILED (for good)."""
    detail: str
