"""Requests: whether somebody waits for a result of a series, so that silence would be read as a negative one."""

from collections.abc import Sequence
from typing import Final

from node.domain.imaging import Series
from node.domain.reasons import ReasonCode
from node.settings import NoticesSettings, RuleSettings
from node.triage.rules import holds_for_header

_NOTHING_TO_SAY: Final = frozenset({ReasonCode.OWN_RESULT, ReasonCode.ANNOTATION_LINKED, ReasonCode.ANNOTATION_ORPHAN})
"""What ends nothing that a reader waits for: a contour often comes before its images."""
_DOUBTFUL: Final = frozenset(
    {
        ReasonCode.PATIENT_CONFLICT, ReasonCode.CONTENT_CONFLICT, ReasonCode.STORED_FILE_DAMAGED, ReasonCode.PRUNED,
        ReasonCode.UID_MISMATCH,
    }
)  # fmt: skip
"""After which nobody can be sure whose study it is, or what its headers say."""
_NO_CANDIDATES: Final = frozenset(
    {
        ReasonCode.NOT_CT, ReasonCode.NOT_AN_IMAGE, ReasonCode.SECONDARY_CAPTURE, ReasonCode.LOCALIZER,
        ReasonCode.DERIVED_IMAGE, ReasonCode.NOT_AXIAL,
    }
)  # fmt: skip
"""What every requested study holds beside the series that is to be analysed."""


def wants_notice(
    series: Series,
    reason: ReasonCode,
    settings: NoticesSettings,
    rules: Sequence[RuleSettings],
    *,
    is_marked: bool,
    was_reported: bool,
) -> bool:
    """Whether the series gets a notice.

    ``is_marked``: a contour of the same patient references it; ``was_reported``: an earlier version of it has results
    or a notice. Nothing is ever said where the patient is in doubt: it could stand under the wrong one.
    """
    if reason in _DOUBTFUL or reason in _NOTHING_TO_SAY or not _is_of_one_patient(series):
        return False
    by_rule = reason not in _NO_CANDIDATES and any(rule.requested and holds_for_header(rule, series) for rule in rules)
    requested = is_marked or was_reported or by_rule
    return settings.requested if requested else settings.unrequested


def _is_of_one_patient(series: Series) -> bool:
    identities = {(one.patient.key(), one.study_uid) for one in series.instances}
    return identities == {(series.patient.key(), series.study_uid)}
