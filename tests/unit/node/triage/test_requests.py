"""Which series without a result gets a notice."""

from dataclasses import replace

import pytest

from node.domain.imaging import Series
from node.domain.reasons import ReasonCode
from node.settings import NoticesSettings, RuleSettings
from node.triage.requests import wants_notice
from tests.factories import ct_slices, series_of

RULE = RuleSettings(
    predictor="porcelain", when={"RoiAnatomy": "pancreas", "StudyDescription": "*pancreas*"}, requested=True
)


def _series(description: str = "CT PANCREAS PROTOCOL") -> Series:
    return series_of(ct_slices(3, StudyDescription=description))


def _wants(
    reason: ReasonCode = ReasonCode.ROI_NOT_FOUND,
    series: Series | None = None,
    rules: tuple[RuleSettings, ...] = (),
    *,
    marked: bool = False,
    reported: bool = False,
    settings: NoticesSettings | None = None,
) -> bool:
    return wants_notice(
        series or _series(), reason, settings or NoticesSettings(), rules, is_marked=marked, was_reported=reported
    )


def test_nobody_waits_for_what_only_comes_by() -> None:
    """Without a request there is no notice, unless the site wants one for everything."""
    assert not _wants()
    assert _wants(settings=NoticesSettings(unrequested=True))


def test_a_contour_is_a_request() -> None:
    """Somebody marked the series: they hear why there is no result, unless the site wants no notices."""
    assert _wants(marked=True)
    assert not _wants(marked=True, settings=NoticesSettings(requested=False))


def test_an_earlier_result_is_a_request() -> None:
    """A result that a late slice made void must not stand there as if it held."""
    assert _wants(reported=True)


def test_a_rule_can_say_that_an_analysis_was_asked_for() -> None:
    """Its conditions on the header count; those on a region cannot, since there may be none."""
    assert _wants(rules=(RULE,))
    assert not _wants(series=_series("CT CHEST"), rules=(RULE,))
    assert not _wants(rules=(replace_flag(RULE),))


def replace_flag(rule: RuleSettings) -> RuleSettings:
    """The same rule without the flag."""
    return rule.model_copy(update={"requested": False})


@pytest.mark.parametrize("reason", [ReasonCode.LOCALIZER, ReasonCode.NOT_CT, ReasonCode.SECONDARY_CAPTURE])
def test_what_every_study_holds_beside_the_ct_needs_no_notice(reason: ReasonCode) -> None:
    """A requested study has scouts and dose pages; only what somebody marked is told about."""
    assert not _wants(reason, rules=(RULE,))
    assert _wants(reason, marked=True)


@pytest.mark.parametrize("reason", [ReasonCode.PATIENT_CONFLICT, ReasonCode.STORED_FILE_DAMAGED, ReasonCode.PRUNED])
def test_in_doubt_about_the_patient_nothing_is_said(reason: ReasonCode) -> None:
    """A notice under the wrong patient is worse than none."""
    assert not _wants(reason, marked=True, reported=True, settings=NoticesSettings(unrequested=True))


def test_a_series_of_two_patients_gets_none_whatever_the_reason() -> None:
    """The instances are looked at, not only the reason."""
    series = _series()
    other = replace(series.instances[1], patient=replace(series.patient, patient_id="OTHER"))
    mixed = replace(series, instances=(series.instances[0], other, series.instances[2]))
    assert not _wants(series=mixed, marked=True)


@pytest.mark.parametrize("reason", [ReasonCode.OWN_RESULT, ReasonCode.ANNOTATION_ORPHAN])
def test_what_nobody_reads_as_an_answer_gets_none(reason: ReasonCode) -> None:
    """A contour that comes before its images is no end of anything."""
    assert not _wants(reason, marked=True)
