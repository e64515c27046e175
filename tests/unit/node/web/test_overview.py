"""The overview: what moves raises its alarm, what does not raises none, and nothing is said of too little."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from models.reference import Reference
from node.domain.drift import Histogram
from node.store import tables
from node.web import overview as module
from node.web.overview import AlarmState, Overview, overview
from tests.page import PageUnderTest
from tests.watched import DIGEST, NOW, brighten, watch

KEY = "drift:porcelain aaaaaaaa"


def seen(page: PageUnderTest) -> Overview:
    """The overview now."""
    return overview(page.settings, page.stores, NOW)


def states(page: PageUnderTest) -> dict[str, AlarmState]:
    """How everything stands."""
    return {one.key: one.state for one in seen(page).alarms}


def test_a_node_that_stays_as_it_is_raises_no_alarm(page: PageUnderTest) -> None:
    """Scores, inputs, scanners, readers, outcomes as they were."""
    watch(page, 600)
    assert set(states(page).values()) == {AlarmState.FINE}


@pytest.mark.parametrize(
    ("change", "raised"),
    [
        ({"shift": 0.3}, {f"{KEY}:NTR_HIGH"}),
        ({"scanner_changes": True}, {f"{KEY}:scanner"}),
        ({"agree": 4}, {"agreement"}),
        ({"calibrated": False}, {"calibration:porcelain aaaaaaaa:NTR_HIGH"}),
    ],
)
def test_what_moves_raises_its_own_alarm_and_no_other(
    page: PageUnderTest, change: dict[str, object], raised: set[str]
) -> None:
    """Scores that rise, a new scanner, readers who disagree, probabilities that do not come true."""
    watch(page, 600, **change)  # type: ignore[arg-type]  # the table above
    found = {key for key, state in states(page).items() if state is AlarmState.ALARM}
    # Scores that rise by 0.3 are not calibrated any more, either.
    assert raised <= found
    assert found - raised <= {"calibration:porcelain aaaaaaaa:NTR_HIGH"}


@pytest.mark.parametrize("is_blinded", [False, True])
def test_the_centre_that_is_unlike_the_others_is_told_and_no_other(page: PageUnderTest, is_blinded: bool) -> None:
    """It is brighter now as it was before, so nothing has moved in time; of blinded scores no median is told."""
    watch(page, 600, is_blinded=is_blinded)
    brighten(page, 70.0)
    found = seen(page)
    (alarm,) = [one for one in found.alarms if one.key == f"{KEY}:centre"]
    assert alarm.state is AlarmState.ALARM
    assert alarm.value.startswith("Cedar: HU in the region, mean, PSI ")
    (model,) = found.models
    assert {(row.found.centre, row.quantity) for row in model.centres if row.is_apart} == {
        ("Cedar", "HU in the region, mean")
    }
    assert len(model.centres) == 9
    assert {row.quantity for row in model.centres if not row.is_shown} == ({"Score NTR_HIGH"} if is_blinded else set())
    others = {one.key for one in found.alarms if one.state is AlarmState.ALARM} - {alarm.key}
    assert others == set()


def test_of_too_little_nothing_is_said(page: PageUnderTest) -> None:
    """Ten results are no distribution."""
    watch(page, 20, scanner_changes=True, agree=0)
    found = states(page)
    assert AlarmState.ALARM not in found.values()
    assert found["agreement"] is AlarmState.TOO_FEW


def test_scores_are_held_to_the_bundles_reference_where_it_has_one(
    page: PageUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where it has none, that is said, never made up."""
    watch(page, 200)
    model = seen(page).models[0]
    assert (model.digest, model.scores[0].why_none[:13]) == (DIGEST, "No reference:")
    assert [one.against[:10] for one in model.scores[0].drifts] == ["the period"]
    low = Histogram(module.SCORE_EDGES, (90, 10, 0, 0, 0, 0, 0, 0, 0, 0))
    known = Reference("out-of-fold scores", {"NTR_HIGH": low}, {})
    monkeypatch.setattr(module, "references", lambda _: {DIGEST: known})
    watched = seen(page).models[0].scores[0]
    assert watched.why_none == ""
    assert watched.drifts[0].against == "the bundle's reference (out-of-fold scores, 100 cases)"
    assert watched.drifts[0].psi > 1
    assert watched.drifts[0].ks.p_value < 1e-6
    assert states(page)[f"{KEY}:NTR_HIGH"] is AlarmState.ALARM


def test_of_blinded_results_the_distance_is_told_and_no_distribution(page: PageUnderTest) -> None:
    """A histogram that grows by one would tell what was found in whom."""
    watch(page, 200, is_blinded=True)
    model = seen(page).models[0]
    score = model.scores[0]
    assert model.blinded == model.count
    assert (score.now, score.quartiles) == (None, None)
    assert all(one.now is None for one in score.drifts)
    assert score.drifts
    assert model.calibrations == ()


def test_what_was_blinded_in_the_period_before_is_no_reference_that_is_drawn(page: PageUnderTest) -> None:
    """A model that was silent until this period; inputs, which tell nothing of a finding, are compared as ever."""
    watch(page, 200)
    before = select(tables.observations.c.job_id).where(tables.observations.c.at < NOW - timedelta(days=30))
    with page.stores.database.write() as connection:
        hidden = update(tables.findings).where(tables.findings.c.job_id.in_(before)).values(is_blinded=True)
        connection.execute(hidden)
    model = seen(page).models[0]
    assert model.blinded == 0
    assert model.scores[0].now is not None
    assert model.scores[0].drifts == ()
    assert all(one.drifts for one in model.inputs)


def test_turnaround_refusals_and_volume_are_counted(page: PageUnderTest) -> None:
    """Two of a hundred are refused; percentiles are those of the seconds that were written."""
    watch(page, 200)
    found = seen(page)
    assert sum(day.total for day in found.volume) == 100
    assert sum(day.refused for day in found.volume) == 2
    assert sum(count for _, count in found.refusals) == 2
    predictor, count, result, sent = found.turnaround[0]
    assert (predictor, count) == ("porcelain", 100)
    assert result[0] < result[1] < result[2]
    assert sent is not None
    assert sent[0] == pytest.approx(2 * result[0], rel=1e-3)


def test_what_waits_too_long_raises_an_alarm(page: PageUnderTest, tmp_path: Path) -> None:
    """Whatever else is well."""
    watch(page, 40)
    with page.stores.database.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET state = 'waiting' WHERE id = 'many00000039'")
    assert states(page)["waiting"] is AlarmState.ALARM
    patient = page.settings.monitoring.model_copy(update={"max_waiting_minutes": 1e6})
    settings = page.settings.model_copy(update={"monitoring": patient})
    found = overview(settings, page.stores, NOW)
    assert next(one.state for one in found.alarms if one.key == "waiting") is AlarmState.FINE
    assert replace(found, alarms=()).volume == found.volume
