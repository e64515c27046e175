"""Numbers over all jobs."""

from datetime import UTC, datetime

import pytest

from node.domain.lifecycle import JobState, Queue, Step
from node.domain.reasons import Reason, ReasonCode
from node.domain.verdict import Verdict, VerdictKind
from node.store.jobs import EndedStep
from node.store.statistics import STEP_BUCKETS_S, TURNAROUND_BUCKETS_S, Statistics
from node.store.verdicts import VerdictStore
from tests import factories
from tests.unit.node.store.conftest import Store


def test_an_empty_node_has_nothing_to_count(store: Store) -> None:
    """And says so without failing."""
    found = Statistics(store.database)
    assert (found.refusals(), found.instances(), found.verdicts(), found.turnaround()) == ({}, 0, {}, {})


def test_turnaround_is_from_complete_to_committed(store: Store) -> None:
    """Twelve seconds lie below fifteen and above ten."""
    claim = store.claimed()
    done = store.results.commit(
        claim, [], predictor="gtrnet", destinations=(), steps=[factories.ended()],
    )  # fmt: skip
    assert done
    store.change(
        "UPDATE jobs SET completed_at = :start, finished_at = :end",
        start=datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S"),
        end=datetime(2026, 1, 1, 12, 0, 12, tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S"),
    )
    counts, total = Statistics(store.database).turnaround()["gtrnet"]
    assert counts == [int(edge >= 12) for edge in TURNAROUND_BUCKETS_S] + [1]
    assert abs(total - 12) < 0.01
    assert Statistics(store.database).instances() == 4


def test_refusals_and_verdicts_are_counted_by_kind(store: Store) -> None:
    """Reasons by their code, verdicts by model and kind."""
    claim = store.claimed()
    store.jobs.finish(claim, JobState.NOT_ANALYSED, Reason(ReasonCode.ANNOTATION_ORPHAN, ""), factories.event())
    words = VerdictStore(store.database)
    for reader in ("anna", "berta"):
        words.add(Verdict(claim.job_id, datetime.now(UTC), reader, VerdictKind.AGREE, predictor="gtrnet"))
    assert Statistics(store.database).refusals() == {"ANNOTATION_ORPHAN": 1}
    assert Statistics(store.database).verdicts() == {("gtrnet", "agree"): 2}


def test_steps_are_counted_by_how_long_they_took(store: Store) -> None:
    """Cumulative, as Prometheus wants them, with the sum."""
    claim = store.claimed()
    for seconds in (0.02, 0.02, 3.0):
        store.jobs.record_steps(claim, EndedStep(factories.step_record(Step.PREDICT, seconds=seconds)))
    counts, total = Statistics(store.database).steps()["predict"]
    by_edge = dict(zip((*STEP_BUCKETS_S, "all"), counts, strict=True))
    assert (by_edge[0.01], by_edge[0.05], by_edge[2], by_edge[5], by_edge["all"]) == (0, 2, 2, 3, 3)
    assert total == pytest.approx(3.04)


def test_bytes_are_those_of_everything_received(store: Store) -> None:
    """Nought in the beginning."""
    statistics = Statistics(store.database)
    assert statistics.bytes_received() == 0
    store.receive(2)
    assert statistics.bytes_received() == sum(one.size_bytes for one in store.blobs.files())


def test_the_bundles_that_predict_are_known_by_digest(store: Store) -> None:
    """With the last time: after a change one sees when the old one was last in use."""
    claim = store.claimed()
    details = {"predictor": "gtrnet", "digest": "d" * 64}
    store.jobs.record_steps(claim, EndedStep(factories.step_record(Step.PREDICT, details=details)))
    store.jobs.record_steps(claim, EndedStep(factories.step_record(Step.TRIAGE)))
    (found,) = Statistics(store.database).digests()
    assert found == ("gtrnet", "d" * 64)


def test_the_depth_of_each_queue_is_known(store: Store) -> None:
    """Also that of one that is empty."""
    assert store.jobs.depth() == {Queue.CPU: 0, Queue.GPU: 0}
    assert store.jobs.hand_over(store.claimed(), Queue.GPU)
    assert store.jobs.depth() == {Queue.CPU: 0, Queue.GPU: 1}
