"""The audit trail: complete, in order, and held append-only by the database itself."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from node.domain.audit import AuditAction, AuditOutcome
from node.domain.reasons import ReasonCode
from node.store import audit
from tests.factories import event
from tests.unit.node.store.conftest import Store


def test_an_event_comes_back_as_it_was_written(store: Store) -> None:
    """Every field survives, the moment with its microseconds."""
    written = event(
        AuditAction.SERIES_REFUSED,
        outcome=AuditOutcome.REFUSED,
        study_uid="1.2",
        series_uid="1.3",
        instance_uid="1.4",
        job_id="abc",
        reason=ReasonCode.NOT_CT,
        details={"detail": "modality MR", "count": 3, "seconds": 0.25},
    )
    store.audit.record(written)
    assert store.audit.events() == (written,)


def test_events_come_in_the_order_in_which_they_were_added(store: Store) -> None:
    """Order is that of writing, whatever the clocks of the writers say."""
    later, earlier = event(job_id="1"), event(job_id="2", at=datetime.now(UTC) - timedelta(days=1))
    store.audit.record(later, earlier)
    assert [one.job_id for one in store.audit.events()] == ["1", "2"]


def test_events_are_found_by_job_and_by_moment(store: Store) -> None:
    """The filters leave out what is not asked for."""
    now = datetime.now(UTC)
    store.audit.record(event(job_id="1", at=now - timedelta(hours=2)), event(job_id="2", at=now))
    assert [one.job_id for one in store.audit.events(job_id="1")] == ["1"]
    assert [one.job_id for one in store.audit.events(since=now - timedelta(hours=1))] == ["2"]


def test_an_event_shares_the_fate_of_its_transaction(store: Store) -> None:
    """What is taken back was not done, and is not told."""
    with suppress(RuntimeError), store.database.write() as connection:
        audit.append(connection, event())
        raise RuntimeError
    assert store.audit.events() == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE id = 1",
    ],
)
def test_the_database_refuses_to_change_the_trail(store: Store, statement: str) -> None:
    """Not even a program with the password changes or removes a row."""
    store.audit.record(event())
    with pytest.raises(DBAPIError, match="append-only"), store.database.write() as connection:
        connection.execute(text(statement))
    assert [one.actor for one in store.audit.events()] == ["tester"]


def test_no_row_is_replaced(store: Store) -> None:
    """An insertion over an existing row is refused as well, also where the database would delete silently."""
    store.audit.record(event())
    replace = "INSERT OR REPLACE" if store.database.url.startswith("sqlite") else "INSERT"
    statement = (
        f"{replace} INTO audit (id, at, actor, action, outcome, study_uid, series_uid, instance_uid, job_id, reason, "
        "details) VALUES (1, '2024-01-01 00:00:00', 'forger', 'a', 'b', '', '', '', '', '', '{}')"
    )
    with pytest.raises(DBAPIError), store.database.write() as connection:
        connection.execute(text(statement))
    assert [one.actor for one in store.audit.events()] == ["tester"]


def test_postgresql_refuses_to_empty_the_trail(store: Store) -> None:
    """TRUNCATE, which fires no row trigger, is refused too."""
    if store.database.url.startswith("sqlite"):
        return
    with pytest.raises(DBAPIError, match="append-only"), store.database.write() as connection:
        connection.execute(text("TRUNCATE audit"))
