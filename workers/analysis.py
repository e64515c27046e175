"""One analysis from claim to committed results: runs the steps in order, times them, and writes down how each ended."""

import time
import traceback
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from node import log
from node.clinical.structured_report import intake
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.clinical import ClinicalRecord
from node.domain.identifiers import JobId, SeriesUID
from node.domain.imaging import Roi, Series, Volume
from node.domain.lifecycle import JobState, Queue, Step
from node.domain.phase import PhaseVerdict
from node.domain.prediction import Prediction
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import CITED_KINDS, Report, ReportObject
from node.domain.stacking import Stack
from node.errors import CeladonError, NoRoom, Quarantined, Refused, Retryable, StorageFailed, StoreAway, of_disk
from node.reports.case_document import case_document
from node.settings import Mode
from node.store.counters import Counted
from node.store.jobs import FIRST_TOKEN, STRIKES, Claim, EndedStep, Sibling, StepRecord, struck_out
from node.triage import contract
from node.triage.requests import wants_notice
from node.triage.rules import choose
from node.triage.selection import ABOUT_THE_PATIENT, candidate
from workers.bootstrap import Workshop
from workers.claims import LeaseLost, held
from workers.progress import Progress, Untold
from workers.steps.assemble import assemble
from workers.steps.choose_series import Neighbour, choose_series
from workers.steps.compose import compose
from workers.steps.correct import corrected
from workers.steps.find_lesion import find_lesion
from workers.steps.gather_clinical import gather_clinical
from workers.steps.judge_phase import judge_phase
from workers.steps.link_annotation import link_annotation
from workers.steps.locate_roi import read_annotations, usable
from workers.steps.predict import choose_predictor, predict
from workers.steps.read_verdict import verdict_of
from workers.steps.say_why import say_why
from workers.steps.triage import triage
from workers.stored import bring_intact, stored_file

Details = dict[str, str | int | float]

RETRY_AFTER: Final = timedelta(seconds=10)
PATIENCE: Final = 6
"""By how much longer the next attempt waits for a disk, and the first for room on it."""
STUDY_PATIENCE: Final = timedelta(minutes=5)
"""How long after it is complete a series waits at most for others of its study that are coming in."""


class _Awaiting(Exception):
    """Clinical values are missing, or other series of the study, and may still come."""

    def __init__(self, left: timedelta, reason: Reason) -> None:
        super().__init__(str(reason))
        self.left = left
        self.reason = reason


class _StandsBack(Exception):
    """A better series of the study is analysed."""

    def __init__(self, instead: Sibling, reason: Reason) -> None:
        super().__init__(str(reason))
        self.instead = instead
        self.reason = reason


