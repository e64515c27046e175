"""One analysis from claim to committed results: runs the steps in order, times them, and writes down how each ended."""

import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from node import log
from node.clinical.structured_report import intake
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.clinical import ClinicalRecord
from node.domain.imaging import Roi, Series, Volume
from node.domain.lifecycle import JobState, Step
from node.domain.prediction import Prediction
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import ObjectKind, Report
from node.domain.stacking import Stack
from node.errors import CeladonError, NoRoom, Quarantined, Refused, Retryable, StorageFailed, of_disk
from node.settings import Mode
from node.store.jobs import STRIKES, Claim, StepRecord
from node.triage.contract import is_annotation, is_document
from node.triage.rules import choose
from workers.bootstrap import Workshop
from workers.claims import LeaseLost, held
from workers.steps.assemble import assemble
from workers.steps.compose import compose
from workers.steps.gather_clinical import gather_clinical
from workers.steps.link_annotation import link_annotation
from workers.steps.locate_roi import locate_roi, read_annotations
from workers.steps.predict import choose_predictor, predict
from workers.steps.triage import triage
from workers.stored import require_intact

Details = dict[str, str | int | float]

RETRY_AFTER: Final = timedelta(seconds=10)
PATIENCE: Final = 6
"""By how much longer the next attempt waits for a disk, and the first for room on it."""


class _Awaiting(Exception):
    """Required values are missing and may still come."""

    def __init__(self, left: timedelta, reason: Reason) -> None:
        super().__init__(str(reason))
        self.left = left
        self.reason = reason


