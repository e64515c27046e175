"""Locate the ROI: which contours may be used, and whose answer counts."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset

from node.domain.coding import Anatomy
from node.domain.identifiers import StudyUID
from node.domain.imaging import Instance, PatientIdentity, Volume
from node.domain.reasons import ReasonCode
from node.domain.stacking import Stack, stack
from node.errors import Quarantined, Refused
from tests.factories import SERIES, ct_slices, instance, series_of, structure_set, write
from tests.fakes import HERE, FakeSegmenter, raising
from workers.steps.assemble import assemble
from workers.steps.locate_roi import locate_roi, read_annotations

IMAGES = series_of(ct_slices(4))
PANCREAS, STOMACH = Anatomy.PANCREAS, Anatomy.STOMACH


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    """A small volume."""
    slices = ct_slices(4)
    paths = write(slices, tmp_path_factory.mktemp("volume"))
    made = stack([instance(one, path=path) for one, path in zip(slices, paths, strict=True)])
    assert isinstance(made, Stack)
    return assemble(made, HERE)


def stored(folder: Path, dataset: Dataset) -> Instance:
    """A stored contour object."""
    return instance(dataset, path=write([dataset], folder)[0])


def test_contours_of_this_patient_and_study_are_read(tmp_path: Path) -> None:
    """With their regions."""
    (found,) = read_annotations([stored(tmp_path, structure_set(SERIES))], IMAGES, HERE)
    assert [region.label for region in found.regions] == ["Pancreas tumour"]


@pytest.mark.parametrize(
    "changes",
    [
        {"patient": PatientIdentity("SOMEBODY-ELSE", "HOSPITAL")},
        {"patient": PatientIdentity("PAT-1", "ANOTHER-HOSPITAL")},
        {"patient": PatientIdentity("", "")},
        {"study_uid": StudyUID("2.25.1")},
        {"attributes": {"Manufacturer": "Celadon"}},
    ],
    ids=["patient", "issuer", "nobody", "study", "our own"],
)
def test_other_contours_are_never_used(tmp_path: Path, changes: dict[str, object]) -> None:
    """Of another patient, study or of our own making: they reference this series all the same."""
    foreign = replace(stored(tmp_path, structure_set(SERIES)), **changes)
    assert read_annotations([foreign], IMAGES, HERE) == ()


def test_a_contour_that_cannot_be_read_is_a_reason_not_to_go_on(tmp_path: Path) -> None:
    """It may be the newest and contradict the others: silence about it would be a guess."""
    good = stored(tmp_path / "good", structure_set(SERIES))
    bad = stored(tmp_path / "bad", structure_set(SERIES, index=1))
    assert bad.path is not None
    bad.path.write_bytes(bad.path.read_bytes()[:200])
    with pytest.raises(Refused) as refused:
        read_annotations([good, bad], IMAGES, HERE)
    assert refused.value.reason.code is ReasonCode.ANNOTATION_UNREADABLE


def test_a_contour_whose_file_is_gone_is_for_a_person(tmp_path: Path) -> None:
    """The series is not analysed as if the contour had never been there."""
    lost = stored(tmp_path, structure_set(SERIES))
    assert lost.path is not None
    lost.path.unlink()
    with pytest.raises(Quarantined):
        read_annotations([lost], IMAGES, HERE)


def test_the_first_segmenter_with_an_answer_is_believed(volume: Volume) -> None:
    """Later ones are not asked; each is asked about the organs beside it."""
    silent, first, second = FakeSegmenter("silent", finds=False), FakeSegmenter("first"), FakeSegmenter("second")
    roi = locate_roi(volume, (), [(silent, (PANCREAS,)), (first, (STOMACH,)), (second, (PANCREAS,))])
    assert (roi.source, roi.anatomy) == ("first", STOMACH)


def test_without_an_answer_the_series_is_refused(volume: Volume) -> None:
    """ROI_NOT_FOUND says what to send."""
    with pytest.raises(Refused) as refused:
        locate_roi(volume, (), [(FakeSegmenter(finds=False), (PANCREAS,))])
    assert refused.value.reason.code is ReasonCode.ROI_NOT_FOUND
    with pytest.raises(Refused):
        locate_roi(volume, (), [])


def test_contours_of_organs_alone_leave_the_lesion_to_the_next(volume: Volume) -> None:
    """Somebody's organs are in the archive: whoever finds lesions is asked; when nobody does, they are the reason."""
    organs = FakeSegmenter("archive", hook=raising(Refused(ReasonCode.ROI_NO_LESION, "3 organs")))
    assert locate_roi(volume, (), [(organs, (PANCREAS,)), (FakeSegmenter("next"), (PANCREAS,))]).source == "next"
    with pytest.raises(Refused) as refused:
        locate_roi(volume, (), [(organs, (PANCREAS,)), (FakeSegmenter(finds=False), (PANCREAS,))])
    assert (refused.value.reason.code, refused.value.reason.detail) == (ReasonCode.ROI_NO_LESION, "3 organs")


def test_what_a_segmenter_finds_wrong_is_the_reason(volume: Volume) -> None:
    """A contradiction is not overruled by the next segmenter."""
    wrong = FakeSegmenter(hook=raising(Refused(ReasonCode.ROI_AMBIGUOUS)))
    with pytest.raises(Refused) as refused:
        locate_roi(volume, (), [(wrong, (PANCREAS,)), (FakeSegmenter(), (PANCREAS,))])
    assert refused.value.reason.code is ReasonCode.ROI_AMBIGUOUS
