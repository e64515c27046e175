"""Compose: every writer writes, and viewers list in one order."""

import pytest

from node.domain.identifiers import JobId
from node.domain.reporting import ObjectKind, Report
from tests.factories import SERIES
from tests.fakes import FakeWriter, raising
from workers.steps.compose import compose


class _Report:
    """As much of a report as the fakes look at."""

    job_id = JobId.of(SERIES, 1)
    manifest = "m"


@pytest.fixture
def report() -> Report:
    """A report without a patient."""
    return _Report()  # type: ignore[return-value]


def test_objects_come_in_the_order_of_their_kinds(report: Report) -> None:
    """Summary first, whatever order the writers are registered in."""
    writers = [FakeWriter(kind) for kind in reversed(ObjectKind)]
    assert [made.kind for made in compose(report, writers)] == list(ObjectKind)


def test_a_writer_that_fails_leaves_no_partial_report(report: Report) -> None:
    """All objects or none."""
    with pytest.raises(ZeroDivisionError):
        compose(report, [FakeWriter(), FakeWriter(hook=raising(ZeroDivisionError()))])