class Analysis:
    """Runs claimed jobs, one after the other, with one set of models."""

    def __init__(self, workshop: Workshop, worker: str) -> None:
        """``worker``: who the audit trail says did it."""
        self._shop = workshop
        self._jobs = workshop.stores.jobs
        self._worker = worker

    def run(self, claim: Claim) -> None:
        """Bring one job to an end, whatever happens: a verdict, a reason, or back to the queue."""
        log.get().info(log.JOB_CLAIMED, job_id=claim.job_id, series_uid=claim.series_uid, worker=self._worker)
        try:
            with held(claim, self._jobs):
                self._analyse(claim)
        except LeaseLost:
            log.get().warning(log.JOB_FENCED, job_id=claim.job_id)
        except _Awaiting as exc:
            self._put_off(claim, exc)
        except Refused as exc:
            self._finish(claim, JobState.NOT_ANALYSED, exc.reason)
        except Quarantined as exc:
            self._finish(claim, JobState.QUARANTINED, exc.reason)
        except Retryable as exc:
            self._put_back(claim, exc)
        except CeladonError as exc:
            # Our own messages name settings and files, never a patient's data.
            self._finish(claim, JobState.QUARANTINED, Reason(ReasonCode.INTERNAL, str(exc)))
        except OSError as exc:
            if (passing := of_disk(exc, "a file cannot be used now")) is not None:
                self._put_back(claim, passing)
            else:
                self._finish(claim, JobState.QUARANTINED, Reason(ReasonCode.INTERNAL, _where(exc)))
        except Exception as exc:  # noqa: BLE001 — the worker must live, and the job must end in a state that is seen
            self._finish(claim, JobState.QUARANTINED, Reason(ReasonCode.INTERNAL, _where(exc)))

    def _analyse(self, claim: Claim) -> None:
        inbox = self._shop.stores.inbox
        series = inbox.series(claim.series_uid)
        if inbox.is_in_conflict(claim.series_uid):
            raise Quarantined(ReasonCode.PATIENT_CONFLICT)
        if inbox.is_pruned(claim.series_uid):
            raise Quarantined(ReasonCode.PRUNED)
        if is_annotation(series):
            self._link(claim, series)
            return
        if is_document(series):
            self._read_document(claim, series)
            return
        stack = self._triage(claim, series)
        ordered = Series(series.uid, series.study_uid, series.patient, series.modality, stack.instances)
        volume = self._assemble(claim, stack)
        roi = self._locate(claim, ordered, volume)
        clinical = self._gather(claim, ordered, roi)
        name, prediction = self._predict(claim, ordered, volume, roi, clinical)
        report = self._report(claim, ordered, volume, roi, clinical, prediction)
        self._compose_and_commit(claim, report, name)

    def _link(self, claim: Claim, contours: Series) -> None:
        inbox = self._shop.stores.inbox
        with self._step(claim, Step.LOCATE_ROI) as details:
            require_intact(contours.instances)
            here = link_annotation(contours, self._shop.decoder, inbox.holds, inbox.series)
            details["count"] = len(here)
        for uid in here:
            self._jobs.reopen_for_annotation(uid)
        reason = Reason(ReasonCode.ANNOTATION_LINKED, f"{len(here)} series")
        event = self._event(claim, AuditAction.ANNOTATION_LINKED, AuditOutcome.SUCCESS, {"count": len(here)})
        self._require(self._jobs.finish(claim, JobState.DONE, reason, event))

    def _read_document(self, claim: Claim, series: Series) -> None:
        """Keep what structured reports have measured; series of the patient that gain from it are done again."""
        count = 0
        with self._step(claim, Step.GATHER_CLINICAL) as details:
            require_intact(series.instances)
            for instance in series.instances:
                if instance.path is None:
                    continue
                found = intake(self._shop.decoder.read_measurements(instance.path), datetime.now(UTC))
                count += len(found.values)
                if found.values:
                    self._shop.stores.clinical.accept(found)
            details["count"] = count
        if not count:
            self._triage(claim, series)  # says why it is not analysed
        reason = Reason(ReasonCode.MEASUREMENTS_READ, f"{count} values")
        event = self._event(claim, AuditAction.DOCUMENT_READ, AuditOutcome.SUCCESS, {"count": count})
        self._require(self._jobs.finish(claim, JobState.DONE, reason, event))

    def _triage(self, claim: Claim, series: Series) -> Stack:
        with self._step(claim, Step.TRIAGE, AuditAction.SERIES_TRIAGED) as details:
            stack = triage(series)
            details["slices"] = len(stack.instances)
            details["spacing_mm"] = round(stack.geometry.spacing_xyz_mm[2], 3)
        return stack

    def _assemble(self, claim: Claim, stack: Stack) -> Volume:
        with self._step(claim, Step.ASSEMBLE, AuditAction.SERIES_ASSEMBLED) as details:
            require_intact(stack.instances)
            volume = assemble(stack, self._shop.decoder)
            details["shape"] = "x".join(str(size) for size in volume.geometry.shape_zyx)
            details["transfer_syntax"] = stack.instances[0].transfer_syntax_uid
        return volume

    def _locate(self, claim: Claim, series: Series, volume: Volume) -> Roi:
        with self._step(claim, Step.LOCATE_ROI, AuditAction.ROI_LOCATED) as details:
            contours = self._shop.stores.inbox.annotations(series.uid)
            require_intact(contours)
            annotations = read_annotations(contours, series, self._shop.decoder)
            roi = locate_roi(volume, annotations, self._shop.segmenters)
            details |= {
                "source": roi.source,
                "instance": roi.source_instance_uid or "",
                "anatomy": roi.anatomy.key,
                "volume_ml": round(roi.volume_ml, 3),
                "others": len(roi.others),
            }
        return roi

    def _gather(self, claim: Claim, series: Series, roi: Roi) -> ClinicalRecord:
        with self._step(claim, Step.GATHER_CLINICAL, AuditAction.CLINICAL_GATHERED) as details:
            record = gather_clinical(series, self._shop.sources)
            details.update(_gathered(record))
        self._await_clinical(claim, series, roi, record)
        return record

    def _await_clinical(self, claim: Claim, series: Series, roi: Roi, record: ClinicalRecord) -> None:
        """Stop here while required values are missing and there is still time; they wake the job when they come."""
        wanted = self._shop.settings.clinical
        try:
            rule = choose(self._shop.settings.rules, series, roi)
        except Refused:
            return  # the next step says so
        required = wanted.required if rule.required is None else rule.required
        minutes = wanted.wait_minutes if rule.wait_minutes is None else rule.wait_minutes
        missing = [variable.value for variable in required if record.get(variable) is None]
        if not missing or claim.completed_at is None:
            return
        left = claim.completed_at + timedelta(minutes=minutes) - datetime.now(UTC)
        if left > timedelta(0):
            raise _Awaiting(left, Reason(ReasonCode.AWAITING_CLINICAL, " ".join(missing)))

    def _predict(
        self, claim: Claim, series: Series, volume: Volume, roi: Roi, clinical: ClinicalRecord
    ) -> tuple[str, Prediction]:
        with self._step(claim, Step.PREDICT, AuditAction.PREDICTED) as details:
            name, predictor = choose_predictor(self._shop.settings.rules, self._shop.predictors, series, roi)
            prediction = predict(predictor, volume, roi, clinical)
            details |= {
                "predictor": name,
                "digest": prediction.algorithm.digest,
                "training_status": prediction.algorithm.status.value,
                "disclaimer": prediction.algorithm.disclaimer,
                "conclusion": prediction.conclusion.name,
            }
            details |= {score.quantity.name: round(score.probability, 6) for score in prediction.scores}
        return name, prediction

    def _report(
        self, claim: Claim, series: Series, volume: Volume, roi: Roi, clinical: ClinicalRecord, prediction: Prediction
    ) -> Report:
        return Report(
            job_id=claim.job_id,
            version=claim.version,
            manifest=claim.manifest,
            # In the site's zone: its offset goes into the objects, where it speaks for the study's own times too.
            fixed_at=claim.fixed_at.astimezone(),
            node_version=self._shop.node_version,
            series=series,
            volume=volume,
            roi=roi,
            clinical=clinical,
            prediction=prediction,
            predecessor_paths=self._predecessors(claim),
        )

    def _predecessors(self, claim: Claim) -> tuple[Path, ...]:
        if claim.supersedes is None:
            return ()
        made = self._shop.stores.results.of(claim.supersedes)
        return tuple(record.path for record in made if record.kind is ObjectKind.STRUCTURED_REPORT)

    def _compose_and_commit(self, claim: Claim, report: Report, predictor: str) -> None:
        self._enter(claim, Step.COMPOSE)
        started, clock = datetime.now(UTC), time.perf_counter()
        objects = compose(report, self._shop.writers)
        details: Details = {"objects": len(objects), "bytes": sum(len(made.content) for made in objects)}
        destinations = () if self._shop.settings.mode is Mode.SILENT else tuple(self._shop.destinations)
        record = StepRecord(Step.COMPOSE, started, time.perf_counter() - clock, AuditOutcome.SUCCESS, details)
        committed = self._shop.stores.results.commit(
            claim,
            objects,
            predictor=predictor,
            destinations=destinations,
            without={name: pacs.kinds_without for name, pacs in self._shop.settings.pacs.items()},
            step=record,
            event=self._event(claim, AuditAction.COMPOSED, AuditOutcome.SUCCESS, details),
        )
        self._require(committed)
        log.get().info(
            log.JOB_COMMITTED,
            job_id=claim.job_id,
            count=len(objects),
            predictor=predictor,
            training_status=report.prediction.algorithm.status.value,
            disclaimer=report.prediction.algorithm.disclaimer,
        )

    @contextmanager
    def _step(self, claim: Claim, step: Step, action: AuditAction | None = None) -> Iterator[Details]:
        """Run a step: say that it begins, time it, and write down how it ended; the block fills ``details``.

        ``action``: what the audit trail calls it, unless what follows the step puts it there.
        """
        self._enter(claim, step)
        details: Details = {}
        started, clock = datetime.now(UTC), time.perf_counter()
        try:
            yield details
        except (Refused, Quarantined) as exc:
            details["reason"] = exc.reason.code.name
            seconds = time.perf_counter() - clock
            self._jobs.record_step(claim, StepRecord(step, started, seconds, AuditOutcome.REFUSED, details))
            raise
        seconds = time.perf_counter() - clock
        record = StepRecord(step, started, seconds, AuditOutcome.SUCCESS, details)
        events = (self._event(claim, action, AuditOutcome.SUCCESS, details),) if action else ()
        self._jobs.record_step(claim, record, *events)
        log.get().info(log.STEP_DONE, job_id=claim.job_id, step=step.value, seconds=round(seconds, 3))

    def _enter(self, claim: Claim, step: Step) -> None:
        self._require(self._jobs.enter(claim, step))

    @staticmethod
    def _require(still_ours: bool) -> None:
        if not still_ours:
            raise LeaseLost

    def _finish(self, claim: Claim, state: JobState, reason: Reason) -> None:
        refused = state is JobState.NOT_ANALYSED
        action = AuditAction.SERIES_REFUSED if refused else AuditAction.SERIES_QUARANTINED
        outcome = AuditOutcome.REFUSED if refused else AuditOutcome.FAILURE
        event = self._event(claim, action, outcome, {"detail": reason.detail}, reason.code)
        message = log.JOB_REFUSED if refused else log.JOB_QUARANTINED
        try:
            if not self._jobs.finish(claim, state, reason, event):
                message = log.JOB_FENCED
        except Retryable as exc:
            self._leave(claim, exc)
            return
        log.get().warning(message, job_id=claim.job_id, reason=reason.code.name, detail=reason.detail)

    def _put_back(self, claim: Claim, error: Retryable) -> None:
        """Have a job wait for what it needs: room and a database for as long as it takes, a failing disk thrice.

        An operator who makes room finds the work go on by itself. A disk that fails again and again is either gone
        for good or has lost this one file: then nothing but a person can mend it.
        """
        if isinstance(error, StorageFailed):
            reason = Reason(ReasonCode.STORAGE_FAILED, str(error))
            if claim.strikes + 1 >= STRIKES:
                self._finish(claim, JobState.QUARANTINED, reason)
            else:
                self._release(claim, reason, RETRY_AFTER * PATIENCE**claim.strikes, strikes=1)
        elif isinstance(error, NoRoom):
            # Not soon: the whole analysis will be done again.
            self._release(claim, Reason(ReasonCode.NO_ROOM, str(error)), RETRY_AFTER * PATIENCE)
        else:
            self._release(claim, Reason(ReasonCode.NOT_NOW, str(error)), RETRY_AFTER)

    def _release(self, claim: Claim, reason: Reason, delay: timedelta, *, strikes: int = 0) -> None:
        log.get().warning(log.JOB_RELEASED, job_id=claim.job_id, reason=reason.code.name, error=reason.detail)
        details: Details = {"detail": reason.detail}
        event = self._event(claim, AuditAction.JOB_RELEASED, AuditOutcome.FAILURE, details, reason.code)
        try:
            self._jobs.release(claim, delay, event, reason, strikes=strikes)
        except Retryable as exc:
            self._leave(claim, exc)

    def _put_off(self, claim: Claim, waiting: _Awaiting) -> None:
        reason = waiting.reason
        log.get().info(
            log.JOB_AWAITING, job_id=claim.job_id, detail=reason.detail, seconds=round(waiting.left.total_seconds())
        )
        event = self._event(
            claim, AuditAction.JOB_RELEASED, AuditOutcome.SUCCESS, {"detail": reason.detail}, reason.code
        )
        try:
            self._jobs.release(claim, waiting.left, event, reason)
        except Retryable as exc:
            self._leave(claim, exc)

    @staticmethod
    def _leave(claim: Claim, error: Retryable) -> None:
        """Write nothing: the lease will run out and another claim take over; nothing is lost but half a minute."""
        log.get().error(log.POLL_FAILED, job_id=claim.job_id, error=str(error))

    def _event(
        self,
        claim: Claim,
        action: AuditAction,
        outcome: AuditOutcome,
        details: Details,
        reason: ReasonCode | None = None,
    ) -> AuditEvent:
        return AuditEvent(
            at=datetime.now(UTC),
            actor=self._worker,
            action=action,
            outcome=outcome,
            study_uid=claim.study_uid,
            series_uid=claim.series_uid,
            job_id=claim.job_id,
            reason=reason,
            details=details,
        )


def _gathered(record: ClinicalRecord) -> Details:
    """What the step found, in names and codes: never a patient's value."""
    details: Details = {"variables": " ".join(value.variable.value for value in record.values)}
    by_source = Counter(value.source for value in record.values if not value.parts)
    if by_source:
        details["sources"] = ", ".join(f"{name} {count}" for name, count in by_source.items())
    told = {
        "conflicts": [f"{one.used.variable}:{one.used.source}/{one.other.source}" for one in record.conflicts],
        "held": [f"{one.variable}:{one.source}:{one.reason.name}" for one in record.held],
    }
    details |= {name: " ".join(found) for name, found in told.items() if found}
    return details | ({"silent": "; ".join(record.silent)} if record.silent else {})


def _where(error: Exception) -> str:
    """The kind of an error and where it was raised; its message stays out, since it may quote a patient's data."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    place = f" at {Path(last.filename).name}:{last.lineno}" if last else ""
    return f"{type(error).__name__}{place}"
