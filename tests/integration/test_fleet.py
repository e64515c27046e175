"""A sample of the faults of a fleet; ``python -m tests.faults fleet`` is the matrix."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.faults import fleet
from tests.servers import running_postgresql


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("scenario", "fault"),
    [
        ("redis killed", fleet.broker_killed),
        ("worker stopped", partial(fleet.worker_stopped, seconds=2 * fleet.LEASE.total_seconds())),
        ("poison", partial(fleet.poisoned, each=1, good=3)),
    ],
    ids=["redis-killed", "worker-stopped", "poison"],
)
def test_a_fleet_that_is_hurt_keeps_its_promises(
    scenario: str, fault: Callable[[fleet.Fleet], None], tmp_path: Path
) -> None:
    """Nothing is lost, nothing done twice, the good ones finish, what kills workers is held with the last error."""
    with running_postgresql() as server:
        row = fleet.torment(tmp_path / "fleet", server, scenario, fault, "fleet")
    assert row.remarks == ()
    # How much later a case comes through is the matrix' business: other tests share this machine.
    assert row.verdict.is_clean
