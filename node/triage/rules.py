"""Which predictor a region of interest goes to: the first rule whose conditions all hold."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from node.domain.imaging import Roi, Series
from node.domain.reasons import ReasonCode
from node.errors import Refused
from node.settings import RuleSettings

ROI_ATTRIBUTES: Final = ("RoiAnatomy", "RoiLabel", "Modality")
"""What a condition may look at besides the header values that are kept of a series."""


def choose(rules: Sequence[RuleSettings], series: Series, roi: Roi) -> RuleSettings:
    """The rule for a region in a series.

    Raises:
        Refused: NO_RULE when no rule matches.
    """
    for rule in rules:
        if all(_matches(name, pattern, series, roi) for name, pattern in rule.when.items()):
            return rule
    raise Refused(ReasonCode.NO_RULE, f"anatomy {roi.anatomy.key}")


def holds_for_header(rule: RuleSettings, series: Series) -> bool:
    """Whether the conditions of ``rule`` on header values hold; those on a region are left aside, there may be none."""
    return all(
        fnmatchcase((series.modality if name == "Modality" else series.attribute(name)).lower(), pattern.lower())
        for name, pattern in rule.when.items()
        if not name.startswith("Roi")
    )


def is_urgent(rules: Sequence[RuleSettings], series: Series) -> bool:
    """Whether a rule has ``series`` go before others."""
    return any(rule.urgent and holds_for_header(rule, series) for rule in rules)


def _matches(name: str, pattern: str, series: Series, roi: Roi) -> bool:
    of_the_region = zip(ROI_ATTRIBUTES, (roi.anatomy.key, roi.label, series.modality), strict=True)
    value = dict(of_the_region).get(name)
    value = series.attribute(name) if value is None else value
    return fnmatchcase(value.lower(), pattern.lower())
