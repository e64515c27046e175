"""Findings count while the claim that made them does."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from node.domain.audit import AuditAction
from node.domain.identifiers import JobId
from node.errors import UsageError
from node.store.findings import LONGEST_SUMMARY, FindingStore, Found
from node.store.jobs import Claim
from tests import factories
from tests.unit.node.store.conftest import Store

OBSERVED = {
    "digest": "d", "conclusion": "CT3", "scores": {"T3": 0.6}, "inputs": {"hu_mean": 90.0}, "scanner": "S",
    "kernel": "K", "used": 3, "imputed": 1,
}  # fmt: skip
DOCUMENT = {"summary": "cT3 62.1 %", "scores": [{"probability": 0.621}]}


def commits(store: Store, claim: Claim, found: Found) -> bool:
    """Whether the results of ``claim`` are committed, and what was found with them."""
    return store.results.commit(
        claim, [], predictor="gtrnet", destinations=(), steps=[factories.ended()], found=found,
    )  # fmt: skip


def committed(store: Store, *, is_blinded: bool = False) -> JobId:
    """A result that counts."""
    claim = store.claimed()
    assert commits(store, claim, Found(DOCUMENT, is_blinded=is_blinded))
    return claim.job_id


def test_a_finding_is_there_with_its_results(store: Store) -> None:
    """Its summary no longer than a list has room for."""
    findings, claim = FindingStore(store.database), store.claimed()
    assert findings.of(claim.job_id) is None
    assert commits(store, claim, Found(DOCUMENT | {"summary": "x" * 200}))
    assert findings.of(claim.job_id) == DOCUMENT | {"summary": "x" * 200}
    with store.database.read() as connection:
        assert connection.scalar(text("SELECT summary FROM findings")) == "x" * LONGEST_SUMMARY


def test_whoever_has_lost_the_claim_keeps_nothing(store: Store) -> None:
    """Another worker is at it."""
    claim = store.claimed()
    store.receive_late()
    assert not commits(store, claim, Found(DOCUMENT | {"observed": OBSERVED}))
    assert store.count("findings") == store.count("observations") == 0


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
    """One row a result."""
    claim = store.claimed()
    assert commits(store, claim, Found(DOCUMENT | {"observed": OBSERVED}))
    assert store.count("observations") == 1
