"""A sample of the faults of a fleet; ``python -m tests.faults fleet`` is the matrix."""

from functools import partial
from pathlib import Path

import pytest

from tests.faults import fleet, hosts
from tests.servers import running_postgresql

SAMPLE = {
    "redis killed": fleet.Scenario(fleet.broker_killed),
    "worker stopped": fleet.Scenario(partial(fleet.worker_stopped, seconds=2 * fleet.LEASE.total_seconds())),
    "poison, 3 together": fleet.Scenario(partial(fleet.poisoned, each=1, good=3), partial(fleet.fleet_in, together=3)),
    **hosts.SCENARIOS,
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("scenario", SAMPLE)
def test_a_fleet_that_is_hurt_keeps_its_promises(scenario: str, tmp_path: Path) -> None:
    """Nothing is lost, nothing done twice, the good ones finish, what kills workers is held with the last error."""
    one = SAMPLE[scenario]
    if reason := one.why_not():
        pytest.skip(reason)
    with running_postgresql() as server:
        row = fleet.torment(tmp_path / "fleet", server, scenario, one.fault, "fleet", one.opened)
    assert row.remarks == ()
    # How much later a case comes through is the matrix' business: other tests share this machine.
    assert row.verdict.is_clean
