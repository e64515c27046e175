"""Corrections of identity: the results are made anew, once for each thing that the archive says."""

from node.domain.audit import AuditAction
from node.store.identities import Identities
from node.store.jobs import Claim, EndedStep
from tests.factories import STUDY, event, report_object, step_record
from tests.unit.node.store.conftest import Store

CHANGE = {"AccessionNumber": "A-2"}


def delivering(store: Store) -> Claim:
    """A job whose object is on its way."""
    claim = store.claimed()
    assert store.results.commit(
        claim, [report_object()], predictor="p", destinations=("pacs",), steps=[EndedStep(step_record(), (event(),))]
    )
    return claim


def test_a_study_that_nobody_corrected_is_as_its_images_say(store: Store) -> None:
    """There is nothing to change."""
    store.receive()
    assert Identities(store.database).of(STUDY) == {}


def test_a_correction_has_the_results_made_anew(store: Store) -> None:
    """By a new version with another manifest: other UIDs, since it says other things."""
    first = delivering(store)
    assert Identities(store.database).correct(first.series_uid, CHANGE, "pacs")
    second = store.claim()
    assert (second.version, second.manifest != first.manifest) == (2, True)
    assert Identities(store.database).of(STUDY) == CHANGE
    told = [one for one in store.audit.events() if one.action is AuditAction.IDENTITY_CORRECTED]
    assert [one.details for one in told] == [{"attributes": "AccessionNumber"}]


def test_the_same_correction_changes_nothing_twice(store: Store) -> None:
    """What is being made anew, or was made with it, is not made again."""
    first = delivering(store)
    identities = Identities(store.database)
    assert identities.correct(first.series_uid, CHANGE, "pacs")
    assert not identities.correct(first.series_uid, CHANGE, "pacs")
    second = store.claim()
    store.results.commit(
        second,
        [report_object("b")],
        predictor="p",
        destinations=("pacs",),
        steps=[EndedStep(step_record(), (event(),))],
    )
    assert not identities.correct(first.series_uid, CHANGE, "pacs")
    assert store.count("identity_corrections") == 1


def test_corrections_add_up(store: Store) -> None:
    """The second does not undo the first."""
    first = delivering(store)
    identities = Identities(store.database)
    identities.correct(first.series_uid, {"PatientID": "P-2", "PatientAge": None}, "pacs")
    identities.correct(first.series_uid, CHANGE, "pacs")
    assert identities.of(STUDY) == {"PatientID": "P-2", "PatientAge": None, "AccessionNumber": "A-2"}
