"""Cohorts of phantoms, and what training reads of them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from models import bundles
from models.phantoms import Kind, draw, lesion_place, render
from models.phantoms.render import Box
from models.training.cohort import Cohort, PhantomSource
from models.training.phantom_cohort import SPAN, crop, phantom_cohort, plane_near, planes
from models.training.segmenter_cohort import phantoms
from node.domain.prediction import TrainingStatus
from node.errors import UsageError


def source(kind: Kind) -> PhantomSource:
    """The first phantom of a cohort."""
    found = phantom_cohort(kind, 2, 3).cases[0].source
    assert isinstance(found, PhantomSource)
    return found


def test_classes_are_equally_frequent() -> None:
    """Two of the NTR, four T stages; the label is the truth of the plan."""
    for kind, classes in ((Kind.PANCREATIC, 2), (Kind.GASTRIC, 4)):
        cohort = phantom_cohort(kind, 40, 0)
        assert np.bincount([case.label for case in cohort.cases]).tolist() == [40 // classes] * classes
        for case in cohort.cases[:8]:
            assert isinstance(case.source, PhantomSource)
            spec = draw(case.source.seed, case.source.wanted)
            truth = int(spec.ntr.is_high) if spec.ntr else (spec.t_stage or 0) - 1
            assert case.label == truth
            assert case.clinical == spec.clinical


def test_it_says_what_it_is() -> None:
    """Phantoms, and no patients."""
    cohort = phantom_cohort(Kind.PANCREATIC, 4, 0)
    assert cohort.status is TrainingStatus.PHANTOM
    assert "no patient" in cohort.origin


@pytest.mark.parametrize(
    ("bundle", "cohort"),
    [
        ("porcelain", partial(phantom_cohort, Kind.PANCREATIC, 1200, 31)),
        ("gtrnet", partial(phantom_cohort, Kind.GASTRIC, 1600, 24)),
        ("segmenter", partial(phantoms, 980, 3, hard=360, empty=160, small=300)),
    ],
)
def test_what_ships_has_learnt_from_what_is_drawn_today(bundle: str, cohort: Callable[[], Cohort]) -> None:
    """Its card names the cohort: with a new version of the generator, it has to be trained again."""
    card = (Path(bundles.__file__).parent / bundle / "docs" / "README.md").read_text(encoding="utf-8")
    assert f"`{cohort().digest}`" in card


def test_two_seeds_share_no_phantom() -> None:
    """However many each has: a held-out cohort is held out."""
    seeds = [{case.source.seed for case in phantom_cohort(Kind.GASTRIC, 50, seed).cases} for seed in (0, 1)]  # type: ignore[union-attr]
    assert not seeds[0] & seeds[1]
    assert max(seeds[0]) < SPAN <= min(seeds[1])


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (SPAN + 1, 0), (4, -1)])
def test_what_cannot_be_drawn_is_refused(count: int, seed: int) -> None:
    """With the limits."""
    with pytest.raises(UsageError, match="phantoms, and a seed of 0 or more"):
        phantom_cohort(Kind.GASTRIC, count, seed)


def test_a_crop_is_the_lesion_with_its_surroundings() -> None:
    """The box that PORCELAIN reads, wider with a margin; mask and grid fit the voxels."""
    case = source(Kind.PANCREATIC)
    volume, mask = crop(case)
    assert volume.hu.shape == mask.shape == volume.geometry.shape_zyx == (30, 100, 100)
    assert mask.any()
    wider, _ = crop(case, 3.0)
    assert all(large > small for large, small in zip(wider.hu.shape, volume.hu.shape, strict=True))


def test_the_planes_are_the_studys_own() -> None:
    """The slice of the largest area in the middle, voxel for voxel as in the study; beside it, another one."""
    case = source(Kind.GASTRIC)
    spec = draw(case.seed, case.wanted)
    key = lesion_place(spec, 1).key_slice
    volume, mask = planes(case)
    np.testing.assert_array_equal(volume.hu[1], render(spec, Box((key, key + 1))).hu[0])
    assert mask[1].sum() >= max(mask[0].sum(), mask[2].sum())
    step = spec.grid.spacing_zyx_mm[0]
    hu, lesion = plane_near(case, step)
    np.testing.assert_array_equal(hu, volume.hu[2])
    np.testing.assert_array_equal(lesion, mask[2])
