"""Findings count while the claim that made them does."""

import pytest
from sqlalchemy.exc import DBAPIError

from node.domain.audit import AuditAction
from node.domain.identifiers import JobId
from node.errors import UsageError
from node.store.findings import FindingStore
from tests import factories
from tests.unit.node.store.conftest import Store

DOCUMENT = {"summary": "cT3 62.1 %", "scores": [{"probability": 0.621}]}


def test_a_finding_counts_once_its_results_are_committed(store: Store) -> None:
    """Not before: what may still be thrown away is not shown."""
    findings, claim = FindingStore(store.database), store.claimed()
    assert findings.keep(claim, DOCUMENT)
    assert findings.of(claim.job_id) is None
    assert store.results.commit(
        claim, [], predictor="gtrnet", destinations=(), step=factories.step_record(),
        event=factories.event(AuditAction.COMPOSED),
    )  # fmt: skip
    assert findings.of(claim.job_id) == DOCUMENT


def test_whoever_has_lost_the_claim_keeps_nothing(store: Store) -> None:
    """Another worker is at it."""
    findings, claim = FindingStore(store.database), store.claimed()
    store.receive_late()
    assert not findings.keep(claim, DOCUMENT)


def test_the_second_attempt_replaces_the_first(store: Store) -> None:
    """One finding a job."""
    findings, claim = FindingStore(store.database), store.claimed()
    assert findings.keep(claim, DOCUMENT)
    assert findings.keep(claim, DOCUMENT | {"summary": "x" * 200})
    assert store.count("findings") == 1


def committed(store: Store, *, is_blinded: bool = False) -> JobId:
    """A result that counts."""
    claim = store.claimed()
    assert FindingStore(store.database).keep(claim, DOCUMENT, is_blinded=is_blinded)
    assert store.results.commit(
        claim, [], predictor="gtrnet", destinations=(), step=factories.step_record(),
        event=factories.event(AuditAction.COMPOSED),
    )  # fmt: skip
    return claim.job_id


def test_a_blinded_finding_is_nobodys_until_somebody_with_a_name_says_why(store: Store) -> None:
    """Then it is shown, and who did it stays known: on record and in the trail."""
    findings, job = FindingStore(store.database), committed(store, is_blinded=True)
    assert findings.of(job) is None
    assert findings.is_blinded(job)
    for by, reason in ((" ", "why"), ("Dr Jones", " \n "), ("Dr Jones", "x" * 401)):
        with pytest.raises(UsageError):
            findings.unblind(job, by, reason)
    assert findings.is_blinded(job)
    findings.unblind(job, "Dr Jones", "the  trial is\nover")
    assert findings.of(job) == DOCUMENT
    assert [(one.by, one.reason) for one in findings.unblindings(job)] == [("Dr Jones", "the trial is over")]
    told = [event for event in store.audit.events() if event.action is AuditAction.RESULT_UNBLINDED]
    assert [(event.actor, event.job_id, event.details) for event in told] == [
        ("person Dr Jones", job, {"why": "the trial is over"})
    ]


def test_there_is_nothing_to_unblind_where_nothing_is_blinded(store: Store) -> None:
    """Nor does it leave a trace."""
    findings, job = FindingStore(store.database), committed(store)
    with pytest.raises(UsageError, match="no blinded result"):
        findings.unblind(job, "Dr Jones", "curious")
    assert findings.unblindings(job) == ()


def test_a_whole_trial_is_unblinded_at_once(store: Store) -> None:
    """Of one predictor, each with its own row."""
    findings, job = FindingStore(store.database), committed(store, is_blinded=True)
    assert findings.unblind_all("porcelain", "Dr Jones", "the trial is over") == 0
    assert findings.unblind_all("gtrnet", "Dr Jones", "the trial is over") == 1
    assert findings.unblind_all("gtrnet", "Dr Jones", "the trial is over") == 0
    assert findings.of(job) == DOCUMENT


def test_who_unblinded_what_cannot_be_changed(store: Store) -> None:
    """Nor removed, by anybody who only has the database's own words."""
    job = committed(store, is_blinded=True)
    FindingStore(store.database).unblind(job, "Dr Jones", "the trial is over")
    for statement in ("UPDATE unblindings SET reason = 'none'", "DELETE FROM unblindings"):
        with pytest.raises(DBAPIError, match="append-only"):
            store.change(statement)


def test_what_is_watched_is_kept_beside_it(store: Store) -> None:
    """One row a result; the second attempt's replaces the first's."""
    findings, claim = FindingStore(store.database), store.claimed()
    watched = {
        "digest": "d", "conclusion": "CT3", "scores": {"T3": 0.6}, "inputs": {"hu_mean": 90.0}, "scanner": "S",
        "kernel": "K", "used": 3, "imputed": 1,
    }  # fmt: skip
    assert findings.keep(claim, DOCUMENT | {"observed": watched})
    assert findings.keep(claim, DOCUMENT | {"observed": watched})
    assert store.count("observations") == 1
