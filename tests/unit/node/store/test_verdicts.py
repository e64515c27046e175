"""Verdicts are added, never changed."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import DBAPIError

from node.domain.verdict import Verdict, VerdictKind
from node.store.verdicts import VerdictStore, standing
from tests.unit.node.store.conftest import Store

DIGEST = "d" * 64


@pytest.fixture
def words(store: Store) -> tuple[VerdictStore, Verdict]:
    """A store, and a verdict to add."""
    claim = store.claimed()
    verdict = Verdict(
        claim.job_id,
        datetime(2026, 1, 1, tzinfo=UTC),
        "anna",
        VerdictKind.DISAGREE,
        "CT2",
        "why",
        "gtrnet",
        DIGEST,
        "CT3",
    )
    return VerdictStore(store.database), verdict


def test_a_verdict_comes_back_as_it_was_given(words: tuple[VerdictStore, Verdict], store: Store) -> None:
    """With its number, and a row of the audit trail."""
    verdicts, verdict = words
    number = verdicts.add(verdict)
    assert verdicts.of(verdict.job_id) == (replace(verdict, id=number),)
    last = store.audit.events()[-1]
    assert (last.actor, last.action.value, last.details["kind"]) == ("person anna", "person:verdict:give", "disagree")


def test_a_reader_amends_and_both_words_stay(words: tuple[VerdictStore, Verdict]) -> None:
    """The newest of each reader stands."""
    verdicts, verdict = words
    verdicts.add(verdict)
    verdicts.add(replace(verdict, reader="berta", kind=VerdictKind.AGREE, own_class=""))
    verdicts.add(replace(verdict, kind=VerdictKind.ROI_WRONG, own_class=""))
    said = verdicts.of(verdict.job_id)
    assert len(said) == 3
    assert [(word.reader, word.kind) for word in standing(said)] == [
        ("anna", VerdictKind.ROI_WRONG),
        ("berta", VerdictKind.AGREE),
    ]
    assert list(verdicts.all()) == list(said)


@pytest.mark.parametrize("statement", ["UPDATE verdicts SET kind = 'agree'", "DELETE FROM verdicts"])
def test_the_database_itself_refuses_to_change_one(
    words: tuple[VerdictStore, Verdict], store: Store, statement: str
) -> None:
    """Whatever program tries."""
    verdicts, verdict = words
    verdicts.add(verdict)
    with pytest.raises(DBAPIError, match="append-only"):
        store.change(statement)
    assert len(verdicts.of(verdict.job_id)) == 1
