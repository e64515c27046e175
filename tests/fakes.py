"""Stand-ins for our own ports: they do what they are told, and remember what they were given."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from node.dicom.annotations import read_annotation
from node.dicom.measurements import read_measurements
from node.dicom.reading import read_hounsfield, same_content
from node.dicom.verdicts import read_verdict
from node.domain.clinical import ClinicalValue, ClinicalVariable, Findings, HeldValue
from node.domain.coding import Anatomy
from node.domain.identifiers import InstanceUID, SeriesUID
from node.domain.imaging import Annotation, Roi, Series, Volume
from node.domain.lifecycle import DeliveryState
from node.domain.prediction import (
    AlgorithmIdentity,
    Case,
    Conclusion,
    Explanation,
    ExplanationMethod,
    Prediction,
    Quantity,
    Score,
    TrainingStatus,
)
from node.domain.reasons import ReasonCode
from node.domain.reporting import Delivery, DeliveryOutcome, ObjectKind, Report, ReportedNumber, ReportObject
from node.errors import Refused, Rejected, Retryable, StoreAway
from node.store.blobs import Blob
from node.store.folder_blobs import FolderBlobs

DIGEST = "d" * 64
Hook = Callable[[], None]
"""Something that happens while a fake works; may raise."""


class FarBlobs(FolderBlobs):
    """A blob store at the other end of a network: what is read is brought first, and sometimes it is away."""

    def __init__(self, folder: Path) -> None:
        """The store and this machine's copies, both in ``folder``."""
        super().__init__(folder / "far")
        self._near = folder / "near"
        self.is_away = False

    def path_of(self, sha256: str) -> Path:
        """Where the copy lies, or would lie."""
        return self._near / sha256[:2] / sha256

    def put(self, content: bytes, sha256: str | None = None) -> Blob:
        """Store it far away."""
        self._require_there()
        digest = sha256 or hashlib.sha256(content).hexdigest()
        far = super().path_of(digest)
        far.parent.mkdir(parents=True, exist_ok=True)
        far.write_bytes(content)
        return Blob(digest, len(content), self.path_of(digest))

    def bring(self, paths: Iterable[Path]) -> None:
        """Copy what is not here."""
        for path in paths:
            far = super().path_of(path.name)
            if not path.exists():
                self._require_there()
                if far.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(far.read_bytes())

    def _require_there(self) -> None:
        if self.is_away:
            raise StoreAway("the object store cannot be used: Away")


class HereDecoder:
    """Decodes in the process of the test, where there is nothing to be protected from."""

    width = 1
    read_hounsfield = staticmethod(read_hounsfield)
    same_content = staticmethod(same_content)
    read_annotation = staticmethod(read_annotation)
    read_measurements = staticmethod(read_measurements)
    read_verdict = staticmethod(read_verdict)


HERE = HereDecoder()


def nothing() -> None:
    """The hook of a fake that just works."""


@dataclass
class FakeSegmenter:
    """Finds a box in the middle of the volume in the first organ that it is asked about."""

    name: str = "fake-segmenter"
    finds: bool = True
    hook: Hook = nothing
    annotations: list[Annotation] = field(default_factory=list)
    """What it was shown."""

    def locate(self, volume: Volume, annotations: Sequence[Annotation], organs: Sequence[Anatomy]) -> tuple[Roi, ...]:
        """One region, or none."""
        self.annotations += annotations
        self.hook()
        if not self.finds:
            return ()
        mask = np.zeros(volume.hu.shape, dtype=np.bool_)
        mask[1:-1, 2:6, 3:9] = True
        return (Roi(mask, volume.geometry, organs[0], "Tumour", self.name),)


