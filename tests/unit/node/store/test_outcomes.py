"""Outcomes are added and never changed; the newest of a study and question counts."""

from datetime import UTC, date, datetime

import pytest
from sqlalchemy.exc import DBAPIError

from node.domain.audit import AuditAction
from node.domain.outcome import Outcome
from node.store.outcomes import OutcomeStore, standing
from tests import factories
from tests.unit.node.store.conftest import Store

NOW = datetime(2025, 3, 4, tzinfo=UTC)


def test_the_newest_answer_to_each_question_stands(store: Store) -> None:
    """And the earlier ones stay to be seen."""
    outcomes = OutcomeStore(store.database)
    entered = [Outcome("2.25.1", answer, "Dr Jones", NOW) for answer in ("T2", "NTR_LOW", "T3")]
    outcomes.add(entered)
    outcomes.add([Outcome("2.25.9", "T1", "Dr Jones", NOW, date(2025, 1, 2), "pathology")])
    assert outcomes.of("2.25.1") == tuple(entered)
    assert {one.answer for one in standing(outcomes.of("2.25.1"))} == {"NTR_LOW", "T3"}
    assert outcomes.of("2.25.9")[0].determined_on == date(2025, 1, 2)
    told = [event for event in store.audit.events() if event.action is AuditAction.OUTCOMES_ENTERED]
    assert [(event.actor, event.study_uid) for event in told][:1] == [("person Dr Jones", "2.25.1")]


def test_what_was_entered_cannot_be_changed(store: Store) -> None:
    """Nor removed."""
    OutcomeStore(store.database).add([Outcome("2.25.1", "T2", "Dr Jones", NOW)])
    for statement in ("UPDATE outcomes SET answer = 'T1'", "DELETE FROM outcomes"):
        with pytest.raises(DBAPIError, match="append-only"):
            store.change(statement)


def test_studies_are_found_by_what_a_file_calls_them(store: Store) -> None:
    """By accession number and by UID; what is not here is left out."""
    store.receive()
    outcomes = OutcomeStore(store.database)
    assert outcomes.studies("accession", ["ACC-1", "ACC-9"]) == {"ACC-1": {factories.STUDY}}
    assert outcomes.studies("study_uid", [factories.STUDY]) == {factories.STUDY: {factories.STUDY}}
    assert outcomes.studies("accession", []) == {}
