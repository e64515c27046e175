"""Priorities by rule: a series that the settings call urgent goes before others from the moment that it is complete."""

from collections.abc import Sequence

from node.domain.identifiers import SeriesUID
from node.settings import RuleSettings
from node.stores import Stores
from node.triage.rules import is_urgent

BY = "rules"
"""Whom the audit trail names."""


class Prioritised:
    """The jobs of a node, each put in its place before it waits."""

    def __init__(self, stores: Stores, rules: Sequence[RuleSettings]) -> None:
        """``rules``: those of the settings; where none is urgent, nothing is looked at."""
        self._stores = stores
        self._rules = [rule for rule in rules if rule.urgent]

    def complete(self, series_uid: SeriesUID, evidence: str, count: int) -> bool:
        """As ``JobStore.complete``."""
        if self._rules and is_urgent(self._rules, self._stores.inbox.series(series_uid)):
            newest, *_ = self._stores.worklist.versions(series_uid)
            self._stores.worklist.set_urgent(newest[0], urgent=True, by=BY)
        return self._stores.jobs.complete(series_uid, evidence, count)
