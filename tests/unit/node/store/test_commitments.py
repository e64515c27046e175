"""Storage commitment: written down before it is asked, believed from who was asked, asked again without an answer."""

from datetime import UTC, datetime, timedelta

import pytest

from node.domain.audit import AuditAction
from node.domain.identifiers import InstanceUID, Uid
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import Commitment, CommitmentReport, DeliveryOutcome, ObjectKind, ReportVerdict
from node.store.commitments import Commitments
from node.store.jobs import Claim, EndedStep
from tests.factories import event, report_object, step_record
from tests.unit.node.store.conftest import Store

HOUR = timedelta(hours=1)
SHORTEST_WAIT = timedelta(seconds=0.5)
"""After the first attempt: half of the second that it doubles from."""
STORED, REQUESTED, COMMITTED = DeliveryState.STORED, DeliveryState.COMMITMENT_REQUESTED, DeliveryState.COMMITTED
PENDING, FAILED = DeliveryState.PENDING, DeliveryState.FAILED


def stored(store: Store, *destinations: str) -> Claim:
    """A job with two objects that are stored at ``destinations`` and wait for commitment."""
    claim = store.claimed()
    made = [report_object(kind.name, kind) for kind in list(ObjectKind)[:2]]
    kept = store.results.commit(
        claim, made, predictor="p", destinations=destinations, steps=[EndedStep(step_record(), (event(),))]
    )
    assert kept
    for name in destinations:
        lease = store.outbox.lease("d", name)
        outcomes = [DeliveryOutcome(one.object_uid, STORED, "") for one in lease]
        assert not store.outbox.record("d", lease, outcomes, awaits_commitment=True)
    return claim


def refused(store: Store, destination: str) -> Claim:
    """A job without a result, whose notice goes to ``destination``."""
    claim = store.claimed()
    notice = report_object("notice", ObjectKind.NOTICE)
    reason = Reason(ReasonCode.ROI_NOT_FOUND)
    assert store.results.conclude(
        claim, JobState.NOT_ANALYSED, reason, [notice], destinations=[destination], events=[event()]
    )
    return claim


def begun(store: Store, destination: str = "pacs") -> Commitment:
    """The next request, which there must be."""
    found = Commitments(store.database).begin("d", destination, HOUR)
    assert found is not None
    return found


def report(commitment: Commitment, *failed: tuple[InstanceUID, int]) -> CommitmentReport:
    """What an archive says that has everything but ``failed``."""
    gone = {uid for uid, _ in failed}
    return CommitmentReport(
        commitment.transaction_uid, tuple(uid for _, uid in commitment.references if uid not in gone), failed
    )


def states(store: Store, claim: Claim) -> list[DeliveryState]:
    """The states of a job's deliveries."""
    return [state for _, _, state, _ in store.outbox.of(claim.job_id)]


def test_a_stored_object_is_not_delivered_before_it_is_committed(store: Store) -> None:
    """The job waits for the archive's word, and is done with it."""
    claim = stored(store, "pacs")
    assert store.state(claim) == "delivering"
    commitment = begun(store)
    assert (len(commitment.references), states(store, claim)) == (2, [REQUESTED] * 2)
    said = Commitments(store.database).report(report(commitment), ("pacs",), "peer PACS")
    assert (said, store.state(claim), states(store, claim)) == (ReportVerdict.TAKEN, "done", [COMMITTED] * 2)
    told = [one for one in store.audit.events(job_id=claim.job_id) if one.action is AuditAction.COMMITTED]
    assert [one.actor for one in told] == ["peer PACS"] * 2


def test_the_transaction_is_written_down_before_anybody_is_asked(store: Store) -> None:
    """What is being asked is asked once; a process that dies now is waited for like an archive that is silent."""
    stored(store, "pacs")
    begun(store)
    assert store.count("commitments") == 1
    assert Commitments(store.database).begin("d", "pacs", HOUR) is None


def test_without_a_report_within_the_time_it_is_asked_anew(store: Store) -> None:
    """Under another Transaction UID; a late report of the first counts all the same."""
    claim = stored(store, "pacs")
    first = begun(store)
    store.change("UPDATE outbox SET requested_at = :past", past="2020-01-01 00:00:00.000000")
    second = begun(store)
    assert first.transaction_uid != second.transaction_uid
    assert Commitments(store.database).report(report(first), ("pacs",), "p") is ReportVerdict.TAKEN
    assert states(store, claim) == [COMMITTED] * 2
    assert Commitments(store.database).report(report(second), ("pacs",), "p") is ReportVerdict.TAKEN
    assert store.state(claim) == "done"


def test_a_report_that_comes_twice_is_known(store: Store) -> None:
    """It is acknowledged, and changes nothing."""
    stored(store, "pacs")
    commitment = begun(store)
    desk = Commitments(store.database)
    assert [desk.report(report(commitment), ("pacs",), "p") for _ in range(2)] == [
        ReportVerdict.TAKEN, ReportVerdict.KNOWN,
    ]  # fmt: skip


@pytest.mark.parametrize("sender", [(), ("other",)])
def test_a_report_of_somebody_else_changes_nothing(store: Store, sender: tuple[str, ...]) -> None:
    """A Transaction UID is no password; the trail tells of the attempt."""
    claim = stored(store, "pacs")
    commitment = begun(store)
    assert Commitments(store.database).report(report(commitment), sender, "peer X") is ReportVerdict.UNKNOWN
    assert states(store, claim) == [REQUESTED] * 2
    assert [one.action for one in store.audit.events()][-1] is AuditAction.REPORT_REFUSED


