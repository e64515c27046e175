"""Cases as arrays, made once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.phantoms import Kind
from models.training.cohort import Cohort, TrainingCase
from models.training.phantom_cohort import phantom_cohort
from models.training.prepared import Prepared, prepare
from node.errors import UsageError
from tests.unit.models.training.toy import cohort


@dataclass(frozen=True)
class Preparation:
    """Two rows a case; some cannot be read."""

    factor: float = 1.0
    bad: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    def __call__(self, case: TrainingCase) -> Mapping[str, Any]:
        """As the protocol."""
        if case.id in self.bad:
            raise UsageError("cannot be read as an image")
        if case.id in self.hidden:
            raise ValueError("shows on no slice")
        return {"rows": self.factor * np.array([[1.0, 2.0], [3.0, 4.0]])}


def made(cases: Cohort, how: Preparation, cache: Path, workers: int = 1) -> tuple[Cohort, list[Prepared], int, int]:
    """What was prepared, and how many steps were told."""
    steps: list[None] = []
    left, arrays, dropped = prepare(cases, how, cache, workers, lambda: steps.append(None))
    return left, arrays, dropped, len(steps)


@pytest.fixture
def on_disk(tmp_path: Path) -> Cohort:
    """Three cases whose files are there."""
    for name in ("image", "mask"):
        (tmp_path / name).write_bytes(b"1")
    cases = cohort(3).cases
    source = replace(cases[0].source, image=tmp_path / "image", mask=tmp_path / "mask")
    return replace(cohort(3), cases=tuple(replace(case, source=source) for case in cases))


@pytest.mark.parametrize("workers", [1, 2])
def test_arrays_come_back(tmp_path: Path, workers: int) -> None:
    """Whole or by row, whichever process made them; each case is told."""
    phantoms = phantom_cohort(Kind.PANCREATIC, 3, 0)
    _, arrays, dropped, steps = made(phantoms, Preparation(), tmp_path / "cache", workers)
    assert (len(arrays), dropped, steps) == (3, 0, 3)
    np.testing.assert_array_equal(arrays[0].read("rows"), [[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(arrays[0].row("rows", 1), [3.0, 4.0])


def test_what_is_there_is_not_made_again(tmp_path: Path, on_disk: Cohort) -> None:
    """Unless the file is torn, the preprocessing is another, or the source has changed."""
    cache = tmp_path / "cache"
    first = made(on_disk, Preparation(), cache)[1][0]
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    made(on_disk, Preparation(), cache)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == before
    assert made(on_disk, Preparation(factor=2.0), cache)[1][0].file != first.file
    (tmp_path / "mask").write_bytes(b"22")
    assert made(on_disk, Preparation(), cache)[1][0].file != first.file


def test_another_version_of_the_generator_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the phantoms that it changed, and of no others."""
    cohorts = [phantom_cohort(kind, 1, 0) for kind in (Kind.GASTRIC, Kind.PANCREATIC)]
    before = [made(each, Preparation(), tmp_path)[1][0].file for each in cohorts]
    monkeypatch.setattr(Kind, "version", property(lambda kind: 99 if kind is Kind.GASTRIC else 1))
    after = [made(each, Preparation(), tmp_path)[1][0].file for each in cohorts]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True]


def test_a_torn_file_is_made_again(tmp_path: Path, on_disk: Cohort) -> None:
    """As a full disk or a kill may leave it."""
    cache = tmp_path / "cache"
    first = made(on_disk, Preparation(), cache)[1][0]
    first.file.write_bytes(first.file.read_bytes()[:-8])
    np.testing.assert_array_equal(made(on_disk, Preparation(), cache)[1][0].read("rows"), [[1.0, 2.0], [3.0, 4.0]])


def test_every_case_that_cannot_be_read_is_named(tmp_path: Path, on_disk: Cohort) -> None:
    """With the reason."""
    with pytest.raises(UsageError, match="2 case") as caught:
        made(on_disk, Preparation(bad=("c0", "c2")), tmp_path / "cache")
    assert "c0: cannot be read" in str(caught.value)
    assert "c2: cannot be read" in str(caught.value)


def test_a_phantom_that_shows_no_lesion_is_left_out(tmp_path: Path, on_disk: Cohort) -> None:
    """And counted; a file of a researcher with the same fault is an error."""
    phantoms = phantom_cohort(Kind.PANCREATIC, 3, 0)
    hidden = Preparation(hidden=(phantoms.cases[1].id, "c1"))
    left, arrays, dropped, _ = made(phantoms, hidden, tmp_path / "cache")
    assert [case.id for case in left.cases] == [phantoms.cases[0].id, phantoms.cases[2].id]
    assert (len(arrays), dropped) == (2, 1)
    with pytest.raises(UsageError, match="c1: shows on no slice"):
        made(on_disk, hidden, tmp_path / "cache")
