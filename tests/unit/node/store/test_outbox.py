"""The outbox: every object is delivered at least once, by one deliverer at a time, and the job is done when all are."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from node.domain.audit import AuditAction, AuditOutcome
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import Delivery, DeliveryOutcome, ObjectKind
from node.store.jobs import Claim, EndedStep
from node.store.outbox import LONGEST_WAIT, wait_after
from tests.factories import SERIES, event, report_object, step_record
from tests.unit.node.store.conftest import Store

STORED, PENDING, FAILED = DeliveryState.STORED, DeliveryState.PENDING, DeliveryState.FAILED


def committed(store: Store, *destinations: str, series: str = SERIES, late: bool = False) -> Claim:
    """A job with two objects on their way to ``destinations``; ``late``: a new version of one that is here."""
    if late:
        store.receive_late(series=series)
        store.complete(series)
        claim = store.claim()
    else:
        claim = store.claimed(series=series)
    made = [report_object(f"{claim.job_id} {kind.name}", kind) for kind in list(ObjectKind)[:2]]
    assert store.results.commit(
        claim, made, predictor="p", destinations=destinations, steps=[EndedStep(step_record(), (event(),))]
    )
    return claim


def answers(deliveries: tuple[Delivery, ...], *states: DeliveryState, detail: str = "") -> list[DeliveryOutcome]:
    """What a destination says of ``deliveries``: one state for all, or one each."""
    each = states * len(deliveries) if len(states) == 1 else states
    return [DeliveryOutcome(one.object_uid, state, detail) for one, state in zip(deliveries, each, strict=True)]


def states(store: Store, claim: Claim) -> list[DeliveryState]:
    """The states of a job's deliveries."""
    return [state for _, _, state, _ in store.outbox.of(claim.job_id)]


def test_a_lease_is_all_of_one_job_for_one_destination(store: Store) -> None:
    """One association carries them; another job or destination is another lease."""
    first = committed(store, "north", "south")
    second = committed(store, "north", series="2.25.82")
    leases = [store.outbox.lease("d") for _ in range(4)]
    assert [{(one.job_id, one.destination) for one in lease} for lease in leases] == [
        {(first.job_id, "north")},
        {(first.job_id, "south")},
        {(second.job_id, "north")},
        set(),
    ]
    assert [len(lease) for lease in leases] == [2, 2, 2, 0]


def test_a_leased_object_has_what_a_sender_needs(store: Store) -> None:
    """Its bytes, classes and the number of this attempt."""
    committed(store, "pacs")
    one = store.outbox.lease("d")[0]
    assert one.path.read_bytes().startswith(b"bytes of")
    assert (one.sop_class_uid, one.attempts, one.state) == ("1.2.840.10008.5.1.4.1.1.7", 1, DeliveryState.SENDING)


def test_deliverers_that_lease_at_once_never_split_or_share_a_job(store: Store) -> None:
    """Eight deliverers, six jobs: each job's objects go to one of them, whole."""
    for number in range(6):
        committed(store, "pacs", series=f"2.25.9{number}")

    def work(number: int) -> list[tuple[Delivery, ...]]:
        found = []
        while lease := store.outbox.lease(f"deliverer {number}"):
            found.append(lease)
        return found

    with ThreadPoolExecutor(8) as pool:
        leases = [lease for found in pool.map(work, range(8)) for lease in found]
    assert [len(lease) for lease in leases] == [2] * 6
    assert len({one.id for lease in leases for one in lease}) == 12


def test_a_dead_deliverers_objects_are_leased_again(store: Store) -> None:
    """When its lease is over; and what the dead one says later changes nothing."""
    claim = committed(store, "pacs")
    dead = store.outbox.lease("dead")
    assert store.outbox.lease("other") == ()
    store.forget_leases()
    again = store.outbox.lease("other")
    assert [one.attempts for one in again] == [2, 2]
    assert not store.outbox.record("dead", dead, answers(dead, FAILED))
    assert states(store, claim) == [DeliveryState.SENDING] * 2
    assert store.outbox.record("other", again, answers(again, STORED))


@pytest.mark.parametrize("by", [timedelta(hours=-1), timedelta(hours=1)], ids=["forward", "back"])
def test_a_clock_that_is_set_neither_ends_nor_extends_a_lease(store: Store, by: timedelta) -> None:
    """A deliverer that works is left alone, and a dead one's objects are leased again when they would have been."""
    committed(store, "pacs")
    store.outbox.lease("dead")
    store.set_clock_back(by)
    assert store.outbox.lease("other") == ()
    store.forget_leases()
    assert len(store.outbox.lease("other")) == 2