def test_a_report_of_an_unknown_transaction_changes_nothing(store: Store) -> None:
    """Whatever it says of objects that are ours."""
    claim = stored(store, "pacs")
    commitment = begun(store)
    made_up = CommitmentReport(Uid("2.25.5"), tuple(uid for _, uid in commitment.references))
    assert Commitments(store.database).report(made_up, ("pacs",), "p") is ReportVerdict.UNKNOWN
    assert states(store, claim) == [REQUESTED] * 2


def test_a_report_speaks_only_of_what_was_asked(store: Store) -> None:
    """Another object of ours in it is not believed."""
    stored(store, "pacs")
    commitment = begun(store)
    said = CommitmentReport(commitment.transaction_uid, (InstanceUID("2.25.6"),))
    Commitments(store.database).report(said, ("pacs",), "p")
    assert Commitments(store.database).begin("d", "pacs", HOUR) is None


def test_an_object_that_the_archive_has_not_got_is_sent_again(store: Store) -> None:
    """0x0112: only that one, and then it is asked for again."""
    claim = stored(store, "pacs")
    commitment = begun(store)
    gone = commitment.references[0][1]
    Commitments(store.database).report(report(commitment, (gone, 0x0112)), ("pacs",), "p")
    assert states(store, claim) == [PENDING, COMMITTED]
    store.make_due()
    (again,) = store.outbox.lease("d")
    assert again.object_uid == gone
    store.outbox.record("d", (again,), [DeliveryOutcome(gone, STORED, "")], awaits_commitment=True)
    second = begun(store)
    assert [uid for _, uid in second.references] == [gone]
    # The first report once more: it spoke of what was before.
    Commitments(store.database).report(report(commitment, (gone, 0x0112)), ("pacs",), "p")
    assert states(store, claim) == [REQUESTED, COMMITTED]
    Commitments(store.database).report(report(second), ("pacs",), "p")
    assert store.state(claim) == "done"


@pytest.mark.parametrize(("reason", "state"), [(0x0110, STORED), (0x0213, STORED), (0x0122, FAILED), (0x0666, FAILED)])
def test_every_other_reason_is_asked_again_or_waits_for_a_person(
    store: Store, reason: int, state: DeliveryState
) -> None:
    """As PS3.3 section C.14.1.1 means it; what nobody defined is looked at."""
    claim = stored(store, "pacs")
    commitment = begun(store)
    gone = commitment.references[0][1]
    before = datetime.now(UTC)
    Commitments(store.database).report(report(commitment, (gone, reason)), ("pacs",), "p")
    assert states(store, claim) == [state, COMMITTED]
    assert store.outbox.rows(claim.job_id)[0].next_attempt_at - before >= SHORTEST_WAIT
    store.make_due()
    assert (Commitments(store.database).begin("d", "pacs", HOUR) is not None) is (state is STORED)


def test_a_request_that_was_not_taken_is_made_again_later(store: Store) -> None:
    """Not at once, and with the archive's words beside it."""
    claim = stored(store, "pacs")
    before = datetime.now(UTC)
    Commitments(store.database).not_taken(begun(store), "it answered 0x0110")
    assert {(state, detail) for _, _, state, detail in store.outbox.of(claim.job_id)} == {
        (STORED, "it answered 0x0110")
    }
    assert all(one.next_attempt_at - before >= SHORTEST_WAIT for one in store.outbox.rows(claim.job_id))
    store.make_due()
    begun(store)


def test_each_archive_speaks_for_itself(store: Store) -> None:
    """The job is done when all have committed."""
    claim = stored(store, "north", "south")
    desk = Commitments(store.database)
    desk.report(report(begun(store, "north")), ("north",), "p")
    assert store.state(claim) == "delivering"
    desk.report(report(begun(store, "south")), ("south",), "p")
    assert store.state(claim) == "done"


def test_what_a_newer_version_has_replaced_is_not_waited_for(store: Store) -> None:
    """It stays stored; a report that comes yet is believed."""
    old = stored(store, "pacs")
    commitment = begun(store)
    store.receive_late()
    store.complete()
    new = store.claim()
    store.results.commit(
        new, [report_object("n")], predictor="p", destinations=("pacs",), steps=[EndedStep(step_record(), (event(),))]
    )
    assert states(store, old) == [STORED] * 2
    gone = commitment.references[0][1]
    Commitments(store.database).report(report(commitment, (gone, 0x0112)), ("pacs",), "p")
    assert (states(store, old), store.state(old)) == ([STORED, COMMITTED], "superseded")


def test_a_setting_that_is_taken_back_ends_the_waiting(store: Store) -> None:
    """Jobs that waited for nothing else are done."""
    claim = stored(store, "pacs")
    begun(store)
    assert Commitments(store.database).forgo(("pacs",)) == 0
    assert Commitments(store.database).forgo(()) == 2
    assert store.state(claim) == "done"


def test_a_notice_is_committed_too(store: Store) -> None:
    """Of a job without a result as of any other; it stays as it ended."""
    claim = refused(store, "pacs")
    (leased,) = store.outbox.lease("d", "pacs")
    store.outbox.record("d", [leased], [DeliveryOutcome(leased.object_uid, STORED, "")], awaits_commitment=True)
    told = report(begun(store))
    Commitments(store.database).report(told, ["pacs"], "pacs")
    assert (states(store, claim), store.state(claim)) == ([COMMITTED], "not-analysed")


def test_a_notice_that_the_archive_has_not_got_is_sent_again(store: Store) -> None:
    """It is wanted still."""
    claim = refused(store, "pacs")
    (leased,) = store.outbox.lease("d", "pacs")
    store.outbox.record("d", [leased], [DeliveryOutcome(leased.object_uid, STORED, "")], awaits_commitment=True)
    asked = begun(store)
    Commitments(store.database).report(report(asked, (leased.object_uid, 0x0112)), ["pacs"], "pacs")
    assert states(store, claim) == [PENDING]
