"""What has arrived by itself and waits in the database: entered by people, from files, from HL7 messages."""

from collections.abc import Mapping
from datetime import date, datetime

from node.domain.clinical import ClinicalValue, ClinicalVariable, Findings, HeldValue, ValueReason, ValueState
from node.domain.clinical_intake import ENTERED, KnownValue, KnownValues
from node.domain.clinical_matching import contradicts, dicom_day, untimely
from node.domain.clinical_variables import ROWS
from node.domain.imaging import PatientIdentity, Series

_NOT_SHOWN = (ValueState.SUPERSEDED, ValueState.REFUSED)


class StoredSource:
    """One of the sources that keep their values in the database; implements ``node.domain.ports.ClinicalSource``."""

    def __init__(self, name: str, known: KnownValues, stale_days: Mapping[ClinicalVariable, int]) -> None:
        """``stale_days``: limits other than those of the table of variables."""
        self.name = name
        self._known = known
        self._stale_days = stale_days

    def gather(self, series: Series) -> Findings:
        """The newest value of each variable that is usable, of this patient and of the time of this study.

        Of a variable that has none, the newest that is held, with the reason.
        """
        study_day = dicom_day(series.attribute("StudyDate"))
        used: dict[ClinicalVariable, tuple[datetime, ClinicalValue]] = {}
        held: dict[ClinicalVariable, HeldValue] = {}
        for known in self._known.of(series.patient):
            if known.received.source != self.name or known.state in _NOT_SHOWN:
                continue
            variable, moment = known.received.read.raw.variable, _moment(known)
            if (reason := self.objection(known, series.patient, study_day)) is not None:
                held[variable] = HeldValue(variable, self.name, reason, moment)
            elif variable not in used or used[variable][0] <= moment:
                used[variable] = (moment, _value(known, moment))
        values = tuple(value for _, value in used.values())
        return Findings(values, tuple(one for one in held.values() if one.variable not in used))

    def objection(self, known: KnownValue, patient: PatientIdentity, study_day: date | None) -> ValueReason | None:
        """Why a value is not used for images of ``patient`` and that day; None when it is."""
        if known.state is not ValueState.USABLE or known.received.read.value is None:
            return known.reason or ValueReason.NOT_FINAL
        # A person who has looked at this very value has settled whose it is.
        if not known.decided_by and contradicts(known.received.patient, patient):
            return ValueReason.PATIENT_CONTRADICTED
        raw = known.received.read.raw
        if known.received.source == ENTERED and raw.observed_at is None:
            return None
        limit = self._stale_days.get(raw.variable, ROWS[raw.variable].stale_days)
        return untimely(raw.observed_at, study_day, limit)


def _moment(known: KnownValue) -> datetime:
    """When it was observed; of what a person enters without saying, when they entered it."""
    return known.received.read.raw.observed_at or known.received_at


def _value(known: KnownValue, moment: datetime) -> ClinicalValue:
    read = known.received.read
    value = read.value if read.value is not None else ""
    return ClinicalValue(read.raw.variable, value, read.unit, known.received.source, moment)
