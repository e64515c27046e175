"""Read a verdict: what a radiologist has stored in the archive about a result of ours becomes a verdict on it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from node.domain.identifiers import JobId
from node.domain.imaging import PatientIdentity
from node.domain.reasons import ReasonCode
from node.domain.verdict import Verdict, VerdictDocument, VerdictKind
from node.errors import Quarantined, Refused
from node.store.findings import Document
from node.store.worklist import Line

FROM_ARCHIVE: Final = " (archive)"
"""Behind the name of whoever has signed there: it is not the same proof as signing in here."""
_LONGEST_READER: Final = 100
"""Characters: with what stands before and behind it, a name fits into the audit trail's 128."""


def verdict_of(
    document: VerdictDocument,
    now: datetime,
    jobs_of: Callable[[Sequence[str]], tuple[JobId, ...]],
    line_of: Callable[[str], Line | None],
    finding_of: Callable[[str], Document | None],
    patient_of: Callable[[Line], PatientIdentity],
) -> Verdict:
    """The verdict that ``document`` gives.

    Raises:
        Refused: it is not final, names nobody or several people, says several things, is about none or several of our
            results, or is not complete.
        Quarantined: it is about a result of another patient or study.
    """
    if not document.is_final:
        raise _refused("it is not final")
    if len(document.observers) != 1:
        raise _refused(f"it names {len(document.observers)} people as its observer")
    if len(document.verdicts) != 1:
        raise _refused("it holds several verdicts")
    jobs = jobs_of(document.references)
    if len(jobs) != 1:
        raise _refused(f"it is about {len(jobs)} results of this node")
    line, finding = line_of(jobs[0]), finding_of(jobs[0])
    if line is None or finding is None:
        raise _refused("the result cannot be judged: there is none, or it is blinded")
    if line.study_uid != document.study_uid or patient_of(line).key() != document.patient.key():
        raise Quarantined(ReasonCode.PATIENT_CONFLICT, "the verdict is about a result of another patient or study")
    verdict = Verdict(
        job_id=jobs[0],
        at=now,
        reader=_person(document.observers[0]) + FROM_ARCHIVE,
        kind=document.verdicts[0],
        own_class=_own_class(document),
        reason=document.reason.strip(),
        predictor=line.predictor,
        digest=finding["algorithm"]["digest"],
        conclusion=finding["conclusion"]["code"],
        source_uid=document.instance_uid,
    )
    if fault := verdict.fault(tuple(one["code"] for one in finding["classes"])):
        raise _refused(fault)
    return verdict


def _own_class(document: VerdictDocument) -> str:
    if document.verdicts[0] is not VerdictKind.DISAGREE:
        return ""
    if len(document.own_classes) != 1:
        raise _refused(f"it names {len(document.own_classes)} classes as its own")
    return document.own_classes[0]


def _person(name: str) -> str:
    """A name as a person reads it: the first representation, its components apart (PS3.5 section 6.2.1)."""
    words = " ".join(filter(None, name.partition("=")[0].replace("^", " ").split()))
    return "".join(one for one in words if one.isprintable())[:_LONGEST_READER]


def _refused(why: str) -> Refused:
    return Refused(ReasonCode.VERDICT_UNUSABLE, why)
