"""Whose study it is: what counts as another identity, and when the archive's word can be taken over."""

from dataclasses import replace

import pytest

from node.domain.identity import StudyIdentity, correction, differences

OURS = StudyIdentity("P-1", "A-1", "HOSPITAL", "Wang^XiaoDong=王^小东", "19600101", "F")


def test_the_same_identity_has_no_differences() -> None:
    """However it is padded."""
    assert differences(OURS, replace(OURS, patient_id="P-1 ", accession=" A-1")) == ()


@pytest.mark.parametrize(
    ("change", "keyword"),
    [
        ({"patient_id": "P-2"}, "PatientID"),
        ({"patient_id": ""}, "PatientID"),
        ({"accession": "A-2"}, "AccessionNumber"),
        ({"accession": ""}, "AccessionNumber"),
        ({"issuer": "OTHER"}, "IssuerOfPatientID"),
        ({"birth_date": "19600102"}, "PatientBirthDate"),
        ({"sex": "M"}, "PatientSex"),
    ],
)
def test_what_the_archive_says_otherwise_is_named(change: dict[str, str], keyword: str) -> None:
    """Patient ID and accession also when the archive has none."""
    assert differences(OURS, replace(OURS, **change)) == (keyword,)


@pytest.mark.parametrize("name", ["issuer", "birth_date", "sex", "name"])
def test_what_the_archive_does_not_tell_is_no_difference(name: str) -> None:
    """Many archives answer with what they index and nothing else."""
    assert differences(OURS, replace(OURS, **{name: ""})) == ()


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ("Miller^Ann", "MILLER^ANN^^", False),
        ("Miller^Ann", "Miller^Anna", True),
        ("王^小东", "?^??", False),
        ("Müller^Jörg", "Muller^Jorg", False),
        ("Miller^Ann", "M?ller^Ann", False),
    ],
)
def test_names_differ_where_both_can_be_read(one: str, other: str, differ: bool) -> None:
    """Letters that an archive has lost say nothing."""
    found = differences(replace(OURS, name=one), replace(OURS, name=other))
    assert found == (("PatientName",) if differ else ())


def test_another_accession_leaves_the_patient_alone() -> None:
    """Nothing but the accession number is taken over."""
    assert correction(OURS, replace(OURS, accession="A-2", name="")) == {"AccessionNumber": "A-2"}


def test_another_patient_is_taken_over_whole() -> None:
    """Never one patient's number with another's name, age or weight."""
    theirs = StudyIdentity("P-2", "A-1", "", "Right^Person", "19500505", "M")
    assert correction(OURS, theirs) == {
        "PatientID": "P-2", "PatientName": "Right^Person", "PatientBirthDate": "19500505", "PatientSex": "M",
        "IssuerOfPatientID": None, "PatientAge": None, "PatientSize": None, "PatientWeight": None,
    }  # fmt: skip


@pytest.mark.parametrize("theirs", [{"name": "?^??"}, {"name": ""}, {"patient_id": ""}, {"name": "\ufffd^A"}])
def test_an_answer_with_lost_letters_is_not_taken_over(theirs: dict[str, str]) -> None:
    """A person must look."""
    assert correction(OURS, replace(OURS, **({"patient_id": "P-2"} | theirs))) is None