@pytest.mark.parametrize("attempts", [0, 1])
def test_what_waits_does_not_wait_until_the_old_time_comes_again(store: Store, attempts: int) -> None:
    """When the clock is set back an hour, what was new or to be tried again is sent at once."""
    committed(store, "pacs")
    for _ in range(attempts):
        lease = store.outbox.lease("d")
        store.outbox.record("d", lease, answers(lease, DeliveryState.PENDING))
    store.set_clock_back(timedelta(hours=1))
    assert len(store.outbox.lease("d")) == 2


def test_the_job_is_done_when_everything_is_stored(store: Store) -> None:
    """At every destination; then it has the moment of delivery, and each object an event."""
    claim = committed(store, "north", "south")
    north, south = store.outbox.lease("d"), store.outbox.lease("d")
    assert not store.outbox.record("d", north, answers(north, STORED))
    assert store.state(claim) == "delivering"
    assert store.outbox.record("d", south, answers(south, STORED))
    record = store.jobs.job(claim.job_id)
    assert record is not None
    assert record.state.value == "done"
    assert record.delivered_at is not None
    told = [one for one in store.audit.events(job_id=claim.job_id) if one.action is AuditAction.DELIVERED]
    assert [one.outcome for one in told] == [AuditOutcome.SUCCESS] * 4
    assert {one.instance_uid for one in told} == {one.object_uid for one in north}
    assert told[0].details == {"destination": "north", "detail": "", "attempts": 1}


def test_deliverers_that_end_a_job_together_leave_it_done(store: Store) -> None:
    """Each sees what the other has stored: no job hangs with everything delivered."""
    names = [f"pacs {number}" for number in range(6)]
    claim = committed(store, *names)
    leases = [store.outbox.lease(name) for name in names]

    def record(name: str, lease: tuple[Delivery, ...]) -> bool:
        return store.outbox.record(name, lease, answers(lease, STORED))

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(record, names, leases))
    assert done.count(True) == 1
    assert store.state(claim) == "done"


def test_what_cannot_be_taken_now_is_tried_again_later(store: Store) -> None:
    """Not at once, and with the destination's words beside it; the trail is not filled with attempts."""
    claim = committed(store, "pacs")
    lease = store.outbox.lease("d")
    before = store.count("audit")
    now = datetime.now(UTC)
    assert not store.outbox.record("d", lease, answers(lease, PENDING, detail="out of resources"))
    assert store.count("audit") == before
    assert {detail for _, _, _, detail in store.outbox.of(claim.job_id)} == {"out of resources"}
    assert store.outbox.lease("d") == ()
    store.make_due()
    assert [one.attempts for one in store.outbox.lease("d")] == [2, 2]
    assert datetime.now(UTC) - now < LONGEST_WAIT


@pytest.mark.parametrize(("attempts", "longest_s"), [(1, 1), (2, 2), (5, 16), (10, 512), (11, 900), (10_000, 900)])
def test_waits_double_with_jitter_up_to_a_quarter_of_an_hour(attempts: int, longest_s: int) -> None:
    """Never more than the doubled time, never less than half of it, and not always the same."""
    waits = {wait_after(attempts) for _ in range(50)}
    longest = timedelta(seconds=longest_s)
    assert longest / 2 <= min(waits) < max(waits) <= longest


def test_a_refusal_for_good_waits_for_a_person(store: Store) -> None:
    """The job stays delivering, nothing is sent any more, and the trail tells of the failure."""
    claim = committed(store, "pacs")
    lease = store.outbox.lease("d")
    assert not store.outbox.record("d", lease, answers(lease, STORED, FAILED, detail="0xA900"))
    assert store.state(claim) == "delivering"
    assert sorted(states(store, claim)) == [FAILED, STORED]
    store.make_due()
    assert store.outbox.lease("d") == ()
    told = store.audit.events(job_id=claim.job_id)[-1]
    assert (told.action, told.outcome, told.details["detail"]) == (
        AuditAction.DELIVERY_FAILED, AuditOutcome.FAILURE, "0xA900",
    )  # fmt: skip
    assert store.outbox.counts()[FAILED] == 1


