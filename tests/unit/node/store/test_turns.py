"""Whose turn it is: urgent ones first, the oldest of those, and what has waited for long in between."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from node.store.tables import IS_URGENT, series
from node.store.turns import TURN_OF_THE_AGED
from tests.unit.node.store.conftest import Store


def test_an_urgent_case_overtakes(store: Store) -> None:
    """Whatever was there before."""
    now = datetime.now(UTC)
    store.waiting_since("2.25.701", now - timedelta(minutes=5))
    store.waiting_since("2.25.702", now, urgent=True)
    assert [store.claim().series_uid for _ in range(2)] == ["2.25.702", "2.25.701"]


def test_a_routine_case_never_starves(store: Store) -> None:
    """However many urgent ones come, every fourth claim goes to what has waited for long."""
    now = datetime.now(UTC)
    store.waiting_since("2.25.700", now - timedelta(hours=1))
    for number in range(TURN_OF_THE_AGED):
        store.waiting_since(f"2.25.71{number}", now + timedelta(seconds=number), urgent=True)
    claimed = [store.claim().series_uid for _ in range(TURN_OF_THE_AGED)]
    assert claimed == ["2.25.710", "2.25.711", "2.25.712", "2.25.700"]


def test_beside_others_only_what_never_cost_a_worker_is_claimed(store: Store) -> None:
    """Neither a job with a strike nor one of a dead worker."""
    now = datetime.now(UTC)
    for number, strikes in enumerate((1, 0)):
        store.waiting_since(f"2.25.72{number}", now + timedelta(seconds=number))
        store.change("UPDATE jobs SET strikes = :n WHERE series_uid = :uid", n=strikes, uid=f"2.25.72{number}")
    taken = store.jobs.claim("w", is_beside=True)
    assert taken is not None
    assert taken.series_uid == "2.25.721"
    store.forget_leases()
    assert store.jobs.claim("w", is_beside=True) is None
    left = [store.claim() for _ in range(2)]
    assert [(claim.series_uid, claim.strikes) for claim in left] == [("2.25.720", 1), ("2.25.721", 1)]


def test_a_claim_says_whether_it_is_urgent(store: Store) -> None:
    """Whoever takes several together does not keep it waiting."""
    now = datetime.now(UTC)
    store.waiting_since("2.25.730", now, urgent=True)
    store.waiting_since("2.25.731", now)
    assert [store.claim().is_urgent for _ in range(2)] == [True, False]


def test_urgent_series_are_found_by_an_index(store: Store) -> None:
    """Which holds them alone: whoever claims looks at no other."""
    assert "ix_series_urgent" in store.plan_of(select(series.c.series_uid).where(IS_URGENT))
