"""Priorities by rule: what the settings call urgent overtakes, and the trail says who said so."""

from pathlib import Path

import pytest

from node.domain.audit import AuditAction
from node.domain.identifiers import SeriesUID
from node.prioritising import BY, Prioritised
from node.settings import RuleSettings, Settings
from node.store.session import Database
from node.stores import Stores
from tests.factories import SERIES, ct_slices, received

EMERGENCY = RuleSettings(predictor="gtrnet", when={"StationName": "ED-*", "RoiAnatomy": "stomach"}, urgent=True)
ROUTINE = RuleSettings(predictor="gtrnet", when={"StationName": "ED-*"})
OTHER = SeriesUID("2.25.81")


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """A series of the ward, and then one of the emergency department."""
    settings = Settings(data_dir=tmp_path)
    Database(settings.url).upgrade()
    opened = Stores.open(settings)
    for uid, station in ((SERIES, "CT1"), (OTHER, "ED-CT")):
        for one in ct_slices(2, series=uid, StationName=station, StudyInstanceUID=f"{uid}.1"):
            opened.inbox.accept(received(one))
    return opened


def order(stores: Stores, *rules: RuleSettings) -> list[str]:
    """The series in the order of their claims."""
    jobs = Prioritised(stores, rules)
    assert jobs.complete(SERIES, "test", 2)
    assert jobs.complete(OTHER, "test", 2)
    return [claim.series_uid for claim in iter(lambda: stores.jobs.claim("worker"), None)]


def test_a_series_that_a_rule_calls_urgent_overtakes(stores: Stores) -> None:
    """By its header; what a rule says of a region cannot be known yet."""
    assert order(stores, ROUTINE, EMERGENCY) == [OTHER, SERIES]
    (event,) = [one for one in stores.audit.events() if one.action is AuditAction.JOB_PRIORITISED]
    assert (event.actor, event.series_uid) == (BY, OTHER)


def test_without_such_a_rule_the_oldest_is_first(stores: Stores) -> None:
    """Nothing is prioritised, nothing said."""
    assert order(stores, ROUTINE) == [SERIES, OTHER]
    assert AuditAction.JOB_PRIORITISED not in {one.action for one in stores.audit.events()}
