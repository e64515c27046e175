"""Phantoms for the segmenter."""

from typing import Any

import pytest

from models.phantoms import Kind, Phase, draw
from models.phantoms.spec import Filling
from models.training.cohort import PhantomSource
from models.training.segmenter_cohort import HELD_OUT, phantoms
from node.domain.prediction import TrainingStatus
from node.errors import UsageError


def sources(count: int, **named: Any) -> list[PhantomSource]:
    """Of a cohort of seed 0."""
    found = [case.source for case in phantoms(count, 0, **named).cases]
    assert all(isinstance(source, PhantomSource) for source in found)
    return [source for source in found if isinstance(source, PhantomSource)]


def test_a_cohort_has_lesions_of_both_organs_and_none_in_every_phase() -> None:
    """All stages, one lesion and several: what the segmenter will meet."""
    wanted = [source.wanted for source in sources(120)]
    assert {one.kind for one in wanted} == set(Kind)
    assert {one.phase for one in wanted} == set(Phase)
    assert {one.t_stage for one in wanted} == {1, 2, 3, 4}
    assert {one.lesions for one in wanted} == {1, 2}
    assert 0.7 < sum(one.phase is Phase.PORTAL_VENOUS for one in wanted) / 120 < 0.8
    assert 0.15 < sum(one.kind is Kind.NORMAL for one in wanted) / 120 < 0.25


def test_a_longer_cohort_goes_on_with_what_is_hard() -> None:
    """Early gastric cancers, a few voxels thick, and organs without a lesion; always the phase that is analysed."""
    wanted = [source.wanted for source in sources(584)][384:]
    assert {one.phase for one in wanted} == {Phase.PORTAL_VENOUS}
    assert sum(one.t_stage == 1 for one in wanted) == 0.3 * len(wanted)
    assert sum(one.kind is Kind.NORMAL for one in wanted) == 0.2 * len(wanted)
    assert {one.kind for one in wanted} == set(Kind)


def test_what_is_hard_may_come_first() -> None:
    """And then what a cohort begins with otherwise; a phantom's seed is that of its place."""
    hard = [source.wanted for source in sources(404)][384:]
    found = sources(50, hard=20)
    assert [source.wanted for source in found] == hard + [source.wanted for source in sources(30)]
    assert [source.seed for source in found] == [source.seed for source in sources(50)]
    assert phantoms(50, 0, hard=20).digest != phantoms(50, 0).digest


def test_the_last_may_have_an_empty_stomach() -> None:
    """Whose folds look like a cancer, and are none; a cohort without them begins with the same phantoms."""
    found = sources(14, hard=4, empty=6)
    assert found[:8] == sources(8, hard=4)
    assert {draw(each.seed, each.wanted).habitus.filling for each in found[8:]} == {Filling.EMPTY}
    assert Kind.GASTRIC not in {each.wanted.kind for each in found[8:]}
    assert len({each.seed for each in found}) == len(found)
    assert phantoms(14, 0, empty=6).digest != phantoms(14, 0).digest


def test_more_at_the_end_may_have_a_small_lesion() -> None:
    """Of either organ in turn; a cohort without them begins with the same phantoms, the empty ones before them too."""
    found = sources(20, hard=4, empty=2, small=6)
    assert found[:14] == sources(14, hard=4, empty=2)
    drawn = [draw(each.seed, each.wanted) for each in found[14:]]
    assert [each.kind for each in drawn] == [Kind.PANCREATIC, Kind.GASTRIC] * 3
    assert all(each.t_stage == 1 for each in drawn[1::2])
    assert all(each.lesions[0].size_mm <= 26.0 for each in drawn[::2])
    assert len({each.seed for each in found}) == len(found)
    assert phantoms(14, 0, small=6).digest != phantoms(14, 0).digest


def test_held_out_phantoms_are_no_others_training_cases() -> None:
    """Of the same seed or of the next one."""
    trained = {source.seed for source in sources(200)}
    held_out = {source.seed for source in sources(200, held_out=True)}
    following = {case.source.seed for case in phantoms(200, 1).cases if isinstance(case.source, PhantomSource)}
    assert not trained & held_out
    assert not (trained | held_out) & following


def test_the_same_arguments_give_the_same_cohort() -> None:
    """A shorter one begins as a longer one does; each has a digest of its own."""
    one, other = phantoms(3, 5), phantoms(4, 5)
    assert one.cases == other.cases[:3]
    assert one.status is TrainingStatus.PHANTOM
    assert len({one.digest, other.digest, phantoms(3, 6).digest, phantoms(3, 5, held_out=True).digest}) == 4


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (HELD_OUT + 1, 0), (1, -1)])
def test_an_impossible_cohort_is_refused(count: int, seed: int) -> None:
    """Before anything is rendered."""
    with pytest.raises(UsageError):
        phantoms(count, seed)


def test_no_more_can_be_hard_or_empty_than_there_are() -> None:
    """Said before anything is rendered, too."""
    with pytest.raises(UsageError, match="--hard 4 --empty 0 --small 0: of 3"):
        phantoms(3, 0, hard=4)
    with pytest.raises(UsageError, match="--hard 2 --empty 2 --small 0: of 3"):
        phantoms(3, 0, hard=2, empty=2)
