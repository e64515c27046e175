"""Plans: the same seed the same plan, one wish changes one thing, and the cohort has the papers' marginals."""

from collections import Counter

import numpy as np
import pytest

from models.phantoms import Kind, Phase, Wanted, draw
from models.phantoms.scanner import PROFILES
from models.phantoms.spec import VERSION, Filling


def test_the_same_seed_is_the_same_plan() -> None:
    """And another seed another one."""
    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_one_wish_changes_nothing_else() -> None:
    """Another phase leaves patient, scanner, lesions and records as they were."""
    one, other = draw(9, Wanted(phase=Phase.PORTAL_VENOUS)), draw(9, Wanted(phase=Phase.ARTERIAL))
    same = ("kind", "habitus", "scanner", "grid", "lesions", "ntr", "clinical")
    assert all(getattr(one, name) == getattr(other, name) for name in same)
    assert one.bolus != other.bolus


def test_every_kind_stage_and_scanner_comes_up() -> None:
    """300 seeds."""
    specs = [draw(seed) for seed in range(300)]
    assert {one.kind for one in specs} == set(Kind)
    assert {one.t_stage for one in specs if one.kind is Kind.GASTRIC} == {1, 2, 3, 4}
    assert {one.scanner.model for one in specs} == {profile.model for profile in PROFILES}
    assert {one.scanner.thickness_mm for one in specs} >= {0.75, 1.0, 3.0, 5.0}
    assert all(0.6 <= one.scanner.pixel_spacing_mm <= 1.0 for one in specs)


def test_gastric_size_grows_with_t() -> None:
    """GTRNet, Table 1: 38 mm in the mean."""
    sizes = [
        np.mean([draw(seed, Wanted(Kind.GASTRIC, t_stage=t)).lesions[0].size_mm for seed in range(60)])
        for t in (1, 2, 3, 4)
    ]
    assert sizes == sorted(sizes)
    assert 34 < np.mean(sizes) < 44


def test_a_gastric_cancer_is_seen_through_water() -> None:
    """GTRNet, methods: fasting and water. Others come as they are."""
    filled = {
        kind: {draw(seed, Wanted(kind)).habitus.filling for seed in range(60)} for kind in (Kind.GASTRIC, Kind.NORMAL)
    }
    assert filled == {Kind.GASTRIC: {Filling.WATER}, Kind.NORMAL: set(Filling)}


def test_a_version_is_of_the_kinds_that_it_changed() -> None:
    """So that what was made of the others stays what it is."""
    assert Kind.GASTRIC.version == VERSION
    assert {Kind.NORMAL.version, Kind.PANCREATIC.version} == {1}


def test_most_pancreatic_tumours_lie_in_the_head() -> None:
    """PORCELAIN, Table 1: three in four."""
    sites = Counter(draw(seed, Wanted(Kind.PANCREATIC)).lesions[0].where < 0.3 for seed in range(300))
    assert 0.65 < sites[True] / 300 < 0.85


def test_of_several_lesions_the_first_is_the_largest() -> None:
    """They lie apart along the organ."""
    lesions = draw(5, Wanted(Kind.PANCREATIC, lesions=3)).lesions
    assert len(lesions) == 3
    assert lesions[0].size_mm > max(one.size_mm for one in lesions[1:])


def test_a_normal_study_has_no_lesion() -> None:
    """And no latent."""
    spec = draw(5, Wanted(Kind.NORMAL))
    assert (spec.lesions, spec.ntr, spec.t_stage) == ((), None, None)


@pytest.mark.parametrize("wanted", [Wanted(lesions=0), Wanted(t_stage=5)])
def test_what_cannot_be_is_refused(wanted: Wanted) -> None:
    """A wish that no phantom can meet."""
    with pytest.raises(ValueError, match="stage"):
        draw(1, wanted)
