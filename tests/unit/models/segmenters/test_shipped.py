"""The segmenter that comes with Celadon, with its own weights, on a phantom that no training saw."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.phantoms import Kind, Wanted
from models.segmenters import shipped
from models.segmenters.coarse_to_fine import CoarseToFineSegmenter
from models.training.cohort import PhantomSource
from models.training.segmenter_judging import phantom
from models.training.strangers import strange
from node.domain.coding import Anatomy
from node.domain.imaging import Volume
from node.domain.parts import Part
from node.domain.prediction import TrainingStatus
from node.domain.reasons import BundleFault, ReasonCode
from node.errors import BundleError, Refused

SEED = 999_000_011
"""Of a study that it does well: of how many that is so, the card of its bundle says."""


@pytest.fixture(scope="module")
def segmenter() -> CoarseToFineSegmenter:
    """It, loaded."""
    return shipped.opened()


@pytest.fixture(scope="module")
def study() -> tuple[Volume, np.ndarray]:
    """A phantom with a tumour of the pancreas, and where that is."""
    volume, labels = phantom(PhantomSource(SEED, Wanted(kind=Kind.PANCREATIC, thickness_mm=5.0)))
    return volume, labels == list(Part).index(Part.PANCREAS_LESION) + 1


def test_it_finds_the_tumour_and_measures_the_organs(
    segmenter: CoarseToFineSegmenter, study: tuple[Volume, np.ndarray]
) -> None:
    """Every result says what it was trained on."""
    volume, truth = study
    found = segmenter.locate(volume, (), tuple(Anatomy))[0]
    assert 2.0 * (found.mask & truth).sum() / (found.mask.sum() + truth.sum()) > 0.6
    assert found.anatomy is Anatomy.PANCREAS
    assert {Part.AORTA, Part.PORTAL_VEIN, Part.LIVER, Part.KIDNEY} <= set(found.means_hu)
    assert "trained on phantoms" in found.made_by


def test_a_series_that_is_no_ct_is_not_analysed(
    segmenter: CoarseToFineSegmenter, study: tuple[Volume, np.ndarray]
) -> None:
    """The contrasts of magnetic resonance are unlike everything that it has seen."""
    volume = study[0]
    mr = Volume(strange("contrasts of T1-weighted MR", volume.hu), volume.geometry, volume.instance_uids)
    with pytest.raises(Refused) as refused:
        segmenter.locate(mr, (), tuple(Anatomy))
    assert refused.value.reason.code is ReasonCode.OUT_OF_DISTRIBUTION


def test_it_says_that_it_is_not_for_patients(segmenter: CoarseToFineSegmenter) -> None:
    """By its status, too."""
    assert segmenter.status is TrainingStatus.PHANTOM
    assert segmenter.disclaimer


def test_a_digest_that_nobody_recorded_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a bundle that somebody has put there is."""
    monkeypatch.setattr(shipped, "shipped_digests", dict)
    with pytest.raises(BundleError) as refused:
        shipped.opened()
    assert refused.value.fault is BundleFault.BUNDLE_UNRECORDED


def test_changed_bytes_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_tiny_bundle: Callable[..., Path]
) -> None:
    """Another bundle in its place is not the one that ships."""
    path = make_tiny_bundle(tmp_path / "b")
    monkeypatch.setattr(shipped, "shipped", lambda _name: path)
    with pytest.raises(BundleError) as refused:
        shipped.opened()
    assert refused.value.fault is BundleFault.BUNDLE_CHANGED
