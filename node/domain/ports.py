"""The six plugs: what may be exchanged without touching the rest. Implementations are listed in registries."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from node.domain.clinical import Findings
from node.domain.coding import Anatomy
from node.domain.imaging import Annotation, Roi, Series, Volume
from node.domain.parts import Part
from node.domain.prediction import AlgorithmIdentity, Case, Prediction
from node.domain.reporting import Delivery, DeliveryOutcome, Notice, ObjectKind, Report, ReportObject


@runtime_checkable
class Segmenter(Protocol):
    """Finds lesions in a volume."""

    name: str

    def locate(self, volume: Volume, annotations: Sequence[Annotation], organs: Sequence[Anatomy]) -> tuple[Roi, ...]:
        """The lesions in ``organs``, what is to be analysed first; empty when this segmenter has nothing to say.

        Raises Refused when what it was given cannot be right, with the reason.
        """
        ...


@runtime_checkable
class Surveyor(Protocol):
    """A segmenter that knows organs and vessels too: the phase is judged by them, whoever drew the lesion."""

    def measure(self, volume: Volume) -> Mapping[Part, float]:
        """The mean attenuation in HU of each that it finds; empty where it cannot be trusted."""
        ...


@runtime_checkable
class Predictor(Protocol):
    """Says something about one lesion."""

    identity: AlgorithmIdentity
    anatomy: Anatomy

    def warm(self) -> None:
        """Run once on nothing in particular, so that the first patient does not wait for it."""
        ...

    def predict(self, case: Case) -> Prediction:
        """The prediction with its explanation; raises Refused when the input cannot be used, with the reason."""
        ...

    def predict_many(self, cases: Sequence[Case]) -> tuple[Prediction | Exception, ...]:
        """For each case its prediction, or what ``predict`` raises for it."""
        ...


@runtime_checkable
class ClinicalSource(Protocol):
    """Knows clinical variables of a patient."""

    name: str

    def gather(self, series: Series) -> Findings:
        """What this source has for the patient of ``series``: what can be used, and what is held and why.

        Raises SourceSilent when it cannot be asked now.
        """
        ...


@runtime_checkable
class ReportWriter(Protocol):
    """Writes one kind of result object."""

    kind: ObjectKind

    def write(self, report: Report) -> tuple[ReportObject, ...]:
        """The finished objects; the same report gives the same bytes."""
        ...


@runtime_checkable
class NoticeObjectWriter(Protocol):
    """Writes one kind of object that says why there is no result, or not any more."""

    kind: ObjectKind

    def write(self, notice: Notice) -> tuple[ReportObject, ...]:
        """The finished objects, none where this kind has nothing to say; the same notice gives the same bytes."""
        ...


@runtime_checkable
class Destination(Protocol):
    """A place that results are delivered to."""

    name: str

    def deliver(self, deliveries: Sequence[Delivery]) -> tuple[DeliveryOutcome, ...]:
        """Send the objects and say of each how it went; raises nothing that a sender can foresee."""
        ...