def test_a_person_may_have_failed_objects_sent_again(store: Store) -> None:
    """Only those; when they are stored, the job is done."""
    claim = committed(store, "pacs")
    lease = store.outbox.lease("d")
    store.outbox.record("d", lease, answers(lease, STORED, FAILED))
    store.jobs.retry(claim.job_id)
    (again,) = store.outbox.lease("d")
    assert again.object_uid == lease[1].object_uid
    assert store.outbox.record("d", (again,), answers((again,), STORED))
    assert store.state(claim) == "done"


def test_what_a_person_has_sent_again_is_still_known_to_have_been_tried(store: Store) -> None:
    """It may have arrived: a withdrawal has to name it. What was held at its first attempt was never sent."""
    claim = committed(store, "pacs")
    lease = store.outbox.lease("d")
    store.outbox.record("d", lease, answers(lease, FAILED, DeliveryState.HELD))
    assert store.outbox.retry() == 2
    assert [one.attempts for one in store.outbox.rows(claim.job_id)] == [1, 0]


def test_failed_objects_may_be_sent_again_while_a_newer_version_collects(store: Store) -> None:
    """The old version stands until the new one has a verdict."""
    claim = committed(store, "pacs")
    lease = store.outbox.lease("d")
    store.outbox.record("d", lease, answers(lease, FAILED))
    store.receive_late()
    store.jobs.retry(claim.job_id)
    assert len(store.outbox.lease("d")) == 2


@pytest.mark.parametrize("state", [PENDING, FAILED])
def test_a_superseded_object_is_not_sent_again(store: Store, state: DeliveryState) -> None:
    """It was on its way when a newer version got its results and was not taken: it is withdrawn for good."""
    old = committed(store, "pacs")
    on_its_way = store.outbox.lease("d")
    new = committed(store, "pacs", late=True)
    assert not store.outbox.record("d", on_its_way, answers(on_its_way, state))
    assert states(store, old) == [DeliveryState.WITHDRAWN] * 2
    store.make_due()
    assert {one.job_id for one in store.outbox.lease("d")} == {new.job_id}
    assert store.outbox.lease("d") == ()


def test_a_superseded_object_that_arrived_is_told_as_stored(store: Store) -> None:
    """The archive has it: the record says so, and the job stays superseded."""
    old = committed(store, "pacs")
    on_its_way = store.outbox.lease("d")
    committed(store, "pacs", late=True)
    assert not store.outbox.record("d", on_its_way, answers(on_its_way, STORED))
    assert states(store, old) == [STORED] * 2
    assert store.state(old) == "superseded"


def test_a_dead_deliverers_superseded_objects_are_withdrawn(store: Store) -> None:
    """Nobody knows whether they arrived, and nobody sends them after their successors."""
    old = committed(store, "pacs")
    store.outbox.lease("dead")
    new = committed(store, "pacs", late=True)
    store.forget_leases()
    assert {one.job_id for one in store.outbox.lease("d")} == {new.job_id}
    assert states(store, old) == [DeliveryState.WITHDRAWN] * 2


def test_counts_name_every_state(store: Store) -> None:
    """States that no delivery is in count zero."""
    assert store.outbox.counts() == dict.fromkeys(DeliveryState, 0)
    committed(store, "pacs")
    assert store.outbox.counts()[PENDING] == 2


def test_a_notice_that_was_refused_may_be_sent_again(store: Store) -> None:
    """A person retries deliveries of a job without a result as of any other."""
    claim = store.claimed()
    notice, reason = report_object("notice", ObjectKind.NOTICE), Reason(ReasonCode.ROI_NOT_FOUND)
    assert store.results.conclude(
        claim, JobState.QUARANTINED, reason, [notice], destinations=["pacs"], events=[event()]
    )
    lease = store.outbox.lease("d")
    store.outbox.record("d", lease, answers(lease, FAILED))
    assert store.outbox.retry() == 1
    assert states(store, claim) == [PENDING]
    assert len(store.outbox.lease("d")) == 1


def test_what_was_not_needed_was_never_tried(store: Store) -> None:
    """Of two forms the destination took one: the other has never been there, so nobody will ask to have it removed."""
    claim = committed(store, "pacs")
    lease = store.outbox.lease("d")
    store.outbox.record("d", lease, answers(lease, STORED, DeliveryState.WITHDRAWN))
    assert [one.attempts for one in store.outbox.rows(claim.job_id)] == [1, 0]
