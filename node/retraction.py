"""Retraction: a person withdraws what was sent of a job, visibly and for the record."""

import getpass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from node.destinations.oru import take_back
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import JobId
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import CITED_KINDS, Notice, NoticeKind, ReportObject
from node.errors import UsageError
from node.reports.registry import NOTICE_WRITERS, resolve_notice
from node.settings import Settings
from node.store.results import ResultRecord, Withdrawal
from node.stores import Stores

LONGEST_REASON: Final = 400
"""Characters: what a reader takes in on one page."""


def retract(stores: Stores, settings: Settings, job: str, *, reason: str, by: str | None = None) -> Withdrawal:
    """Withdraw the results of ``job`` and of the versions that it replaced.

    What was not sent yet is kept back. Wherever anything may have arrived, a rejection note (IHE IOCM) and a notice
    follow, under the patient and study that the results were sent with; messages are taken back by messages.

    Raises:
        UsageError: there is no such job, nothing of it can be withdrawn, or the reason says nothing.
        Retryable: its objects are being delivered, or the disk or database cannot be used now.
        Fatal: the stored report is damaged.
    """
    words, who = _words(reason), (by or "").strip() or getpass.getuser()
    job_id = JobId(job)
    withdrawal = stores.results.withdrawal(job_id)
    at = datetime.now(UTC).replace(microsecond=0).astimezone()
    objects = _composed(stores, withdrawal, words, at) if withdrawal.objects else ()
    messages = _taken_back(stores, withdrawal, words, at)
    details: dict[str, str | int | float] = {
        "by": who,
        "why": words,
        "objects": len(withdrawal.objects),
        "jobs": " ".join(withdrawal.job_ids),
        "destinations": " ".join(withdrawal.destinations),
    }
    event = AuditEvent(
        at=datetime.now(UTC),
        actor=who,
        action=AuditAction.JOB_RETRACTED,
        outcome=AuditOutcome.SUCCESS,
        series_uid=withdrawal.series_uid,
        job_id=job_id,
        reason=ReasonCode.RETRACTED,
        details=details,
    )
    why = Reason(ReasonCode.RETRACTED, words)
    stores.results.retract(withdrawal, (*objects, *messages), why, event, without=settings.kinds_without)
    return withdrawal


def _words(reason: str) -> str:
    words = " ".join(reason.replace("\x00", "").split())
    if not words:
        raise UsageError("--reason: say why, for those who have seen the result")
    if len(words) > LONGEST_REASON:
        raise UsageError(f"--reason: at most {LONGEST_REASON} characters, these are {len(words)}")
    return words


def _composed(stores: Stores, withdrawal: Withdrawal, words: str, at: datetime) -> tuple[ReportObject, ...]:
    reports = _reports(stores, withdrawal)
    stores.blobs.bring(record.path for record in reports)
    if not reports:
        raise UsageError(f"job {withdrawal.job_ids[0]} has no structured report that says whose result it is")
    sent = {one.uid for one in withdrawal.objects}
    notice = Notice(
        kind=NoticeKind.WITHDRAWN,
        job_id=withdrawal.job_ids[0],
        version=withdrawal.version,
        manifest=withdrawal.manifest,
        fixed_at=at,
        node_version=version("celadon"),
        series=stores.inbox.series(withdrawal.series_uid),
        source=reports[0].path,
        reason=words,
        predecessor_paths=tuple(record.path for record in reports if record.uid in sent),
        withdrawn=withdrawal.objects,
    )
    return tuple(made for name in NOTICE_WRITERS for made in resolve_notice(name).write(notice))


def _taken_back(stores: Stores, withdrawal: Withdrawal, words: str, at: datetime) -> tuple[ReportObject, ...]:
    """A message for each one that was sent."""
    made = [record for job in withdrawal.job_ids for record in stores.results.of(job)]
    stores.blobs.bring(record.path for record in made if record.uid in withdrawal.messages)
    return tuple(
        take_back(record.path.read_bytes().decode(), record.uid, record.series_uid, words, at)
        for record in made
        if record.uid in withdrawal.messages
    )


def _reports(stores: Stores, withdrawal: Withdrawal) -> tuple[ResultRecord, ...]:
    """The structured reports, the newest first: kept for ever, and with the patient that the results were sent under.

    The images may be gone by now, and the archive's patient may have been corrected since they came.
    """
    found = [record for job in withdrawal.job_ids for record in stores.results.of(job)]
    return tuple(record for record in found if record.kind in CITED_KINDS)
