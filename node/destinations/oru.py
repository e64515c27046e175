"""The report as an HL7 v2.5.1 message, ORU^R01 (chapter 7): the numbers with the codes that the DICOM objects have.

One order group: PID, ORC, OBR, and an OBX for each number. Nothing in it was signed by a person: its status is
preliminary, and corrected where it replaces an earlier version.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from node.domain.coding import Code
from node.domain.identifiers import InstanceUID, SeriesUID
from node.domain.reporting import ObjectKind, Report, ReportObject
from node.reports.codes import (
    COMMENT,
    CONCLUSIONS,
    CT_UNSPECIFIED_BODY_REGION,
    DECISION_THRESHOLD,
    MILLILITRE,
    NOMOGRAM_QUANTITIES,
    NOTE,
    PERCENT,
    QUANTITIES,
    SUMMARY,
    VOLUME,
)
from node.reports.evidence import Evidence, gather
from node.reports.naming import warnings
from node.reports.wording import headline, percent, statement

SENDING_APPLICATION: Final = "CELADON"
CHARACTER_SET: Final = "UNICODE UTF-8"
"""HL7 table 0211."""
_STUDY: Final = Code("113014", "DCM", "DICOM Study")
_ALGORITHM_NAME: Final = Code("111001", "DCM", "Algorithm Name")
_ALGORITHM_VERSION: Final = Code("111003", "DCM", "Algorithm Version")
_ESCAPES: Final = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\r": " ", "\n": " "}
# HL7 table 0396 names coding schemes otherwise than DICOM does (PS3.16 chapter 8).
_SCHEMES: Final = {"LN": "LN", "UCUM": "UCUM", "SCT": "SCT", "DCM": "DCM"}
_PRELIMINARY, _CORRECTED, _WRONG = "P", "C", "W"
_NAME_GROUPS: Final = "AIP"
"""HL7 table 4000: alphabetic, ideographic, phonetic, in the order of the groups of a DICOM name."""
_NAME_PARTS: Final = 5


class MessageWriter:
    """Writes the message; implements ``node.domain.ports.ReportWriter``."""

    kind = ObjectKind.MESSAGE

    def write(self, report: Report) -> tuple[ReportObject, ...]:
        """One message, without its receiver: that stands in MSH-4 to MSH-6, which its sender fills in."""
        uid = InstanceUID.derived("message", report.series.uid, report.job_id, report.manifest)
        content = message(report, gather(report, [report.roi.largest_slice]), uid)
        made = ReportObject(
            kind=self.kind,
            uid=uid,
            sop_class_uid="",
            series_uid=SeriesUID.derived("messages", report.series.uid),
            series_description="HL7 ORU^R01",
            content=content.encode(),
        )
        return (made,)


def message(report: Report, evidence: Evidence, uid: InstanceUID) -> str:
    """The segments, each ended by a carriage return."""
    status = _PRELIMINARY if report.version == 1 else _CORRECTED
    made = evidence.local(report.fixed_at).strftime("%Y%m%d%H%M%S%z")
    segments = [
        ("MSH", "^~\\&", SENDING_APPLICATION, "", "", "", made, "", "ORU^R01^ORU_R01", control_id(uid), "P", "2.5.1",
         "", "", "", "", "", CHARACTER_SET),
        _pid(evidence),
        ("ORC", "RE", "", f"{report.job_id}^{SENDING_APPLICATION}"),
        _obr(report, evidence, made, status),
    ]  # fmt: skip
    segments += [
        ("OBX", str(number), kind, _coded(code), "", value, unit, "", "", "", "", status, "", "", made)
        for number, (kind, code, value, unit) in enumerate(_observations(report), 1)
    ]
    return "".join("|".join(fields).rstrip("|") + "\r" for fields in segments)


def take_back(message: str, sent: InstanceUID, series: SeriesUID, reason: str, at: datetime) -> ReportObject:
    """The message that takes back one that was sent: every observation is marked as wrong, and a last one says why.

    W in OBX-11 (HL7 table 0085) is "post original as wrong". ``sent``: what the outbox calls the message; ``series``:
    what it calls its series; ``at``: when it was withdrawn, with its offset.
    """
    uid = InstanceUID.derived("message withdrawn", sent)
    made = at.strftime("%Y%m%d%H%M%S%z")
    segments = [segment.split("|") for segment in message.rstrip("\r").split("\r")]
    for fields in segments:
        # MSH-1 is the separator itself: the number of a field is one more than its place.
        changes = {"MSH": {6: made, 9: control_id(uid)}, "OBR": {22: made, 25: _CORRECTED}, "OBX": {11: _WRONG}}
        for place, value in changes.get(fields[0], {}).items():
            fields[place] = value
    number = str(1 + sum(fields[0] == "OBX" for fields in segments))
    words = escaped(f"AI RESULT WITHDRAWN. {reason}")
    segments.append(["OBX", number, "TX", _coded(COMMENT), "", words, *[""] * 5, _CORRECTED, "", "", made])
    return ReportObject(
        kind=ObjectKind.MESSAGE_WITHDRAWN,
        uid=uid,
        sop_class_uid="",
        series_uid=series,
        series_description="HL7 ORU^R01, withdrawn",
        content="".join("|".join(fields) + "\r" for fields in segments).encode(),
    )


def control_id(uid: InstanceUID) -> str:
    """Message Control ID (MSH-10), at most 20 characters: the same for the same message."""
    return uid.removeprefix("2.25.")[:20]


def escaped(text: str) -> str:
    """``text`` with the separators as escape sequences (HL7 v2.5.1 section 2.7), on one line."""
    return "".join(_ESCAPES.get(letter, letter) for letter in text)


def _pid(evidence: Evidence) -> tuple[str, ...]:
    issuer = escaped(evidence.text("IssuerOfPatientID"))
    patient = f"{escaped(evidence.text('PatientID'))}^^^{issuer}" + ("^MR" if issuer else "")
    born, sex = escaped(evidence.text("PatientBirthDate")), escaped(evidence.text("PatientSex"))
    return ("PID", "1", "", patient.rstrip("^"), "", _person(evidence.text("PatientName")), "", born, sex)


def _person(name: str) -> str:
    """XPN from PN (PS3.5 section 6.2.1.1): prefix and suffix change places, a repetition a group."""
    groups = []
    for group, letter in zip(name.split("="), _NAME_GROUPS, strict=False):
        parts = [escaped(part.strip()) for part in group.split("^")]
        if any(parts):
            family, given, middle, prefix, suffix = (*parts, *[""] * _NAME_PARTS)[:_NAME_PARTS]
            groups.append(f"{family}^{given}^{middle}^{suffix}^{prefix}^^L^{letter}")
    return "~".join(groups)


def _obr(report: Report, evidence: Evidence, made: str, status: str) -> tuple[str, ...]:
    fields = [""] * 26
    fields[0], fields[1] = "OBR", "1"
    fields[3] = f"{report.job_id}^{SENDING_APPLICATION}"
    fields[4] = _coded(CT_UNSPECIFIED_BODY_REGION)
    fields[7] = escaped(evidence.text("StudyDate") + evidence.text("StudyTime").partition(".")[0])
    fields[18] = escaped(evidence.text("AccessionNumber"))  # Placer Field 1, as IHE's radiology profiles have it
    fields[22] = made
    fields[24] = "CT"
    fields[25] = status
    return tuple(fields)


def _observations(report: Report) -> Iterator[tuple[str, Code, str, str]]:
    """Value type, what, value and unit of each OBX."""
    prediction, algorithm = report.prediction, report.prediction.algorithm
    yield "ST", _STUDY, report.series.study_uid, ""
    concept, value = CONCLUSIONS[prediction.conclusion]
    yield "CWE", concept, _coded(value), ""
    for score in prediction.scores:
        yield "NM", QUANTITIES[score.quantity], str(percent(score.probability)), _coded(PERCENT)
    if prediction.threshold is not None:
        yield "NM", DECISION_THRESHOLD, str(percent(prediction.threshold)), _coded(PERCENT)
    if prediction.nomogram:
        for quantity, interval in prediction.nomogram.probabilities:
            exact, least, most = NOMOGRAM_QUANTITIES[quantity]
            ends = [(exact, interval.low)] if interval.is_exact else [(least, interval.low), (most, interval.high)]
            for code, probability in ends:
                yield "NM", code, str(percent(probability)), _coded(PERCENT)
    yield "NM", VOLUME, f"{report.roi.volume_ml:.1f}", _coded(MILLILITRE)
    yield "ST", _ALGORITHM_NAME, escaped(algorithm.name), ""
    yield "ST", _ALGORITHM_VERSION, escaped(f"{algorithm.version} {algorithm.digest}"), ""
    yield "TX", SUMMARY, escaped(headline(prediction)), ""
    yield "TX", COMMENT, escaped(statement(report)), ""
    for line in warnings(report):
        yield "TX", NOTE, escaped(line), ""


def _coded(code: Code) -> str:
    scheme = _SCHEMES.get(code.scheme, code.scheme)
    return f"{escaped(code.value)}^{escaped(code.meaning)}^{escaped(scheme)}"
