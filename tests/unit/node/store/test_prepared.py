"""Prepared statements: what SQLAlchemy would have done, on every database, with its types, constants and errors."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from node.store.prepared import Prepared
from node.store.session import Database
from node.store.tables import audit, series

NOW = datetime(2026, 3, 1, 12, 30, 15, 250, UTC)
ROW = {
    "series_uid": "1.2", "study_uid": "1.3", "patient_id": "P", "issuer": "", "modality": "CT", "calling_ae": "A",
    "first_received_at": NOW, "last_received_at": NOW, "in_conflict": False,
}  # fmt: skip
EVENT = {
    "at": NOW, "actor": "peer A", "action": "a:b:c", "outcome": "success", "study_uid": "", "series_uid": "",
    "instance_uid": "", "job_id": "", "reason": "", "details": {"bytes": 7},
}  # fmt: skip
INSERT = Prepared(insert(series).inline(), list(ROW))
INSERT_EVENT = Prepared(insert(audit).inline(), list(EVENT))
LIMITED = Prepared(select(series.c.series_uid).where(series.c.study_uid == bindparam("study")).limit(1))


def test_values_arrive_as_their_types_say(database: Database) -> None:
    """Times, truth values and JSON go through the same conversions."""
    with database.write() as connection:
        INSERT.run(connection, ROW)
        INSERT_EVENT.run_all(connection, [EVENT, EVENT])
    with database.read() as connection:
        (kept,) = connection.execute(select(series)).mappings().all()
        events = connection.execute(select(audit.c.at, audit.c.details)).all()
    assert {name: kept[name] for name in ROW} == ROW
    assert [tuple(event) for event in events] == [(NOW, {"bytes": 7})] * 2


def test_constants_of_the_statement_need_not_be_given(database: Database) -> None:
    """A limit is the statement's own."""
    with database.write() as connection:
        INSERT.run(connection, ROW)
        INSERT.run(connection, ROW | {"series_uid": "1.4"})
        assert len(LIMITED.run(connection, {"study": "1.3"}).fetchall()) == 1


def test_errors_are_said_in_the_same_words(database: Database) -> None:
    """A row that is there already is an IntegrityError, which says nothing of the values; nothing is kept."""
    with pytest.raises(IntegrityError) as refused, database.write() as connection:
        INSERT.run_all(connection, [ROW, ROW])
    assert "2026" not in str(refused.value)
    with database.read() as connection:
        assert connection.execute(select(series)).all() == []


def test_a_fault_that_is_not_the_drivers_is_left_as_it_is(database: Database) -> None:
    """A value that was forgotten is our mistake."""
    with pytest.raises(KeyError), database.write() as connection:
        INSERT.run(connection, {"series_uid": "1.2"})
