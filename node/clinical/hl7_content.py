"""What HL7 v2 messages say of patients: results (ORU^R01), changed identities (ADT^A08, A31), merges and their undoing.

Merges name the old number in MRG (A18, A30, A34, A40, A47: HL7 v2.5.1 section 3.3); A24 and A37 link two PID segments
and undo that. PID section 3.4.2, MRG 3.4.12, OBR 4.5.3, OBX 7.4.2; result states are table 0085.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Final

from node.clinical.hl7_text import Message, Segment
from node.clinical.pathology import REPORT_LOINC, SPOKEN_OF, read_report
from node.clinical.reading import read
from node.domain.clinical import ClinicalVariable
from node.domain.clinical_intake import Intake, Merge, MessageIdentity, RawValue, ReceivedValue
from node.domain.clinical_variables import BY_LOINC, ROWS, CategoryRow
from node.domain.imaging import PatientIdentity

NAME: Final = "hl7"
MOST_RESULTS: Final = 1000
"""Of the variables that are asked for, in one message: they are stored in one transaction."""
LONGEST_CONTROL_ID: Final = 199
LONGEST_PATIENT_ID: Final = 64

_FINAL: Final = ("F", "C", "U")
_WITHDRAWN: Final = ("D", "W", "X")
_MERGING: Final = ("A18", "A30", "A34", "A40", "A47")
_LINKING: Final = {"A24": False, "A37": True}
"""Whether two patients are meant to be two again."""
_UPDATING: Final = ("A08", "A31")
_CORRECTED: Final = ("C", *_WITHDRAWN)
_TEXTS: Final = ("TX", "FT", "ST")
_PATHOLOGY: Final = ("SP", "PAT")
"""Sections of a laboratory (table 0074): surgical pathology, pathology."""
_LAYOUT: Final = re.compile(r"\.(?:br|sp|ce|in|ti|fi|nf|sk)\b[^\\]{0,6}")
_TEN: Final = re.compile(r"[xX*]?\s?10")
_EXPONENT: Final = re.compile(r"[0-9]{1,2}\s?/")
_TIME: Final = re.compile(
    r"(?P<day>[0-9]{8})(?:(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})?(?P<second>[0-9]{2})?(?:\.[0-9]{1,4})?)?"
    r"(?P<zone>[+-][0-9]{4})?"
)


class Unacceptable(Exception):
    """A message that is HL7 and cannot be taken; ``code`` is the acknowledgement's, ``text`` names no patient."""

    def __init__(self, code: str, text: str) -> None:
        """``code``: AE or AR (table 0008)."""
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads messages with the site's own conventions."""

    issuer: str = ""
    """Which of several patient IDs is meant: the one that this authority issued."""
    codes: Mapping[str, ClinicalVariable] | None = None
    """Local codes besides LOINC."""
    reports: Sequence[str] = ()
    """Local codes of pathology texts."""

    def intake(self, message: Message, now: datetime) -> Intake:
        """What is to be stored of a message; empty but for its identity when it says nothing that is asked for.

        Raises:
            Unacceptable: something is missing that the standard asks for, or it is of a kind that is not taken.
        """
        identity = identity_of(message)
        code, event = message.kind
        if code == "ORU":
            values = tuple(islice(self._results(message, now), MOST_RESULTS + 1))
            if len(values) > MOST_RESULTS:
                raise Unacceptable("AR", f"more than {MOST_RESULTS} results in one message")
            return Intake(values, message=identity)
        if code == "ADT" and event in _MERGING:
            return Intake(merges=tuple(self._merges(message)), message=identity)
        if code == "ADT" and event in _LINKING:
            return Intake(merges=(self._link(message, is_undone=_LINKING[event]),), message=identity)
        if code == "ADT" and event in _UPDATING:
            return Intake(updates=(self._patient(_pid(message)),), message=identity)
        if code == "ADT":
            # Admissions and discharges are sent to everybody: taken note of, and nothing in them is asked for.
            return Intake(message=identity)
        raise Unacceptable("AR", "200 unsupported message type")

    def _results(self, message: Message, now: datetime) -> Iterator[ReceivedValue]:
        patient: PatientIdentity | None = None
        order: Segment | None = None
        reports: dict[tuple[PatientIdentity, Segment | None], list[Segment]] = {}
        for segment in message.segments[1:]:
            if segment.name == "PID":
                patient, order = self._patient(segment), None
            elif segment.name == "OBR":
                order = segment
            elif segment.name == "OBX":
                variable = self._variable(segment)
                if patient is None and variable is not None:
                    raise Unacceptable("AE", "100 segment sequence error: OBX before PID")
                if patient is not None and variable is not None:
                    yield _result(segment, order, variable, patient, message.control_id, now)
                elif patient is not None and self._is_report(segment, order):
                    reports.setdefault((patient, order), []).append(segment)
        if patient is None:
            raise Unacceptable("AE", "100 segment sequence error: no PID")
        for (whose, ordered), lines in reports.items():
            yield from _report(lines, ordered, whose, message.control_id, now)

    def _merges(self, message: Message) -> Iterator[Merge]:
        survivor: PatientIdentity | None = None
        count = 0
        for segment in message.segments[1:]:
            if segment.name == "PID":
                survivor = self._patient(segment)
            elif segment.name == "MRG" and survivor is not None:
                count += 1
                yield Merge(self._identified(segment, 1), survivor)
        if not count:
            raise Unacceptable("AE", "100 segment sequence error: no PID followed by MRG")

    def _link(self, message: Message, *, is_undone: bool) -> Merge:
        named = [self._patient(segment) for segment in message.segments if segment.name == "PID"]
        if len(named) != 2:  # noqa: PLR2004 — a link has two ends
            raise Unacceptable("AE", "100 segment sequence error: not two PID")
        return Merge(named[1], named[0], is_undone=is_undone)

    def _is_report(self, obx: Segment, order: Segment | None) -> bool:
        """Whether a text is a pathologist's: by LOINC, a local code of the site, or the order's section (OBR-24)."""
        if obx.component(2) not in _TEXTS:
            return False
        parts = obx.components(obx.repetitions(3)[0]) + [""] * 6
        loinc = [code.strip() for code, system in ((parts[0], parts[2]), (parts[3], parts[5])) if _is_loinc(system)]
        if loinc:
            return any(code in REPORT_LOINC for code in loinc)
        return parts[0].strip() in self.reports or (order is not None and order.component(24) in _PATHOLOGY)

    def _patient(self, pid: Segment) -> PatientIdentity:
        found = self._identified(pid, 3)
        name = "^".join(pid.components(pid.repetitions(5)[0])[:3]).rstrip("^")
        born = pid.component(7)[:8]
        return PatientIdentity(found.patient_id, found.issuer, name, born, pid.component(8)[:1].upper())

    def _identified(self, segment: Segment, number: int) -> PatientIdentity:
        """The patient ID among those of a field (CX): of our issuer, else a medical record number, else the first."""
        candidates = []
        for repetition in segment.repetitions(number):
            parts = segment.components(repetition) + [""] * 5
            if parts[0].strip():
                candidates.append((parts[0].strip(), parts[3].strip(), parts[4].strip()))
        if not candidates:
            raise Unacceptable("AE", f"101 required field missing: {segment.name}-{number}")
        ours = [one for one in candidates if self.issuer and one[1] == self.issuer]
        records = [one for one in candidates if one[2] in ("MR", "PI")]
        patient_id, issuer, _ = (ours or records or candidates)[0]
        if len(patient_id) > LONGEST_PATIENT_ID:
            raise Unacceptable("AE", f"102 data type error: {segment.name}-{number} is too long")
        return PatientIdentity(patient_id, issuer)

    def _variable(self, obx: Segment) -> ClinicalVariable | None:
        """The variable that OBX-3 names: LOINC as first or alternate code, or a local code of the site."""
        parts = obx.components(obx.repetitions(3)[0]) + [""] * 6
        for code, system in ((parts[0], parts[2]), (parts[3], parts[5])):
            if _is_loinc(system) and code.strip() in BY_LOINC:
                return BY_LOINC[code.strip()]
        return (self.codes or {}).get(parts[0].strip())


