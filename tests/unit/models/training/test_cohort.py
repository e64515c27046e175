"""A cohort and its sources."""

import os
from pathlib import Path

import pytest

from models.phantoms import Kind, Wanted
from models.training.cohort import NTR, T_STAGE, FileSource, PhantomSource
from tests.unit.models.training.toy import case, cohort


def test_it_counts_classes_patients_and_centres() -> None:
    """Each as it is."""
    found = cohort(5)
    assert found.counts(NTR.names) == {"low": 3, "high": 2}
    assert found.patients == 5
    assert found.centres == {"": 5}
    assert case(0, 1, centre="a").centre == "a"


def test_the_words_of_the_classes() -> None:
    """The paper's stages, with their subdivisions; every word stands for a class that there is."""
    assert T_STAGE.words["t4b"] == 3
    assert T_STAGE.words["t1a"] == 0
    assert set(T_STAGE.words.values()) == set(range(len(T_STAGE.names)))
    assert set(NTR.words.values()) == {0, 1}


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_file_that_changes_has_another_fingerprint(tmp_path: Path, is_folder: bool) -> None:
    """So that what was prepared from it is prepared again; a slice of a folder counts."""
    image, mask = tmp_path / "image", tmp_path / "mask"
    mask.write_bytes(b"m")
    inside = image / "slice" if is_folder else image
    inside.parent.mkdir(exist_ok=True)
    inside.write_bytes(b"1")
    source = FileSource(image, mask)
    before = source.fingerprint()
    assert source.fingerprint() == before
    os.utime(inside, ns=(1, 1))
    assert source.fingerprint() != before


def test_a_phantom_is_its_plan() -> None:
    """Seed and wishes tell two apart."""
    one = PhantomSource(1, Wanted(kind=Kind.GASTRIC))
    assert one.fingerprint() == PhantomSource(1, Wanted(kind=Kind.GASTRIC)).fingerprint()
    assert one.fingerprint() != PhantomSource(2, Wanted(kind=Kind.GASTRIC)).fingerprint()
    assert one.fingerprint() != PhantomSource(1, Wanted(kind=Kind.GASTRIC, t_stage=1)).fingerprint()