class Analysis:
    """Runs claimed jobs, one after the other, with one set of models."""

    def __init__(
        self,
        workshop: Workshop,
        worker: str,
        queues: Collection[Queue] = tuple(Queue),
        progress: Progress = Untold(),  # noqa: B008 — it has no state
    ) -> None:
        """``worker``: who the audit trail says did it; ``queues``: what is done here, the rest is handed over."""
        self._queues, self._progress = queues, progress
        self._shop = workshop
        self._jobs = workshop.stores.jobs
        self._worker = worker
        self._ended: list[EndedStep] = []
        """Steps that are written down with the beginning of the next one."""

    def run(self, claim: Claim) -> None:
        """Bring one job to an end, whatever happens: a verdict, a reason, or back to the queue."""
        log.get().info(log.JOB_CLAIMED, job_id=claim.job_id, series_uid=claim.series_uid, worker=self._worker)
        self._progress.at(claim)
        try:
            self._run(claim)
        finally:
            self._progress.idle()

    def _run(self, claim: Claim) -> None:
        self._ended.clear()
        try:
            with held(claim, self._jobs):
                try:
                    self._analyse(claim)
                finally:
                    self._write_down(claim)
        except LeaseLost:
            self._shop.stores.counters.add(Counted.LEASE_LOST)
            log.get().warning(log.JOB_FENCED, job_id=claim.job_id)
        except (_Awaiting, _StandsBack) as exc:
            self._step_aside(claim, exc)
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
        if claim.is_struck_out:
            reason = struck_out(claim.last_step, claim.last_error)
            raise Quarantined(reason.code, reason.detail)
        inbox = self._shop.stores.inbox
        # Read once: the claim knows it, and nothing is committed once an archive has said otherwise.
        correction = self._shop.stores.identities.of(claim.study_uid)
        series = corrected(inbox.series(claim.series_uid), correction)
        if inbox.is_in_conflict(claim.series_uid):
            raise Quarantined(ReasonCode.PATIENT_CONFLICT)
        if inbox.is_pruned(claim.series_uid):
            raise Quarantined(ReasonCode.PRUNED)
        if contract.is_annotation(series):
            self._link(claim, series)
            return
        if contract.is_document(series):
            self._read_document(claim, series)
            return
        stack = self._triage(claim, series)
        self._choose(claim, series, stack, waits=True)
        if Queue.GPU not in self._queues:
            self._hand_over(claim)
            return
        ordered = Series(series.uid, series.study_uid, series.patient, series.modality, stack.instances)
        volume = self._assemble(claim, stack)
        roi, phase = self._locate(claim, ordered, volume)
        clinical = self._gather(claim, ordered, roi)
        mode, name, prediction = self._predict(claim, ordered, volume, roi, clinical)
        # Again: a better series may have come in while this one was analysed.
        replaces = self._choose(claim, series, stack, waits=False)
        report = Report(
            job_id=claim.job_id,
            version=claim.version,
            manifest=claim.manifest,
            # In the site's zone: its offset goes into the objects, where it speaks for the study's own times too.
            fixed_at=claim.fixed_at.astimezone(),
            node_version=self._shop.node_version,
            series=ordered,
            volume=volume,
            roi=roi,
            clinical=clinical,
            prediction=prediction,
            correction=correction,
            phase=phase,
            remarks=contract.notes(ordered, stack),
            predecessor_paths=self._predecessors(claim, replaces),
        )
        self._compose_and_commit(claim, report, name, mode, replaces)

    def _hand_over(self, claim: Claim) -> None:
        """Leave a series that the headers speak for to those that have the models: they begin anew, which is quick."""
        self._write_down(claim)
        self._require(self._jobs.hand_over(claim, Queue.GPU))
        log.get().info(log.JOB_HANDED_OVER, job_id=claim.job_id, detail=Queue.GPU.value)

    def _series(self, uid: SeriesUID) -> Series:
        """A series of the patient whom the archive has it filed under."""
        series = self._shop.stores.inbox.series(uid)
        return corrected(series, self._shop.stores.identities.of(series.study_uid))

    def _link(self, claim: Claim, contours: Series) -> None:
        inbox = self._shop.stores.inbox
        with self._step(claim, Step.LOCATE_ROI) as details:
            bring_intact(self._shop.stores.blobs, contours.instances)
            here = link_annotation(contours, self._shop.decoder, inbox.holds, self._series)
            details["count"] = len(here)
        self._write_down(claim)
        for uid in here:
            self._jobs.reopen_for_annotation(uid)
        reason = Reason(ReasonCode.ANNOTATION_LINKED, f"{len(here)} series")
        event = self._event(claim, AuditAction.ANNOTATION_LINKED, AuditOutcome.SUCCESS, {"count": len(here)})
        self._require(self._jobs.finish(claim, JobState.DONE, reason, event))

    def _read_document(self, claim: Claim, series: Series) -> None:
        """Keep what documents have measured, and what readers have said in them of our results.

        Series of the patient that gain from a measurement are done again. One document that cannot be used keeps no
        other from being read: a preliminary one often stands beside the final one in the same series.
        """
        count = verdicts = 0
        unusable: list[Refused] = []
        with self._step(claim, Step.GATHER_CLINICAL) as details:
            bring_intact(self._shop.stores.blobs, series.instances)
            for instance in series.instances:
                try:
                    path = stored_file(instance)
                    count += self._keep_measurements(path)
                    verdicts += self._keep_verdict(path)
                except Refused as exc:
                    unusable.append(exc)
            details |= {"count": count, "verdicts": verdicts, "unusable": len(unusable)}
            if unusable and not verdicts:
                raise unusable[0]
        self._write_down(claim)
        if not count and not verdicts:
            self._triage(claim, series)  # says why it is not analysed
        reason = Reason(ReasonCode.MEASUREMENTS_READ, f"{count} values")
        if verdicts:
            without = f"; {len(unusable)} not used, the first: {unusable[0].reason}" if unusable else ""
            reason = Reason(ReasonCode.VERDICT_READ, f"{verdicts} verdicts, {count} values{without}")
        event = self._event(claim, AuditAction.DOCUMENT_READ, AuditOutcome.SUCCESS, {"count": count})
        self._require(self._jobs.finish(claim, JobState.DONE, reason, event))

    def _keep_measurements(self, path: Path) -> int:
        """How many values the document has given."""
        found = intake(self._shop.decoder.read_measurements(path), datetime.now(UTC))
        if found.values:
            self._shop.stores.clinical.accept(found)
        return len(found.values)

    def _keep_verdict(self, path: Path) -> bool:
        document = self._shop.decoder.read_verdict(path)
        if document is None:
            return False
        stores = self._shop.stores
        verdict = verdict_of(
            document,
            datetime.now(UTC),
            stores.results.jobs_of,
            stores.worklist.line,
            stores.findings.of,
            lambda line: self._series(SeriesUID(line.series_uid)).patient,
        )
        stores.verdicts.add(verdict)
        return True

    def _triage(self, claim: Claim, series: Series) -> Stack:
        with self._step(claim, Step.TRIAGE, AuditAction.SERIES_TRIAGED) as details:
            stack = triage(series)
            details["slices"] = len(stack.instances)
            details["spacing_mm"] = round(stack.geometry.spacing_xyz_mm[2], 3)
        return stack

    def _choose(self, claim: Claim, series: Series, stack: Stack, *, waits: bool) -> tuple[JobId, ...]:
        """The jobs that this one replaces; stops here when another series of the study is analysed instead.

        ``waits``: also when one that still comes in may turn out to be better.
        """
        inbox = self._shop.stores.inbox
        siblings = self._jobs.siblings(claim.series_uid, series.modality)
        if not siblings:
            return ()
        neighbours = [
            Neighbour(job, found := inbox.series(job.series_uid), self._has_contour(found)) for job in siblings
        ]
        begun = claim.completed_at or claim.fixed_at
        left = begun + STUDY_PATIENCE - datetime.now(UTC)
        mine = candidate(series, stack, has_contour=self._has_contour(series))
        choice = choose_series(mine, neighbours, is_patient=waits and left > timedelta(0))
        if choice.instead and choice.reason:
            raise _StandsBack(choice.instead, choice.reason)
        if choice.awaited:
            awaited = ", ".join(job.series_uid for job in choice.awaited)
            raise _Awaiting(left, Reason(ReasonCode.AWAITING_SERIES, f"series {awaited}"))
        return tuple(job.job_id for job in choice.replaces)

    def _has_contour(self, series: Series) -> bool:
        return bool(usable(self._shop.stores.inbox.annotations(series.uid), series))

    def _assemble(self, claim: Claim, stack: Stack) -> Volume:
        with self._step(claim, Step.ASSEMBLE, AuditAction.SERIES_ASSEMBLED) as details:
            bring_intact(self._shop.stores.blobs, stack.instances)
            volume = assemble(stack, self._shop.decoder)
            details["shape"] = "x".join(str(size) for size in volume.geometry.shape_zyx)
            details["transfer_syntax"] = stack.instances[0].transfer_syntax_uid
        return volume

    def _locate(self, claim: Claim, series: Series, volume: Volume) -> tuple[Roi, PhaseVerdict]:
        with self._step(claim, Step.LOCATE_ROI, AuditAction.ROI_LOCATED) as details:
            contours = self._shop.stores.inbox.annotations(series.uid)
            bring_intact(self._shop.stores.blobs, contours)
            annotations = read_annotations(contours, series, self._shop.decoder)
            roi = find_lesion(series, volume, annotations, self._shop.segmenters)
            details |= {
                "source": roi.source,
                "instance": roi.source_instance_uid or "",
                "made_by": roi.made_by,
                "anatomy": roi.anatomy.key,
                "volume_ml": round(roi.volume_ml, 3),
                "others": len(roi.others),
            }
            segmenters = [segmenter for segmenter, _ in self._shop.segmenters]
            verdict = judge_phase(series, volume, roi.means_hu, segmenters)
            details["phase"] = verdict.phase.value
        return roi, verdict

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
    ) -> tuple[Mode, str, Prediction]:
        with self._step(claim, Step.PREDICT, AuditAction.PREDICTED) as details:
            settings = self._shop.settings
            name, predictor = choose_predictor(settings.rules, self._shop.predictors, series, roi)
            mode = settings.mode_of(choose(settings.rules, series, roi))
            prediction = predict(predictor, volume, roi, clinical)
            details |= {
                "predictor": name,
                "digest": prediction.algorithm.digest,
                "training_status": prediction.algorithm.status.value,
                "disclaimer": prediction.algorithm.disclaimer,
                "mode": mode.value,
            }
            # Steps and audit trail are open to all who watch the node: of a blinded result they hold no answer.
            if mode is not Mode.SILENT:
                details["conclusion"] = prediction.conclusion.name
                details |= {score.quantity.name: round(score.probability, 6) for score in prediction.scores}
        return mode, name, prediction

    def _predecessors(self, claim: Claim, replaces: Sequence[JobId] = ()) -> tuple[Path, ...]:
        """The documents that this job's take the place of.

        Of the version before it, of the series that it ``replaces``, and its own earlier notice.
        """
        # A job that is claimed for the first time has said nothing yet.
        own = (claim.job_id,) if claim.token > FIRST_TOKEN else ()
        replaced = [job for job in (claim.supersedes, *replaces, *own) if job is not None]
        made = [record for job in replaced for record in self._shop.stores.results.of(job)]
        cited = tuple(record.path for record in made if record.kind in CITED_KINDS)
        self._shop.stores.blobs.bring(cited)
        return cited

    def _compose_and_commit(
        self, claim: Claim, report: Report, predictor: str, mode: Mode, replaces: Sequence[JobId]
    ) -> None:
        self._enter(claim, Step.COMPOSE)
        started, clock = datetime.now(UTC), time.perf_counter()
        objects = compose(report, self._shop.writers)
        is_silent = mode is Mode.SILENT
        self._require(self._shop.stores.findings.keep(claim, case_document(report), is_blinded=is_silent))
        details: Details = {"objects": len(objects), "bytes": sum(len(made.content) for made in objects)}
        record = StepRecord(Step.COMPOSE, started, time.perf_counter() - clock, AuditOutcome.SUCCESS, details)
        committed = self._shop.stores.results.commit(
            claim,
            objects,
            predictor=predictor,
            destinations=() if is_silent else tuple(self._shop.destinations),
            without=self._shop.settings.kinds_without,
            step=record,
            event=self._event(claim, AuditAction.COMPOSED, AuditOutcome.SUCCESS, details),
            replaces=replaces,
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
        """Run a step: say that it begins, time it, and keep how it ended; the block fills ``details``.

        It is written down with the beginning of the next step, or before the job ends or is given away: a step's end
        and the next one's beginning are one transaction, of which a case has many.
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
            self._ended.append(EndedStep(StepRecord(step, started, seconds, AuditOutcome.REFUSED, details)))
            raise
        seconds = time.perf_counter() - clock
        record = StepRecord(step, started, seconds, AuditOutcome.SUCCESS, details)
        events = (self._event(claim, action, AuditOutcome.SUCCESS, details),) if action else ()
        self._ended.append(EndedStep(record, events))
        log.get().info(log.STEP_DONE, job_id=claim.job_id, step=step.value, seconds=round(seconds, 3))

    def _enter(self, claim: Claim, step: Step) -> None:
        self._progress.at(claim, step)
        is_ours = self._jobs.enter(claim, step, *self._ended)
        self._ended.clear()
        self._require(is_ours)

    def _write_down(self, claim: Claim) -> None:
        """Steps that have ended, where none begins."""
        ended, self._ended = self._ended, []
        for one in ended:
            self._jobs.record_step(claim, one.record, *one.events)

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
            notice, said = self._notice(claim, state, reason)
            ended = self._shop.stores.results.conclude(
                claim,
                state,
                reason,
                notice,
                destinations=self._notified(),
                events=(event, *said),
                without=self._shop.settings.kinds_without,
                makes_way=reason.code not in ABOUT_THE_PATIENT,
            )
            if not ended:
                message = log.JOB_FENCED
        except (NoRoom, StoreAway) as exc:
            self._put_back(claim, exc)
            return
        except Retryable as exc:
            self._leave(claim, exc)
            return
        log.get().warning(message, job_id=claim.job_id, reason=reason.code.name, detail=reason.detail)

    def _notice(
        self, claim: Claim, state: JobState, reason: Reason
    ) -> tuple[tuple[ReportObject, ...], tuple[AuditEvent, ...]]:
        """The notice that says why there is no result, where one is wanted, and what the audit trail says of it.

        A notice that cannot be written keeps no job from ending: the trail says so, and so does the worklist.

        Raises:
            StoreAway: what it cites cannot be had now, and will be.
        """
        try:
            objects = self._say_why(claim, state, reason)
        except StoreAway:
            raise
        except Exception as exc:  # noqa: BLE001 — the job must end in a state that is seen
            log.get().error(log.NOTICE_FAILED, job_id=claim.job_id, error=_where(exc))
            withheld = self._event(claim, AuditAction.NOTICE_WITHHELD, AuditOutcome.FAILURE, {"detail": _where(exc)})
            return (), (withheld,)
        if not objects:
            return (), ()
        composed = self._event(claim, AuditAction.NOTICE_COMPOSED, AuditOutcome.SUCCESS, {"objects": len(objects)})
        return objects, (composed,)

    def _say_why(self, claim: Claim, state: JobState, reason: Reason) -> tuple[ReportObject, ...]:
        inbox, settings = self._shop.stores.inbox, self._shop.settings
        if not self._notified() or not self._shop.notices or inbox.is_in_conflict(claim.series_uid):
            return ()
        series = self._series(claim.series_uid)
        predecessors = self._predecessors(claim)
        marked = contract.is_annotation(series) or bool(usable(inbox.annotations(series.uid), series))
        wanted = wants_notice(
            series,
            reason.code,
            settings.notices,
            tuple(rule for rule in settings.rules if settings.mode_of(rule) is not Mode.SILENT),
            is_marked=marked,
            was_reported=bool(predecessors),
        )
        if not wanted:
            return ()
        self._shop.stores.blobs.bring(one.path for one in series.instances[:1] if one.path is not None)
        return say_why(
            claim,
            series,
            state,
            reason,
            correction=self._shop.stores.identities.of(claim.study_uid),
            predecessors=predecessors,
            node_version=self._shop.node_version,
            writers=self._shop.notices,
        )

    def _notified(self) -> tuple[str, ...]:
        """Where notices go: to nobody while every rule is silent."""
        settings = self._shop.settings
        is_silent = all(settings.mode_of(rule) is Mode.SILENT for rule in settings.rules)
        return () if is_silent or settings.mode is Mode.SILENT else tuple(self._shop.destinations)

    def _step_aside(self, claim: Claim, exc: _Awaiting | _StandsBack) -> None:
        """Leave the way free: for what may still come, or for good."""
        if isinstance(exc, _Awaiting):
            self._put_off(claim, exc)
        else:
            self._stand_back(claim, exc)

    def _stand_back(self, claim: Claim, exc: _StandsBack) -> None:
        """End a series that another one of the study is analysed instead of; nothing is wrong with it."""
        reason = exc.reason
        details: Details = {"detail": reason.detail, "instead": exc.instead.job_id}
        event = self._event(claim, AuditAction.SERIES_REFUSED, AuditOutcome.REFUSED, details, reason.code)
        try:
            if not self._jobs.stand_back(claim, exc.instead, reason, event):
                log.get().warning(log.JOB_FENCED, job_id=claim.job_id)
                return
        except Retryable as again:
            self._leave(claim, again)
            return
        log.get().info(log.JOB_REFUSED, job_id=claim.job_id, reason=reason.code.name, detail=reason.detail)

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
        details: Details = {"detail": reason.detail}
        event = self._event(claim, AuditAction.JOB_RELEASED, AuditOutcome.FAILURE, details, reason.code)
        if self._gave_back(claim, delay, event, reason, strikes=strikes):
            log.get().warning(log.JOB_RELEASED, job_id=claim.job_id, reason=reason.code.name, error=reason.detail)

    def _put_off(self, claim: Claim, waiting: _Awaiting) -> None:
        reason = waiting.reason
        event = self._event(
            claim, AuditAction.JOB_RELEASED, AuditOutcome.SUCCESS, {"detail": reason.detail}, reason.code
        )
        if self._gave_back(claim, waiting.left, event, reason):
            seconds = round(waiting.left.total_seconds())
            log.get().info(log.JOB_AWAITING, job_id=claim.job_id, detail=reason.detail, seconds=seconds)

    def _gave_back(
        self, claim: Claim, delay: timedelta, event: AuditEvent, reason: Reason, *, strikes: int = 0
    ) -> bool:
        """Have a job tried again after ``delay``; False, and said, when it has moved on or nothing can be written."""
        try:
            is_ours = self._jobs.release(claim, delay, event, reason, strikes=strikes)
        except Retryable as exc:
            self._leave(claim, exc)
            return False
        if not is_ours:
            log.get().warning(log.JOB_FENCED, job_id=claim.job_id)
        return is_ours

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
