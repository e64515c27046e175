"""One case through the steps: the node's own, with masks or without."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.reasons import ReasonCode
from node.errors import Refused
from tests.factories import CONTOURS, SERIES, ct_slices, structure_set
from tests.fakes import FakePredictor, FakeSegmenter
from tests.unit.workers.evaluation.conftest import box, nifti
from tests.unit.workers.test_analysis import Site
from workers.evaluation.examine import Bench, examine
from workers.evaluation.manifest import CohortCase

ROW = ClinicalRecord((ClinicalValue(ClinicalVariable.CA19_9, 212.0, "U/mL", "cohort"),))


def case(image: Path, mask: Path | None = None, **observers: Path) -> CohortCase:
    """A case of these files with one laboratory value."""
    return CohortCase("c1", image, mask, observers, ROW)


def test_the_model_is_given_what_the_node_gives_it(folder: Path, bench: Bench, tmp_path: Path) -> None:
    """The same files, through a node's analysis and through a cohort's: volume and region are the same."""
    site = Site(tmp_path / "node")
    site = replace(site, segmenter=bench.segmenters[0][0])
    images = ct_slices(6)
    site.receive(*images, structure_set(str(images[0].SeriesInstanceUID)))
    site.complete(SERIES, CONTOURS)
    site.run()
    site.run()
    found = examine(case(folder / "a"), bench)
    (theirs,), (mine,) = site.predictor.cases, bench.predictor.cases  # type: ignore[attr-defined]  # a fake keeps them
    assert np.array_equal(mine.volume.hu, theirs.volume.hu)
    assert np.array_equal(mine.roi.mask, theirs.roi.mask)
    assert mine.volume.geometry == theirs.volume.geometry
    assert mine.volume.instance_uids == theirs.volume.instance_uids
    assert found.roi.source == "dicom-seg"


def test_the_rows_values_come_first_and_the_header_adds_what_they_lack(folder: Path, bench: Bench) -> None:
    """Sex and age are in the header, CA19-9 is not."""
    examine(case(folder / "a"), bench)
    record = bench.predictor.cases[0].clinical  # type: ignore[attr-defined]  # a fake keeps them
    assert {value.variable: value.source for value in record.values} == {
        ClinicalVariable.AGE: "dicom-header",
        ClinicalVariable.SEX: "dicom-header",
        ClinicalVariable.CA19_9: "cohort",
    }


def test_without_a_mask_a_segmenter_finds_the_lesion(folder: Path, bench: Bench) -> None:
    """As in the node, where nobody drew."""
    assert examine(case(folder / "b.nii.gz"), bench).roi.source == "fake-segmenter"


def test_masks_that_are_compared_are_not_analysed(folder: Path, bench: Bench) -> None:
    """The segmenter's region is, and its overlap with the mask is measured."""
    found = examine(case(folder / "b.nii.gz", folder / "b-mask.nii.gz"), replace(bench, ignores_masks=True))
    assert found.roi.source == "fake-segmenter"
    both, sizes = int((found.roi.mask & (box() == 1)).sum()), int(found.roi.mask.sum()) + int(box().sum())
    assert found.overlap["dice"] == pytest.approx(2 * both / sizes)
    assert found.overlap["hausdorff_mm"] > 0
    assert examine(case(folder / "b.nii.gz"), replace(bench, ignores_masks=True)).overlap == {}


def test_observers_masks_are_measured(folder: Path, bench: Bench) -> None:
    """Volume, longest diameter, and overlap with the region."""
    moved = nifti(folder / "moved.nii.gz", np.roll(box(), 1, axis=2))
    found = examine(case(folder / "b.nii.gz", folder / "b-mask.nii.gz", A=folder / "b-mask.nii.gz", B=moved), bench)
    assert found.observers["A"]["dice"] == 1.0
    assert found.observers["B"]["dice"] == pytest.approx(0.8)
    assert found.observers["A"]["volume_ml"] == pytest.approx(40 * 0.8 * 0.8 * 2 / 1000)
    assert found.observers["A"]["diameter_mm"] == pytest.approx(found.observers["B"]["diameter_mm"])


def test_an_empty_mask_is_a_reason(folder: Path, bench: Bench) -> None:
    """Nothing is analysed in its place."""
    empty = nifti(folder / "empty.nii.gz", np.zeros_like(box()))
    with pytest.raises(Refused) as refused:
        examine(case(folder / "b.nii.gz", empty), bench)
    assert refused.value.reason.code is ReasonCode.ROI_EMPTY


def test_where_nobody_finds_a_lesion_the_case_ends_as_in_the_node(folder: Path, bench: Bench) -> None:
    """With the same code."""
    blind = replace(bench, segmenters=((FakeSegmenter(finds=False), bench.segmenters[0][1]),))
    with pytest.raises(Refused) as refused:
        examine(case(folder / "b.nii.gz"), blind)
    assert refused.value.reason.code is ReasonCode.ROI_NOT_FOUND
    assert isinstance(bench.predictor, FakePredictor)
