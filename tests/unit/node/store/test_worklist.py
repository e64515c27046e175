"""The worklist: pages that follow each other, found and ordered."""

from datetime import UTC, datetime, timedelta

import pytest

from node.domain.audit import AuditAction
from node.domain.identifiers import JobId
from node.domain.lifecycle import JobState
from node.errors import UsageError
from node.store.worklist import Order, Wanted, Worklist
from tests import factories
from tests.unit.node.store.conftest import Store

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def worklist(store: Store) -> Worklist:
    """Five cases, one an hour, the second one urgent."""
    for number in range(5):
        uid = f"2.25.80{number}"
        urgent = {"RequestedProcedurePriority": "STAT"} if number == 1 else {}
        image = factories.ct_slice(
            0,
            series=uid,
            PatientID=f"PAT-{number}",
            PatientName=f"Name{number}^Given",
            AccessionNumber=f"A{number}%",
            **urgent,
        )
        store.inbox.accept(factories.received(image))
        store.complete(uid)
        moment = f"{START + timedelta(hours=number):%Y-%m-%d %H:%M:%S.%f}"
        store.change("UPDATE jobs SET created_at = :at WHERE series_uid = :uid", at=moment, uid=uid)
    return Worklist(store.database)


def patients(worklist: Worklist, wanted: Wanted, limit: int = 50) -> list[str]:
    """Whom a page lists."""
    return [line.patient_id for line in worklist.page(wanted, limit).lines]


def test_the_newest_comes_first_or_the_oldest(worklist: Worklist) -> None:
    """As somebody wants it."""
    assert patients(worklist, Wanted()) == ["PAT-4", "PAT-3", "PAT-2", "PAT-1", "PAT-0"]
    assert patients(worklist, Wanted(order=Order.OLDEST))[0] == "PAT-0"


@pytest.mark.parametrize("order", Order)
def test_pages_follow_each_other_without_gap_or_repetition(worklist: Worklist, order: Order) -> None:
    """Two at a time are all five."""
    seen, after = [], None
    for _ in range(3):
        page = worklist.page(Wanted(order=order, after=after), 2)
        seen += [line.patient_id for line in page.lines]
        after = page.following
    assert after is None
    assert sorted(seen) == sorted(set(seen)) == [f"PAT-{number}" for number in range(5)]


def test_what_is_urgent_and_open_stands_above_all(worklist: Worklist, store: Store) -> None:
    """On the first page; no longer once it is done."""
    page = worklist.page(Wanted(), 2)
    assert [line.patient_id for line in page.urgent] == ["PAT-1"]
    assert worklist.page(Wanted(after=page.following), 2).urgent == ()
    store.change("UPDATE jobs SET state = 'done'")
    assert worklist.page(Wanted(), 2).urgent == ()


def test_an_urgent_case_is_claimed_before_older_ones(worklist: Worklist, store: Store) -> None:
    """First on the list is first in the queue."""
    line = worklist.page(Wanted()).urgent[0]
    assert store.claim().job_id == line.job_id


@pytest.mark.parametrize("text", ["pat-3", "a3%", "name3", " Name3^gi"])
def test_cases_are_found_by_part_of_id_accession_or_name(worklist: Worklist, text: str) -> None:
    """In any case of letters."""
    assert patients(worklist, Wanted(text=text)) == ["PAT-3"]


@pytest.mark.parametrize("text", ["%", "_", "nobody"])
def test_what_a_database_takes_for_a_pattern_is_text(worklist: Worklist, text: str) -> None:
    """A per cent sign finds those that have one."""
    assert len(patients(worklist, Wanted(text=text))) == (5 if text == "%" else 0)


def test_a_state_is_all_that_is_shown_and_superseded_only_when_asked(worklist: Worklist, store: Store) -> None:
    """Old versions are not in the way."""
    store.change("UPDATE jobs SET state = 'superseded' WHERE series_uid = '2.25.803'")
    assert "PAT-3" not in patients(worklist, Wanted())
    assert patients(worklist, Wanted(JobState.SUPERSEDED)) == ["PAT-3"]
    assert patients(worklist, Wanted(JobState.DONE)) == []


def test_a_line_says_whom_it_is_of(worklist: Worklist) -> None:
    """With what was in the first image."""
    line = worklist.page(Wanted(text="PAT-1")).lines[0]
    assert (line.patient_name, line.birth_date, line.sex) == ("Name1^Given", "19600101", "F")
    assert (line.accession, line.study_date, line.is_urgent, line.summary) == ("A1%", "20240506", True, "")
    assert worklist.line(line.job_id) == line
    assert worklist.line("none") is None
    assert worklist.versions(line.series_uid) == ((line.job_id, 1, JobState.WAITING),)


def test_the_fingerprint_changes_with_what_happens(worklist: Worklist, store: Store) -> None:
    """And not with nothing."""
    before = worklist.fingerprint()
    assert worklist.fingerprint() == before
    store.claim()
    assert worklist.fingerprint() != before


def test_whoever_looks_changes_nothing_that_is_looked_at(worklist: Worklist, store: Store) -> None:
    """Nor does who signs in, or an image of a series that is here; a new series does, and an urgency."""
    store.receive(1, "2.25.7999")
    before = worklist.fingerprint()
    for action in (AuditAction.CASE_VIEWED, AuditAction.WORKLIST_VIEWED, AuditAction.SIGNED_IN):
        store.audit.record(factories.event(action))
    store.receive_late(series="2.25.7999")
    assert worklist.fingerprint() == before
    store.receive(1, "2.25.7998")
    assert worklist.fingerprint() != before
    before = worklist.fingerprint()
    line = worklist.page(Wanted(text="PAT-4")).lines[0]
    worklist.set_urgent(line.job_id, urgent=True, by="person anna")
    store.audit.record(factories.event(AuditAction.CASE_VIEWED))
    assert worklist.fingerprint() != before


def test_putting_first_is_in_the_trail(worklist: Worklist, store: Store) -> None:
    """With who did it."""
    line = worklist.page(Wanted(text="PAT-4")).lines[0]
    worklist.set_urgent(line.job_id, urgent=True, by="person anna")
    assert {one.patient_id for one in worklist.page(Wanted()).urgent} == {"PAT-1", "PAT-4"}
    assert store.audit.events(job_id=line.job_id)[-1].actor == "person anna"
    with pytest.raises(UsageError, match="no job"):
        worklist.set_urgent(JobId("none"), urgent=True, by="person anna")
