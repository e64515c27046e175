"""UIDs and descriptions."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from node.domain.identifiers import JobId
from node.domain.prediction import TrainingStatus
from node.domain.reporting import MESSAGE_KINDS, NOTICE_KINDS, Notice, NoticeKind, ObjectKind, Report
from node.reports.naming import (
    instance_uid,
    notice_description,
    series_description,
    series_uid,
    tracking_identifier,
    tracking_uid,
    warnings,
)
from tests.unit.node.reports.factory import SERIES, gtrnet

MakeReport = Callable[..., Report]
MakeNotice = Callable[[NoticeKind], Notice]


def _with_disclaimer(report: Report, text: str) -> Report:
    algorithm = replace(report.prediction.algorithm, disclaimer=text)
    return replace(report, prediction=replace(report.prediction, algorithm=algorithm))


def test_each_object_has_its_own_uid(make_report: MakeReport) -> None:
    """Kinds and indices never share a UID, nor does a series share one with an instance."""
    report = make_report()
    uids = [instance_uid(report, kind, index) for kind in ObjectKind for index in range(3)]
    uids += [series_uid(report, kind) for kind in ObjectKind]
    assert len(set(uids)) == len(uids)


@pytest.mark.parametrize("changed", [{"manifest": "0" * 64}, {"job_id": JobId.of(SERIES, 2)}])
def test_another_analysis_has_other_uids_but_the_same_lesion(make_report: MakeReport, changed: dict[str, str]) -> None:
    """Changed content is a new object; the lesion in it is still tracked as the same."""
    report = make_report()
    other = replace(report, **changed)
    assert instance_uid(report, ObjectKind.SUMMARY) != instance_uid(other, ObjectKind.SUMMARY)
    assert tracking_uid(report) == tracking_uid(other)


def test_the_tracking_identifier_is_plain_words(make_report: MakeReport) -> None:
    """It has nothing of the form "tool:name", which makes viewers recompute values."""
    assert tracking_identifier(make_report()) == "Lesion in the stomach"


@pytest.mark.parametrize("kind", [kind for kind in ObjectKind if kind not in (*NOTICE_KINDS, *MESSAGE_KINDS)])
def test_the_description_says_what_it_is_first(make_report: MakeReport, kind: ObjectKind) -> None:
    """The first 25 characters, which is what narrow lists show, name the subject and the kind."""
    assert len(series_description(make_report(), kind).split(",")[0]) <= 25


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_a_notice_says_so_in_a_series_list(make_notice: MakeNotice, kind: NoticeKind) -> None:
    """The first 25 characters say that there is no result; nothing of it is longer than a Long String."""
    text = notice_description(make_notice(kind), ObjectKind.NOTICE)
    assert text.startswith("AI notice: ")
    assert "not analysed" in text[:25] or "WITHDRAWN" in text[:25]
    assert len(text) <= 64
    assert text.endswith("(unverified)")


def test_another_reason_is_another_notice(make_notice: MakeNotice) -> None:
    """A job that is retried and ends otherwise says something new; the same end is the same object."""
    notice = make_notice(NoticeKind.NOT_ANALYSED)
    again, other = replace(notice), replace(notice, reason="Another reason.")
    assert instance_uid(again, ObjectKind.NOTICE) == instance_uid(notice, ObjectKind.NOTICE)
    assert instance_uid(other, ObjectKind.NOTICE) != instance_uid(notice, ObjectKind.NOTICE)


def test_a_disclaimer_is_never_cut_within_a_clause(make_report: MakeReport) -> None:
    """What does not fit is left out whole: half a clause could say the opposite."""
    report = _with_disclaimer(make_report(), "trained on patients of another hospital, never here")
    text = series_description(report, ObjectKind.SUMMARY)
    assert text == "AI cT: summary, untrained, not for clinical use (unverified)"
    first_clause = _with_disclaimer(make_report(), "no claim, whatever the number may seem to say")
    assert "no claim, not for clinical use" in series_description(first_clause, ObjectKind.SUMMARY)


def test_a_validated_algorithm_is_still_unverified(make_report: MakeReport) -> None:
    """Validation drops "not for clinical use"; that no person has verified the result stays."""
    report = make_report(gtrnet(status=TrainingStatus.VALIDATED))
    assert warnings(report) == ("unverified",)
    assert series_description(report, ObjectKind.SUMMARY) == "AI cT: summary (unverified)"
