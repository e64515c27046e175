"""GTRNet's predictor: three slices, a vote, and maps of the concluded class."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.predictors.gtrnet import Gtrnet, majority
from node.domain.clinical import ClinicalRecord
from node.domain.coding import Anatomy
from node.domain.imaging import BoolArray, Roi, Volume
from node.domain.prediction import Case, Conclusion, ExplanationMethod, Quantity

SHAPE = (9, 80, 96)


@pytest.fixture
def make_case(
    make_volume: Callable[..., Volume], make_roi: Callable[..., Roi], make_ball: Callable[..., BoolArray]
) -> Callable[[int], Case]:
    """A case whose region is largest on the given slice."""

    def build(middle: int) -> Case:
        volume = make_volume(SHAPE)
        mask = make_ball(SHAPE, (middle, 40, 40), (2, 12, 15))
        return Case(volume, make_roi(volume, Anatomy.STOMACH, mask), ClinicalRecord())

    return build


def logits_of(predictor: Gtrnet, monkeypatch: pytest.MonkeyPatch, probabilities: list[list[float]]) -> None:
    """Let the network answer with these probabilities."""
    answer = torch.tensor(probabilities).log()
    monkeypatch.setattr(predictor._network, "classify", lambda _: answer)


def test_scores_are_the_mean_of_three_slices(gtrnet: Gtrnet, make_case: Callable[[int], Case]) -> None:
    """Four probabilities that sum to one, three votes, no threshold, no clinical variable."""
    prediction = gtrnet.predict(make_case(4))
    assert [score.quantity for score in prediction.scores] == [Quantity.T1, Quantity.T2, Quantity.T3, Quantity.T4]
    assert abs(sum(score.probability for score in prediction.scores) - 1.0) < 1e-9
    assert all(0.001 < score.probability < 0.999 for score in prediction.scores)
    assert len(prediction.votes) == 3
    assert (prediction.threshold, prediction.clinical_used, prediction.clinical_imputed) == (None, (), ())


def test_the_picture_counts(gtrnet: Gtrnet, make_case: Callable[[int], Case]) -> None:
    """Another picture gives other probabilities."""
    case = make_case(4)
    darker = replace(case, volume=replace(case.volume, hu=case.volume.hu - 100.0))
    assert gtrnet.predict(case).scores != gtrnet.predict(darker).scores


def test_the_majority_decides_over_the_mean(
    gtrnet: Gtrnet, make_case: Callable[[int], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two close votes for T2 beat one sure vote for T4, although T4 has the higher mean."""
    logits_of(gtrnet, monkeypatch, [[0.1, 0.4, 0.2, 0.3], [0.1, 0.4, 0.2, 0.3], [0.0, 0.0, 0.0, 1.0]])
    prediction = gtrnet.predict(make_case(4))
    assert prediction.votes == (Conclusion.CT2, Conclusion.CT2, Conclusion.CT4)
    assert prediction.conclusion is Conclusion.CT2
    assert prediction.explanation.target == "evidence for cT2"
    assert [round(score.probability, 3) for score in prediction.scores] == [0.067, 0.267, 0.133, 0.533]


@pytest.mark.parametrize(
    ("votes", "mean", "winner"),
    [
        ((1, 1, 3), (0.0, 0.2, 0.1, 0.7), 1),
        ((0, 1, 3), (0.1, 0.2, 0.4, 0.3), 3),
        ((0, 1), (0.4, 0.3, 0.2, 0.1), 0),
        ((2,), (0.2, 0.2, 0.4, 0.2), 2),
    ],
)
def test_ties_go_to_the_highest_mean(votes: tuple[int, ...], mean: tuple[float, ...], winner: int) -> None:
    """Among classes with equally many votes the one with the highest mean wins; a class without votes never does."""
    assert majority(votes, mean) == winner


@pytest.mark.parametrize(("middle", "slices"), [(0, (0, 1)), (8, (8, 7))])
def test_at_the_end_of_the_series_fewer_slices_vote(
    gtrnet: Gtrnet, make_case: Callable[[int], Case], middle: int, slices: tuple[int, ...]
) -> None:
    """A missing neighbour does not vote, and a note says so."""
    prediction = gtrnet.predict(make_case(middle))
    assert len(prediction.votes) == 2
    assert prediction.explanation.key_slices == slices
    assert prediction.notes[-1].code == "FEWER_SLICES"
    assert "2 of 3 slices voted" in prediction.notes[-1].text


def test_maps_cover_the_voting_slices(gtrnet: Gtrnet, make_case: Callable[[int], Case]) -> None:
    """The saliency has the voting slices at full size, the key slice is shown first, and the map varies."""
    explanation = gtrnet.predict(make_case(4)).explanation
    assert explanation.method is ExplanationMethod.CLASS_ACTIVATION
    assert explanation.start_zyx == (3, 0, 0)
    assert explanation.saliency.shape == (3, 80, 96)
    assert explanation.key_slices == (4, 3, 5)
    assert explanation.saliency.max() == 1.0
    assert explanation.saliency.std() > 0.01


def test_slices_are_given_in_order(
    gtrnet: Gtrnet, make_case: Callable[[int], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch holds the three neighbouring slices from the first to the last."""
    case = make_case(4)
    hu = np.broadcast_to(np.arange(9, dtype=np.float32)[:, None, None] * 20.0, SHAPE).copy()
    seen: list[torch.Tensor] = []
    maps = gtrnet._network.maps
    monkeypatch.setattr(gtrnet._network, "maps", lambda batch: seen.append(batch) or maps(batch))
    gtrnet.predict(replace(case, volume=replace(case.volume, hu=hu)))
    assert seen[0].shape == (3, 3, 224, 224)
    means = seen[0].mean(dim=(1, 2, 3)).tolist()
    assert means == sorted(means)
    assert means[0] < means[1] < means[2]
