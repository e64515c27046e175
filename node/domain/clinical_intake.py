"""Values on their way in: what a source said of a patient, how it was read, and what people have decided about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from node.domain.clinical import ClinicalVariable, ValueReason, ValueState
from node.domain.coding import Code
from node.domain.identifiers import InstanceUID
from node.domain.imaging import PatientIdentity

ENTERED: Final = "entered"
"""The source that is a person: what it says has no laboratory's time, and is newest by when it was typed."""

STATES: Final[dict[ValueReason, ValueState]] = {
    ValueReason.UNIT_MISSING: ValueState.HELD,
    ValueReason.UNIT_UNKNOWN: ValueState.HELD,
    ValueReason.UNIT_NOT_ACCEPTED: ValueState.HELD,
    ValueReason.NOT_A_NUMBER: ValueState.REFUSED,
    # Neither zero nor the limit is what was measured. A person who wants the limit to count enters it.
    ValueReason.CENSORED: ValueState.HELD,
    ValueReason.SPECIMEN: ValueState.REFUSED,
    ValueReason.NEGATIVE: ValueState.REFUSED,
    ValueReason.IMPLAUSIBLE: ValueState.HELD,
    ValueReason.UNKNOWN_CATEGORY: ValueState.HELD,
    ValueReason.FUTURE: ValueState.HELD,
    ValueReason.NO_TIME: ValueState.HELD,
    ValueReason.NOT_FINAL: ValueState.HELD,
    ValueReason.WITHDRAWN: ValueState.SUPERSEDED,
    ValueReason.STALE: ValueState.HELD,
    ValueReason.AFTER_STUDY: ValueState.HELD,
    ValueReason.PATIENT_CONTRADICTED: ValueState.HELD,
    ValueReason.TOO_LONG: ValueState.REFUSED,
    ValueReason.AMBIGUOUS: ValueState.HELD,
}
"""What becomes of a value for each reason."""


@dataclass(frozen=True, slots=True)
class RawValue:
    """One value as a source sent it, before anything is believed."""

    variable: ClinicalVariable
    text: str
    unit: str = ""
    observed_at: datetime | None = None
    is_final: bool = True
    is_withdrawn: bool = False
    is_ambiguous: bool = False
    """Whether ``text`` is an excerpt of a report that leaves open what is meant."""


@dataclass(frozen=True, slots=True)
class ReadValue:
    """A raw value with what was made of it."""

    raw: RawValue
    value: float | str | None
    """In ``unit``; None when nothing could be made of it."""
    unit: str
    reason: ValueReason | None = None

    @property
    def state(self) -> ValueState:
        """What may be done with it."""
        return ValueState.USABLE if self.reason is None else STATES[self.reason]


@dataclass(frozen=True, slots=True)
class ReceivedValue:
    """A read value with whom it is said to be of and where it came from."""

    patient: PatientIdentity
    """As the source names it; name, birth date and sex are empty where it does not say."""
    read: ReadValue
    source: str
    source_id: str
    """The message, file row or resource it came in."""
    group: str = ""
    """The order or report it belongs to: a correction replaces values of the same group."""
    by: str = ""
    """The person who entered it."""


@dataclass(frozen=True, slots=True)
class KnownValue:
    """A value that is stored, with its newest state."""

    id: int
    received: ReceivedValue
    received_at: datetime
    state: ValueState
    reason: ValueReason | None
    decided_by: str = ""


@dataclass(frozen=True, slots=True)
class MessageIdentity:
    """What makes two messages one: sender, control ID, and content, since counters of senders start again."""

    sender: str
    control_id: str
    sha256: str
    """Of everything but the header, which a sender that repeats itself may date anew."""
    kind: str
    """``ORU^R01`` or ``ADT^A40``, for people."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Two identifiers of one patient."""

    prior: PatientIdentity
    survivor: PatientIdentity
    is_undone: bool = False
    """Whether they are two patients again: somebody had merged them by mistake."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What is to be stored at once or not at all."""

    values: tuple[ReceivedValue, ...] = ()
    merges: tuple[Merge, ...] = ()
    updates: tuple[PatientIdentity, ...] = ()
    """How patients are called from now on."""
    message: MessageIdentity | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What came of an intake that is durable now."""

    is_duplicate: bool = False
    value_ids: tuple[int, ...] = ()
    reopened: tuple[str, ...] = ()
    """Jobs that analyse a series again because of it."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number of a structured report, as it stands there."""

    name: Code
    text: str
    unit: str
    """UCUM code; empty where another scheme or none is used."""
    observed_at: str
    """Date and time as DICOM writes them (VR DT, PS3.5 section 6.2), from the item or the document."""


@dataclass(frozen=True, slots=True)
class MeasurementDocument:
    """What a structured report measures, and of whom."""

    instance_uid: InstanceUID
    patient: PatientIdentity
    is_final: bool
    measurements: tuple[Measurement, ...] = ()


class KnownValues(Protocol):
    """Everything that is known of patients."""

    def of(self, patient: PatientIdentity) -> Sequence[KnownValue]:
        """The values of a patient in the order in which they came, those of merged identifiers among them."""
        ...