@dataclass
class FakePredictor:
    """Says 0.75 for every case."""

    identity: AlgorithmIdentity = field(
        default_factory=lambda: AlgorithmIdentity(
            "FAKE", "1.0.0", "Tests", "Constant", DIGEST, TrainingStatus.UNTRAINED, "untrained"
        )
    )
    anatomy: Anatomy = Anatomy.PANCREAS
    hook: Hook = nothing
    cases: list[Case] = field(default_factory=list)
    """What it was given."""
    together: list[int] = field(default_factory=list)
    """How many at once."""
    hook_of_many: Hook = nothing
    refuses: tuple[Case, ...] = ()
    """Those that it finds unfit."""

    def warm(self) -> None:
        """Nothing to warm."""

    def predict_many(self, cases: Sequence[Case]) -> tuple[Prediction | Rejected, ...]:
        """As each alone."""
        self.together.append(len(cases))
        self.hook_of_many()
        unfit = Refused(ReasonCode.INPUT_CONTRACT, "unfit")
        return tuple(unfit if case in self.refuses else self.predict(case) for case in cases)

    def predict(self, case: Case) -> Prediction:
        """The same for everyone."""
        self.cases.append(case)
        self.hook()
        saliency = np.ones((1, 2, 2), dtype=np.float32)
        explanation = Explanation(ExplanationMethod.GRAD_CAM, "evidence", saliency, (1, 2, 3), (1,))
        scores = (Score(Quantity.NTR_HIGH, 0.75),)
        return Prediction(self.identity, "Predicted class", scores, Conclusion.NTR_HIGH, 0.5, (), explanation)


@dataclass
class FakeSource:
    """Knows what it is told to know."""

    name: str = "fake-source"
    values: dict[ClinicalVariable, float | str] = field(default_factory=dict)
    hook: Hook = nothing
    held: tuple[HeldValue, ...] = ()
    observed_at: datetime | None = None

    def gather(self, series: Series) -> Findings:  # noqa: ARG002 — the port's signature
        """The values it was made with."""
        self.hook()
        values = tuple(
            ClinicalValue(variable, value, "", self.name, self.observed_at) for variable, value in self.values.items()
        )
        return Findings(values, self.held)


@dataclass
class FakeWriter:
    """Writes one object whose bytes follow from the report's manifest."""

    kind: ObjectKind = ObjectKind.SUMMARY
    hook: Hook = nothing
    reports: list[Report] = field(default_factory=list)
    """What it was asked to write."""

    def write(self, report: Report) -> tuple[ReportObject, ...]:
        """The same report, the same bytes."""
        self.reports.append(report)
        self.hook()
        names = (report.job_id, report.manifest, self.kind.name)
        return (
            ReportObject(
                kind=self.kind,
                uid=InstanceUID.derived("fake", *names),
                sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
                series_uid=SeriesUID.derived("fake", *names),
                series_description=f"AI {self.kind.name}",
                content="|".join(names).encode(),
                numbers=(ReportedNumber("p", 0.75),),
            ),
        )


@dataclass
class FakeDestination:
    """Takes everything that it is given, or answers as told."""

    name: str = "archive"
    state: DeliveryState = DeliveryState.STORED
    hook: Hook = nothing
    delivered: list[Delivery] = field(default_factory=list)

    def deliver(self, deliveries: Sequence[Delivery]) -> tuple[DeliveryOutcome, ...]:
        """One outcome an object."""
        self.hook()
        self.delivered += deliveries
        return tuple(DeliveryOutcome(one.object_uid, self.state, "") for one in deliveries)


def raising(error: Exception) -> Any:
    """A hook that raises ``error``."""

    def hook() -> None:
        raise error

    return hook


class Answers:
    """What is answered when somebody asks: each in turn, then the last one again; an error is raised."""

    def __init__(self, *answers: bool | Retryable) -> None:
        """At least one."""
        self._answers = list(answers)
        self.heard = threading.Semaphore(0)

    def __call__(self) -> bool:
        """The next one."""
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        self.heard.release()
        if isinstance(answer, Retryable):
            raise answer
        return answer

    def wait_for(self, count: int) -> bool:
        """Whether it is asked so many times."""
        return all(self.heard.acquire(timeout=30) for _ in range(count))
