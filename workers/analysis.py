"""An analysis from claim to committed results: runs the steps of one case in order, or of several side by side."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from node import log
from node.clinical.structured_report import intake
from node.domain.audit import AuditAction, AuditOutcome
from node.domain.clinical import ClinicalRecord
from node.domain.identifiers import JobId, SeriesUID
from node.domain.identity import Correction
from node.domain.imaging import Roi, Series, Volume
from node.domain.lifecycle import JobState, Queue, Step
from node.domain.phase import PhaseVerdict
from node.domain.prediction import Case, Prediction
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import Report
from node.domain.stacking import Stack
from node.errors import Quarantined, Refused, Retryable
from node.reports.case_document import case_document
from node.settings import Mode
from node.store.findings import Found
from node.store.jobs import Claim, EndedStep, StepRecord, struck_out
from node.triage import contract
from node.triage.rules import choose
from node.triage.selection import candidate
from workers.attempt import Attempt, Details
from workers.bootstrap import Workshop
from workers.endings import Awaiting, Endings, StandsBack
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
from workers.steps.predict import Together
from workers.steps.read_verdict import verdict_of
from workers.steps.triage import triage
from workers.stored import bring_intact, predecessors, series_as_filed, stored_file

STUDY_PATIENCE: Final = timedelta(minutes=5)
"""How long after it is complete a series waits at most for others of its study that are coming in."""


def _nobody() -> Claim | None:
    """Nobody else waits."""
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """An attempt that has everything that a predictor is given."""

    attempt: Attempt
    received: Series
    """As it came, of the patient whom the archive has it filed under."""
    stack: Stack
    series: Series
    """Its slices in their order."""
    case: Case
    phase: PhaseVerdict
    correction: Correction


class Analysis:
    """Brings claimed jobs to an end with one set of models: one after the other, or some together."""

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
        self._endings = Endings(workshop)
        self._at_hand: list[Claim] = []
        """Those that would be lost with this process."""

    def run(self, claim: Claim, another: Callable[[], Claim | None] = _nobody) -> None:
        """Bring a job to an end, whatever happens: a verdict, a reason, or back to the queue.

        ``another``: claims one that waits, if there is one. As many as the workshop takes together are examined one
        after the other, predicted together, and reported.
        """
        with ExitStack() as closing:
            closing.callback(self._progress.idle)
            closing.callback(self._at_hand.clear)
            examined = []
            for one in self._side_by_side(claim, another):
                attempt = self._begun(one)
                closing.callback(attempt.close)
                if found := self._examined(attempt):
                    examined.append(found)
            together = Together(
                self._shop.settings.rules, self._shop.predictors, [(one.series, one.case) for one in examined]
            )
            # An urgent one may have been claimed beside others: it does not stand behind them for its report too.
            for case in sorted(examined, key=lambda one: not one.attempt.claim.is_urgent):
                self._reported(case, together)

    def _side_by_side(self, claim: Claim, another: Callable[[], Claim | None]) -> Iterator[Claim]:
        """The claims that are worked on together: none that has cost a worker, and nothing more for an urgent one."""
        found: Claim | None = claim
        for left in range(self._shop.together - 1, -1, -1):
            if found is None:
                return
            yield found
            is_last = not left or found.strikes or found.is_urgent
            found = None if is_last else self._more(another)

    @staticmethod
    def _more(another: Callable[[], Claim | None]) -> Claim | None:
        try:
            return another()
        except Retryable as exc:
            log.get().warning(log.POLL_FAILED, error=str(exc))
            return None

    def _begun(self, claim: Claim) -> Attempt:
        log.get().info(log.JOB_CLAIMED, job_id=claim.job_id, series_uid=claim.series_uid, worker=self._worker)
        self._at_hand.append(claim)
        self._at(claim)
        attempt = Attempt(claim, self._jobs, self._worker, partial(self._at, claim))
        attempt.begin()
        return attempt

    def _at(self, claim: Claim, step: Step | None = None) -> None:
        self._progress.at(claim, step, [other for other in self._at_hand if other is not claim])

    def _examined(self, attempt: Attempt) -> Examined | None:
        """Everything that a predictor is given; None when the attempt has come to an end before."""
        with self._endings.of(attempt):
            if found := self._examine(attempt):
                return found
            attempt.close()
        self._at_hand.remove(attempt.claim)
        return None

    def _reported(self, examined: Examined, together: Together) -> None:
        """Predicted, composed and committed."""
        with self._endings.of(examined.attempt):
            self._report(examined, together)
            examined.attempt.close()
        self._at_hand.remove(examined.attempt.claim)

    def _examine(self, attempt: Attempt) -> Examined | None:
        claim = attempt.claim
        if claim.is_struck_out:
            reason = struck_out(claim.last_step, claim.last_error)
            raise Quarantined(reason.code, reason.detail)
        inbox = self._shop.stores.inbox
        # Read once: the claim knows it, and nothing is committed once an archive has said otherwise.
        correction = self._shop.stores.identities.of(claim.study_uid)
        series = corrected(inbox.series(claim.series_uid), correction)
        if (obstacle := inbox.obstacle(claim.series_uid)) is not None:
            raise Quarantined(obstacle)
        if contract.is_annotation(series):
            self._link(attempt, series)
            return None
        if contract.is_document(series):
            self._read_document(attempt, series)
            return None
        stack = self._triage(attempt, series)
        self._choose(claim, series, stack, waits=True)
        if Queue.GPU not in self._queues:
            self._hand_over(attempt)
            return None
        ordered = Series(series.uid, series.study_uid, series.patient, series.modality, stack.instances)
        volume = self._assemble(attempt, stack)
        roi, phase = self._locate(attempt, ordered, volume)
        clinical = self._gather(attempt, ordered, roi)
        return Examined(attempt, series, stack, ordered, Case(volume, roi, clinical), phase, correction)

    def _report(self, examined: Examined, together: Together) -> None:
        attempt, claim, case = examined.attempt, examined.attempt.claim, examined.case
        mode, name, prediction = self._predict(examined, together)
        # Again: a better series may have come in while this one was analysed.
        replaces = self._choose(claim, examined.received, examined.stack, waits=False)
        report = Report(
            job_id=claim.job_id,
            version=claim.version,
            manifest=claim.manifest,
            # In the site's zone: its offset goes into the objects, where it speaks for the study's own times too.
            fixed_at=claim.fixed_at.astimezone(),
            node_version=self._shop.node_version,
            series=examined.series,
            volume=case.volume,
            roi=case.roi,
            clinical=case.clinical,
            prediction=prediction,
            correction=examined.correction,
            phase=examined.phase,
            remarks=contract.notes(examined.series, examined.stack),
            predecessor_paths=predecessors(self._shop.stores, claim, replaces),
        )
        self._compose_and_commit(attempt, report, name, mode, replaces)

    def _hand_over(self, attempt: Attempt) -> None:
        """Leave a series that the headers speak for to those that have the models: they begin anew, which is quick."""
        attempt.close()
        attempt.require(self._jobs.hand_over(attempt.claim, Queue.GPU))
        log.get().info(log.JOB_HANDED_OVER, job_id=attempt.claim.job_id, detail=Queue.GPU.value)

    def _link(self, attempt: Attempt, contours: Series) -> None:
        inbox = self._shop.stores.inbox
        with attempt.step(Step.LOCATE_ROI) as details:
            bring_intact(self._shop.stores.blobs, contours.instances)
            here = link_annotation(contours, self._shop.decoder, inbox.holds, self._filed)
            details["count"] = len(here)
        attempt.close()
        for uid in here:
            self._jobs.reopen_for_annotation(uid)
        reason = Reason(ReasonCode.ANNOTATION_LINKED, f"{len(here)} series")
        event = attempt.event(AuditAction.ANNOTATION_LINKED, AuditOutcome.SUCCESS, {"count": len(here)})
        attempt.require(self._jobs.finish(attempt.claim, JobState.DONE, reason, event))

    def _read_document(self, attempt: Attempt, series: Series) -> None:
        """Keep what documents have measured, and what readers have said in them of our results.

        Series of the patient that gain from a measurement are done again. One document that cannot be used keeps no
        other from being read: a preliminary one often stands beside the final one in the same series.
        """
        count = verdicts = 0
        unusable: list[Refused] = []
        with attempt.step(Step.GATHER_CLINICAL) as details:
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
        attempt.close()
        if not count and not verdicts:
            self._triage(attempt, series)  # says why it is not analysed
        reason = Reason(ReasonCode.MEASUREMENTS_READ, f"{count} values")
        if verdicts:
            without = f"; {len(unusable)} not used, the first: {unusable[0].reason}" if unusable else ""
            reason = Reason(ReasonCode.VERDICT_READ, f"{verdicts} verdicts, {count} values{without}")
        event = attempt.event(AuditAction.DOCUMENT_READ, AuditOutcome.SUCCESS, {"count": count})
        attempt.require(self._jobs.finish(attempt.claim, JobState.DONE, reason, event))

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
            lambda line: self._filed(SeriesUID(line.series_uid)).patient,
        )
        stores.verdicts.add(verdict)
        return True

    def _triage(self, attempt: Attempt, series: Series) -> Stack:
        with attempt.step(Step.TRIAGE, AuditAction.SERIES_TRIAGED) as details:
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
            raise StandsBack(choice.instead, choice.reason)
        if choice.awaited:
            awaited = ", ".join(job.series_uid for job in choice.awaited)
            raise Awaiting(left, Reason(ReasonCode.AWAITING_SERIES, f"series {awaited}"))
        return tuple(job.job_id for job in choice.replaces)

    def _has_contour(self, series: Series) -> bool:
        return bool(usable(self._shop.stores.inbox.annotations(series.uid), series))

    def _assemble(self, attempt: Attempt, stack: Stack) -> Volume:
        with attempt.step(Step.ASSEMBLE, AuditAction.SERIES_ASSEMBLED) as details:
            bring_intact(self._shop.stores.blobs, stack.instances)
            volume = assemble(stack, self._shop.decoder)
            details["shape"] = "x".join(str(size) for size in volume.geometry.shape_zyx)
            details["transfer_syntax"] = stack.instances[0].transfer_syntax_uid
        return volume

    def _locate(self, attempt: Attempt, series: Series, volume: Volume) -> tuple[Roi, PhaseVerdict]:
        with attempt.step(Step.LOCATE_ROI, AuditAction.ROI_LOCATED) as details:
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

    def _gather(self, attempt: Attempt, series: Series, roi: Roi) -> ClinicalRecord:
        with attempt.step(Step.GATHER_CLINICAL, AuditAction.CLINICAL_GATHERED) as details:
            record = gather_clinical(series, self._shop.sources)
            details.update(_gathered(record))
        self._await_clinical(attempt.claim, series, roi, record)
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
            raise Awaiting(left, Reason(ReasonCode.AWAITING_CLINICAL, " ".join(missing)))

    def _filed(self, uid: SeriesUID) -> Series:
        return series_as_filed(self._shop.stores, uid)

    def _predict(self, examined: Examined, together: Together) -> tuple[Mode, str, Prediction]:
        with examined.attempt.step(Step.PREDICT, AuditAction.PREDICTED) as details:
            settings, roi = self._shop.settings, examined.case.roi
            name, prediction = together.predict(examined.series, examined.case)
            mode = settings.mode_of(choose(settings.rules, examined.series, roi))
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

    def _compose_and_commit(
        self, attempt: Attempt, report: Report, predictor: str, mode: Mode, replaces: Sequence[JobId]
    ) -> None:
        attempt.enter(Step.COMPOSE)
        started, clock = datetime.now(UTC), time.perf_counter()
        objects = compose(report, self._shop.writers)
        is_silent = mode is Mode.SILENT
        details: Details = {"objects": len(objects), "bytes": sum(len(made.content) for made in objects)}
        record = StepRecord(Step.COMPOSE, started, time.perf_counter() - clock, AuditOutcome.SUCCESS, details)
        composed = attempt.event(AuditAction.COMPOSED, AuditOutcome.SUCCESS, details)
        committed = self._shop.stores.results.commit(
            attempt.claim,
            objects,
            predictor=predictor,
            destinations=() if is_silent else tuple(self._shop.destinations),
            without=self._shop.settings.kinds_without,
            steps=(*attempt.ended(), EndedStep(record, (composed,))),
            replaces=replaces,
            found=Found(case_document(report), is_blinded=is_silent),
        )
        attempt.require(committed)
        attempt.forget()
        log.get().info(
            log.JOB_COMMITTED,
            job_id=attempt.claim.job_id,
            count=len(objects),
            predictor=predictor,
            training_status=report.prediction.algorithm.status.value,
            disclaimer=report.prediction.algorithm.disclaimer,
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
