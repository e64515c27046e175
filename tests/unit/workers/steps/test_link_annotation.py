"""Link an annotation: which series a contour makes analysable, and which contours are refused."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset

from node.domain.identifiers import SeriesUID, StudyUID
from node.domain.imaging import PatientIdentity, Series
from node.domain.reasons import ReasonCode
from node.errors import Quarantined, Refused
from tests.factories import SERIES, ct_slices, instance, series_of, structure_set, write
from tests.fakes import HERE
from workers.steps.link_annotation import link_annotation

IMAGES = series_of(ct_slices(3))
OTHER_SERIES = SeriesUID("2.25.555")


def contours(folder: Path, *datasets: Dataset) -> Series:
    """A stored series of contour objects."""
    paths = write(datasets, folder)
    made = tuple(instance(one, path=path) for one, path in zip(datasets, paths, strict=True))
    return replace(series_of(datasets), instances=made)


def link(annotation: Series, held: Mapping[SeriesUID, Series]) -> tuple[SeriesUID, ...]:
    """Link, where these series are here."""
    return link_annotation(annotation, HERE, held.__contains__, held.__getitem__)


def test_a_contour_makes_the_series_here_that_it_references_analysable(tmp_path: Path) -> None:
    """Series that are elsewhere are passed over; each is named once."""
    made = contours(tmp_path, structure_set(SERIES, OTHER_SERIES), structure_set(SERIES, index=1))
    assert link(made, {SERIES: IMAGES}) == (SERIES,)


def test_one_contour_may_be_for_several_series(tmp_path: Path) -> None:
    """All that are here."""
    held = {SERIES: IMAGES, OTHER_SERIES: replace(IMAGES, uid=OTHER_SERIES)}
    assert link(contours(tmp_path, structure_set(SERIES, OTHER_SERIES)), held) == (SERIES, OTHER_SERIES)


@pytest.mark.parametrize("references", [(), (OTHER_SERIES,)])
def test_a_contour_for_nothing_that_is_here_is_an_orphan(tmp_path: Path, references: tuple[SeriesUID, ...]) -> None:
    """It may come before its images; it is looked at again when they arrive."""
    with pytest.raises(Refused) as refused:
        link(contours(tmp_path, structure_set(*references)), {SERIES: IMAGES})
    assert refused.value.reason.code is ReasonCode.ANNOTATION_ORPHAN


@pytest.mark.parametrize(
    "images",
    [
        replace(IMAGES, patient=PatientIdentity("SOMEBODY-ELSE", "HOSPITAL")),
        replace(IMAGES, patient=PatientIdentity("PAT-1", "ANOTHER-HOSPITAL")),
        replace(IMAGES, study_uid=StudyUID("2.25.1")),
    ],
    ids=["patient", "issuer", "study"],
)
def test_a_contour_for_another_patient_or_study_is_held(tmp_path: Path, images: Series) -> None:
    """Same series UID, another patient, issuer or study: a person must look."""
    with pytest.raises(Quarantined) as held:
        link(contours(tmp_path, structure_set(SERIES)), {SERIES: images})
    assert held.value.reason.code is ReasonCode.PATIENT_CONFLICT


def test_one_series_of_another_patient_holds_the_whole_contour(tmp_path: Path) -> None:
    """Not even the series that fits is linked."""
    stranger = replace(IMAGES, uid=OTHER_SERIES, patient=PatientIdentity("SOMEBODY-ELSE"))
    with pytest.raises(Quarantined):
        link(contours(tmp_path, structure_set(SERIES, OTHER_SERIES)), {SERIES: IMAGES, OTHER_SERIES: stranger})


def test_spaces_around_an_id_do_not_make_another_patient(tmp_path: Path) -> None:
    """They are not significant (PS3.5 section 6.2)."""
    made = contours(tmp_path, structure_set(SERIES))
    padded = replace(made, patient=PatientIdentity(" PAT-1 ", "HOSPITAL "))
    assert link(padded, {SERIES: IMAGES}) == (SERIES,)


def test_our_own_result_is_not_a_contour(tmp_path: Path) -> None:
    """A result that the archive sends back starts nothing."""
    with pytest.raises(Refused) as refused:
        link(contours(tmp_path, structure_set(SERIES, Manufacturer="Celadon")), {SERIES: IMAGES})
    assert refused.value.reason.code is ReasonCode.OWN_RESULT


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """With a reason that says that it is the contour's fault."""
    made = contours(tmp_path, structure_set(SERIES))
    path = made.instances[0].path
    assert path is not None
    path.write_bytes(b"no DICOM")
    with pytest.raises(Refused) as refused:
        link(made, {SERIES: IMAGES})
    assert refused.value.reason.code is ReasonCode.ANNOTATION_UNREADABLE


def test_a_file_that_is_gone_is_not_the_contours_fault(tmp_path: Path) -> None:
    """Trying again would not bring it back: a person must look."""
    made = contours(tmp_path, structure_set(SERIES))
    path = made.instances[0].path
    assert path is not None
    path.unlink()
    with pytest.raises(Quarantined):
        link(made, {SERIES: IMAGES})
