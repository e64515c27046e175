"""Check identity: nothing is delivered that the archive has filed under somebody else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from node.domain.identifiers import StudyUID
from node.domain.identity import StudyIdentity
from node.domain.lifecycle import DeliveryState
from node.errors import Retryable
from node.settings import IdentityCheck
from tests.factories import PATIENT, STUDY, ct_slice, write
from workers.steps.check_identity import check_identity

OURS = StudyIdentity(PATIENT.patient_id, "ACC-1", PATIENT.issuer, PATIENT.name, PATIENT.birth_date, PATIENT.sex)
HOLD, CORRECT = IdentityCheck.HOLD, IdentityCheck.CORRECT


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """An object."""
    return write([ct_slice()], tmp_path)[0]


def says(answer: StudyIdentity | None) -> Callable[[StudyUID], StudyIdentity | None]:
    """An archive with that answer about the study."""

    def ask(study: StudyUID) -> StudyIdentity | None:
        assert study == STUDY
        return answer

    return ask


@pytest.mark.parametrize("check", [HOLD, CORRECT])
def test_what_is_as_it_was_may_go(made: Path, check: IdentityCheck) -> None:
    """Nothing stands against it."""
    assert check_identity(made, check, says(OURS)) is None


@pytest.mark.parametrize("check", [HOLD, CORRECT])
def test_a_study_that_the_archive_has_not_got_is_held(made: Path, check: IdentityCheck) -> None:
    """It may have been deleted because it was somebody else's."""
    found = check_identity(made, check, says(None))
    assert found is not None
    assert (found.state, found.change) == (DeliveryState.HELD, None)


def test_an_archive_that_does_not_answer_is_asked_again(made: Path) -> None:
    """Nothing goes unchecked."""

    def silent(_: StudyUID) -> None:
        raise Retryable("ARCHIVE did not answer")

    found = check_identity(made, HOLD, silent)
    assert found is not None
    assert (found.state, "did not answer" in found.detail) == (DeliveryState.PENDING, True)


def test_an_object_that_cannot_be_read_is_not_sent_unchecked(made: Path) -> None:
    """Gone, it is waited for; damaged, it waits for a person."""
    made.write_bytes(b"no DICOM at all")
    damaged = check_identity(made, HOLD, says(OURS))
    made.unlink()
    gone = check_identity(made, HOLD, says(OURS))
    assert damaged is not None
    assert gone is not None
    assert (damaged.state, gone.state) == (DeliveryState.HELD, DeliveryState.PENDING)


def test_what_differs_is_held_and_named(made: Path) -> None:
    """The attributes, never their values."""
    found = check_identity(made, HOLD, says(replace(OURS, accession="ACC-2", patient_id="SECRET")))
    assert found is not None
    assert (found.state, found.change) == (DeliveryState.HELD, None)
    assert "PatientID, AccessionNumber" in found.detail
    assert "SECRET" not in found.detail


def test_where_it_is_asked_for_the_archive_is_believed(made: Path) -> None:
    """What is held here is made anew with this change."""
    found = check_identity(made, CORRECT, says(replace(OURS, accession="ACC-2")))
    assert found is not None
    assert (found.state, found.change) == (DeliveryState.HELD, {"AccessionNumber": "ACC-2"})


def test_an_answer_with_lost_letters_waits_for_a_person(made: Path) -> None:
    """Even where the archive is believed."""
    found = check_identity(made, CORRECT, says(replace(OURS, patient_id="P-2", name="???^?")))
    assert found is not None
    assert (found.state, found.change) == (DeliveryState.HELD, None)
