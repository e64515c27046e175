"""A document of the archive becomes a verdict where everything about it fits, and not otherwise."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.domain.audit import AuditAction
from node.domain.identifiers import InstanceUID, JobId
from node.domain.imaging import PatientIdentity
from node.domain.reasons import ReasonCode
from node.domain.verdict import Verdict, VerdictDocument, VerdictKind
from node.errors import Quarantined, Refused
from node.store import tables
from node.store.session import Database
from tests.page import PageUnderTest, analysed, open_page
from tests.unit.node.reports.factory import STUDY
from workers.steps.read_verdict import verdict_of

NOW = datetime(2025, 3, 4, tzinfo=UTC)
PATIENT = PatientIdentity("PAT-7", "HOSPITAL")
Judge = Callable[[VerdictDocument], Verdict]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, JobId]:
    """A folder with a result to copy."""
    folder = tmp_path_factory.mktemp("judged")
    database = Database(f"sqlite:///{folder / 'celadon.db'}")
    database.upgrade()
    page = open_page(folder)
    job = analysed(page)
    page.stores.database.close()
    return folder, job


@pytest.fixture
def page(made: tuple[Path, JobId], tmp_path: Path) -> PageUnderTest:
    """A node with a result."""
    shutil.copytree(made[0], tmp_path / "data")
    opened = open_page(tmp_path / "data")
    opened.jobs["analysed"] = made[1]
    return opened


@pytest.fixture
def document(page: PageUnderTest) -> VerdictDocument:
    """A document that agrees with it."""
    about = tuple(str(one.uid) for one in page.stores.results.of(page.jobs["analysed"]))[:2]
    return VerdictDocument(
        instance_uid=InstanceUID("2.25.900"),
        study_uid=STUDY,
        patient=PATIENT,
        is_final=True,
        observers=("Jones^Anna^^Dr=x",),
        references=about,
        verdicts=(VerdictKind.AGREE,),
        own_classes=(),
        reason="",
    )


@pytest.fixture
def judge(page: PageUnderTest) -> Judge:
    """Reads documents about what this node has."""
    stores = page.stores
    return lambda one: verdict_of(
        one, NOW, stores.results.jobs_of, stores.worklist.line, stores.findings.of, lambda _: PATIENT
    )


def test_a_document_that_fits_is_a_verdict_of_its_observer(
    page: PageUnderTest, document: VerdictDocument, judge: Judge
) -> None:
    """Keyed to case, model digest and reader, who is marked as one of the archive's."""
    verdict = judge(document)
    assert (verdict.job_id, verdict.reader) == (page.jobs["analysed"], "Jones Anna Dr (archive)")
    assert (verdict.kind, verdict.conclusion, len(verdict.digest)) == (VerdictKind.AGREE, "CT3", 64)
    assert page.stores.verdicts.add(verdict) == page.stores.verdicts.add(verdict)
    assert [one.source_uid for one in page.stores.verdicts.of(verdict.job_id)] == ["2.25.900"]


def test_a_name_without_end_fits_into_the_trail(page: PageUnderTest, document: VerdictDocument, judge: Judge) -> None:
    """With what stands before and behind it: PostgreSQL takes no more than the column holds."""
    verdict = judge(replace(document, observers=("A" * 1000,)))
    page.stores.verdicts.add(verdict)
    (last,) = [event for event in page.stores.audit.events() if event.action is AuditAction.VERDICT_GIVEN]
    longest = tables.audit.c.actor.type.length
    assert len(last.actor) <= longest
    assert verdict.reader.endswith(" (archive)")


def test_whoever_disagrees_names_a_class_and_says_why(document: VerdictDocument, judge: Judge) -> None:
    """As on the page."""
    disagrees = replace(document, verdicts=(VerdictKind.DISAGREE,), own_classes=("CT2",), reason="fat plane kept")
    assert (judge(disagrees).own_class, judge(disagrees).reason) == ("CT2", "fat plane kept")
    for changes in (
        {"own_classes": ()},
        {"own_classes": ("CT2", "CT4")},
        {"own_classes": ("NTR_LOW",)},
        {"reason": ""},
    ):
        with pytest.raises(Refused) as raised:
            judge(replace(disagrees, **changes))  # type: ignore[arg-type]  # the table above
        assert raised.value.reason.code is ReasonCode.VERDICT_UNUSABLE


@pytest.mark.parametrize(
    "changes",
    [
        {"is_final": False},
        {"observers": ()},
        {"observers": ("One", "Two")},
        {"verdicts": (VerdictKind.AGREE, VerdictKind.ROI_WRONG)},
        {"references": ()},
        {"references": ("2.25.404",)},
    ],
)
def test_what_leaves_something_open_is_refused(
    document: VerdictDocument, judge: Judge, changes: dict[str, object]
) -> None:
    """Not final, nobody or two people, two verdicts, about nothing of ours."""
    with pytest.raises(Refused) as raised:
        judge(replace(document, **changes))  # type: ignore[arg-type]  # the table above
    assert raised.value.reason.code is ReasonCode.VERDICT_UNUSABLE


@pytest.mark.parametrize("changes", [{"study_uid": "2.25.5"}, {"patient": PatientIdentity("PAT-8", "HOSPITAL")}])
def test_a_document_of_another_patient_is_held_for_a_person(
    document: VerdictDocument, judge: Judge, changes: dict[str, object]
) -> None:
    """Whoever has mixed them up: nothing is added."""
    with pytest.raises(Quarantined) as raised:
        judge(replace(document, **changes))  # type: ignore[arg-type]  # the table above
    assert raised.value.reason.code is ReasonCode.PATIENT_CONFLICT