def identity_of(message: Message) -> MessageIdentity:
    """Sender, control ID and content of a message.

    Raises:
        Unacceptable: it has no control ID, so that nothing can be acknowledged.
    """
    header, control_id = message.header, message.control_id
    if not 0 < len(control_id) <= LONGEST_CONTROL_ID:
        raise Unacceptable("AR", "101 required field missing: MSH-10")
    digest = hashlib.sha256()
    for segment in message.segments[1:]:
        digest.update("\x1e".join(segment.fields).encode() + b"\n")
    sender = f"{header.component(3)}|{header.component(4)}"
    return MessageIdentity(sender[:200], control_id, digest.hexdigest(), "^".join(message.kind))


def read_time(text: str) -> datetime | None:
    """A moment (data type TS, at least a day); without a zone it is the site's. None when it is none."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    clock = [int(match[part] or 0) for part in ("hour", "minute", "second")]
    try:
        day = datetime.strptime(match["day"], "%Y%m%d")  # noqa: DTZ007 — the zone follows
        moment = day.replace(hour=clock[0], minute=clock[1], second=clock[2])
        if match["zone"] is None:
            return moment.astimezone()
        sign = -1 if match["zone"][0] == "-" else 1
        offset = timedelta(hours=int(match["zone"][1:3]), minutes=int(match["zone"][3:]))
        return moment.replace(tzinfo=timezone(sign * offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _pid(message: Message) -> Segment:
    found = next((segment for segment in message.segments if segment.name == "PID"), None)
    if found is None:
        raise Unacceptable("AE", "100 segment sequence error: no PID")
    return found


def _result(
    obx: Segment,
    order: Segment | None,
    variable: ClinicalVariable,
    patient: PatientIdentity,
    message: str,
    now: datetime,
) -> ReceivedValue:
    status = obx.component(11)
    raw = RawValue(
        variable,
        _text(obx, variable),
        _unit(obx),
        read_time(obx.component(14)) or (read_time(order.component(7)) if order else None),
        # Without a state nobody says that it is preliminary: OBX-11 is required, but files of old systems lack it.
        is_final=status in (*_FINAL, *_WITHDRAWN, ""),
        is_withdrawn=status in _WITHDRAWN,
    )
    group = (order.component(3) or order.component(2)) if order else ""
    return ReceivedValue(patient, read(raw, now), NAME, message, group)


def _is_loinc(system: str) -> bool:
    return system.strip().upper() in ("LN", "LOINC")


def _report(
    lines: Sequence[Segment], order: Segment | None, patient: PatientIdentity, message: str, now: datetime
) -> Iterator[ReceivedValue]:
    """What the text of one report says, whose lines come as segments and repetitions.

    A correction replaces all that the report has said: what it is silent about now is withdrawn.
    """
    states = {segment.component(11) for segment in lines}
    said = {} if states & set(_WITHDRAWN) else {one.variable: one for one in read_report(_whole(lines))}
    observed_at = read_time(lines[0].component(14)) or (read_time(order.component(7)) if order else None)
    group = (order.component(3) or order.component(2)) if order else ""
    is_final = states <= {*_FINAL, *_WITHDRAWN, ""}
    for variable in SPOKEN_OF:
        if (one := said.get(variable)) is not None:
            raw = RawValue(variable, one.text, "", observed_at, is_final=is_final, is_ambiguous=one.is_ambiguous)
        elif group and states & set(_CORRECTED):
            raw = RawValue(variable, "", "", observed_at, is_withdrawn=True)
        else:
            continue
        yield ReceivedValue(patient, read(raw, now), NAME, message, group)


def _whole(lines: Sequence[Segment]) -> str:
    """The text of a report, its layout commands (HL7 v2.5.1 section 2.7.6) as line ends."""
    whole = []
    for segment in lines:
        escape = segment.separators[2]
        for repetition in segment.repetitions(5):
            parts = [_LAYOUT.sub("", part) if part.startswith(".") else part for part in repetition.split(escape)]
            # A command stands between two escape characters: without it they enclose nothing.
            text = escape.join(parts).replace(escape * 2, "\n")
            whole.append(" ".join(segment.components(text)))
    return "\n".join(whole)


def _unit(obx: Segment) -> str:
    """OBX-6 as text: code or words. The caret of 10^9/L parts components, yet many senders do not escape it."""
    first, second = obx.component(6), obx.component(6, 2)
    is_torn = _TEN.fullmatch(first) is not None and _EXPONENT.match(second) is not None
    return f"{first}^{second}" if is_torn else first or second


def _text(obx: Segment, variable: ClinicalVariable) -> str:
    """OBX-5 as text: a number, a comparator with its number (SN), or the word of a coded entry."""
    if len(obx.repetitions(5)) > 1:
        return "several values"
    parts = obx.components(obx.repetitions(5)[0])
    if obx.component(2) == "SN":
        return "".join(parts).strip()
    row = ROWS[variable]
    if isinstance(row, CategoryRow):
        return next((part for part in parts[:2] if row.meant(part)), parts[0])
    return parts[0] if not any(parts[1:]) else "several values"
