"""Leases: watched on a clock that nobody can set."""

from datetime import UTC, datetime, timedelta

from node.store.leases import Lease, LeaseWatch
from tests.unit.node.store.conftest import Clock

LENGTH = timedelta(seconds=30)
LEASE: Lease = ("job", 1, datetime(2024, 5, 6, tzinfo=UTC))
RENEWED: Lease = ("job", 1, datetime(2024, 5, 6, 1, tzinfo=UTC))


def watch() -> tuple[LeaseWatch, Clock]:
    """One, with its clock."""
    clock = Clock()
    return LeaseWatch(clock), clock


def test_a_lease_that_is_never_renewed_is_abandoned_after_its_length() -> None:
    """Counted from when it was first seen, whatever moment it names."""
    leases, clock = watch()
    assert leases.abandoned([LEASE], LENGTH) == ()
    clock.now_s += 29
    assert leases.abandoned([LEASE], LENGTH) == ()
    clock.now_s += 2
    assert leases.abandoned([LEASE], LENGTH) == (LEASE,)


def test_a_lease_that_is_renewed_is_not_abandoned() -> None:
    """Its length begins anew."""
    leases, clock = watch()
    leases.abandoned([LEASE], LENGTH)
    clock.now_s += 29
    leases.abandoned([RENEWED], LENGTH)
    clock.now_s += 29
    assert leases.abandoned([RENEWED], LENGTH) == ()


def test_a_lease_counts_from_when_it_was_taken_here() -> None:
    """A worker that has lost sight of its own job need not watch it first."""
    leases, clock = watch()
    leases.begin([LEASE])
    clock.now_s += 31
    assert leases.abandoned([LEASE], LENGTH) == (LEASE,)


def test_what_is_not_held_any_more_is_forgotten() -> None:
    """A lease that comes back has its whole length."""
    leases, clock = watch()
    leases.begin([LEASE])
    leases.abandoned([], LENGTH)
    clock.now_s += 31
    assert leases.abandoned([LEASE], LENGTH) == ()
