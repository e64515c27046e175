"""Monitoring asks for what counts: results that were committed, verdicts that stand, outcomes that are the newest."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text, update

from node.domain.identifiers import JobId
from node.domain.outcome import Outcome
from node.domain.verdict import Verdict, VerdictKind
from node.store import tables
from node.store.findings import FindingStore, Found
from node.store.monitoring import Monitoring
from node.store.outcomes import OutcomeStore
from node.store.session import Database
from node.store.verdicts import VerdictStore
from tests import factories
from tests.unit.node.store.conftest import Store

WATCHED = {
    "digest": "d" * 64, "conclusion": "NTR_HIGH", "scores": {"NTR_HIGH": 0.75}, "inputs": {"hu_mean": 91.5},
    "scanner": "S", "kernel": "K", "used": 3, "imputed": 1,
}  # fmt: skip
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def later() -> datetime:
    """After everything that has happened."""
    return datetime.now(UTC) + timedelta(minutes=1)


def analysed(store: Store, *, is_blinded: bool = False) -> JobId:
    """A result."""
    claim = store.claimed()
    document = {"summary": "NTR 75 %", "observed": WATCHED}
    assert Monitoring(store.database).observations(LONG_AGO, later()) == ()
    found = Found(document, is_blinded=is_blinded)
    assert store.results.commit(
        claim, [], predictor="porcelain", destinations=(), steps=[factories.ended()], found=found
    )
    return claim.job_id


def test_a_result_is_counted_timed_and_observed_once_it_is_committed(store: Store) -> None:
    """Each day has its volume."""
    analysed(store)
    monitoring = Monitoring(store.database)
    (day,) = monitoring.volume(LONG_AGO)
    assert (day.analysed, day.refused, day.total) == (1, 0, 1)
    assert day.day == f"{datetime.now(UTC):%Y-%m-%d}"
    (took,) = monitoring.turnaround(LONG_AGO)
    assert took.predictor == "porcelain"
    assert 0 <= took.result_s < 600
    (seen,) = monitoring.observations(LONG_AGO, later())
    assert (seen.predictor, seen.scores, seen.inputs, seen.is_blinded) == (
        "porcelain",
        {"NTR_HIGH": 0.75},
        {"hu_mean": 91.5},
        False,
    )
    assert monitoring.observations(LONG_AGO, LONG_AGO + timedelta(days=1)) == ()
    assert monitoring.volume(later()) == ()
    assert monitoring.refusals(LONG_AGO) == {}


def test_a_day_is_that_of_utc_whatever_zone_the_database_is_in(store: Store) -> None:
    """PostgreSQL counts days in the zone of the connection."""
    analysed(store)
    with store.database.write() as connection:
        connection.execute(update(tables.jobs).values(created_at=datetime(2025, 3, 4, 23, 30, tzinfo=UTC)))
        if connection.dialect.name == "postgresql":
            name = connection.scalar(text("SELECT current_database()"))
            connection.execute(text(f"ALTER DATABASE {name} SET timezone TO 'Etc/GMT-14'"))
    elsewhere = Database(store.database.url)
    assert [one.day for one in Monitoring(elsewhere).volume(LONG_AGO)] == ["2025-03-04"]
    elsewhere.close()


def test_what_a_reader_said_last_is_what_they_think(store: Store) -> None:
    """Of each reader."""
    job, verdicts = analysed(store), VerdictStore(store.database)
    now = datetime.now(UTC)
    for reader, kind in (("a", VerdictKind.ROI_WRONG), ("a", VerdictKind.AGREE), ("b", VerdictKind.NOT_INTERPRETABLE)):
        verdicts.add(Verdict(job, now, reader, kind, predictor="porcelain", digest="d" * 64))
    found = Monitoring(store.database).words(LONG_AGO)
    assert sorted(word.kind for word in found) == ["agree", "not-interpretable"]


def test_a_result_is_judged_by_the_newest_outcome_of_its_study(store: Store) -> None:
    """Those of other studies do not count."""
    analysed(store)
    now = datetime.now(UTC)
    answers = [(factories.STUDY, "NTR_HIGH"), (factories.STUDY, "NTR_LOW"), ("2.25.404", "NTR_HIGH")]
    OutcomeStore(store.database).add([Outcome(study, answer, "Dr Jones", now) for study, answer in answers])
    assert [one.answer for one in Monitoring(store.database).judged()] == ["NTR_LOW"]


def test_a_blinded_result_is_marked_and_not_judged(store: Store) -> None:
    """Until somebody unblinds it."""
    job, monitoring = analysed(store, is_blinded=True), Monitoring(store.database)
    OutcomeStore(store.database).add([Outcome(factories.STUDY, "NTR_HIGH", "Dr Jones", datetime.now(UTC))])
    assert [one.is_blinded for one in monitoring.observations(LONG_AGO, later())] == [True]
    assert monitoring.judged() == ()
    FindingStore(store.database).unblind(job, "Dr Jones", "over")
    assert [one.is_blinded for one in monitoring.observations(LONG_AGO, later())] == [False]
    assert len(monitoring.judged()) == 1
