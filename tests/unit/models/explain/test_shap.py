"""Shapley values are those of the definition, add up, and are the same each time."""

import itertools
import math

import numpy as np
import pytest
import torch

from models.explain.background import Background, drawn
from models.explain.shap import IMAGE, Explainer, Shapley, antithetic, attribution
from models.networks.fusion import MultimodalNetwork
from models.networks.initial import draw
from node.domain.prediction import Contribution
from node.domain.reasons import ReasonCode
from node.errors import Quarantined

GROUPS = (1, 2, 1, 3)
ROWS = 6


@pytest.fixture(scope="module")
def network() -> MultimodalNetwork:
    """A drawn network for four variables, two of them one-hot."""
    network = MultimodalNetwork(GROUPS)
    draw(network, 5)
    return network


@pytest.fixture(scope="module")
def background(network: MultimodalNetwork) -> Background:
    """A few rows."""
    rows = drawn(network, 1)
    return Background(rows.embeddings[:ROWS], rows.columns[:ROWS])


@pytest.fixture(scope="module")
def patient(network: MultimodalNetwork) -> tuple[torch.Tensor, torch.Tensor]:
    """An embedding and columns that are none of the background's."""
    rows = drawn(network, 2)
    return rows.embeddings[0] * 2.0, rows.columns[0]


def by_definition(
    network: MultimodalNetwork, background: Background, patient: tuple[torch.Tensor, torch.Tensor]
) -> tuple[float, list[float]]:
    """The base, and each player's mean gain over all coalitions of the others, with the network's own head."""
    embedding, columns = patient
    members = [torch.from_numpy(row) for row in np.asarray(network.clinical.groups > 0)]
    players = len(members) + 1

    def worth(coalition: frozenset[int]) -> float:
        rows = background.columns.clone()
        for player in coalition - {players - 1}:
            rows[:, members[player]] = columns[members[player]]
        images = embedding.expand(ROWS, -1) if players - 1 in coalition else background.embeddings
        with torch.no_grad():
            return float(network.head(images, rows).double().mean())

    values = []
    for player in range(players):
        others = [other for other in range(players) if other != player]
        gain = 0.0
        for size in range(players):
            weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
            for chosen in itertools.combinations(others, size):
                gain += weight * (worth(frozenset(chosen) | {player}) - worth(frozenset(chosen)))
        values.append(gain)
    return worth(frozenset()), values


def all_orders(players: int) -> np.ndarray:
    """Every order of the players, for each background row."""
    return np.broadcast_to(
        np.array(list(itertools.permutations(range(players)))), (ROWS, math.factorial(players), players)
    )


def test_with_all_orders_they_are_exact(
    network: MultimodalNetwork, background: Background, patient: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Over every order the estimate is the definition: the image and each variable, one-hot groups as one."""
    base, expected = by_definition(network, background, patient)
    found = Explainer(network, background, all_orders(len(GROUPS) + 1)).values(*patient)
    assert found.base == pytest.approx(base, abs=1e-5)
    assert np.allclose([*found.variables, found.image], expected, atol=1e-5)
    assert max(map(abs, expected)) > 0.05


def test_sampled_orders_come_close(network: MultimodalNetwork, patient: tuple[torch.Tensor, torch.Tensor]) -> None:
    """With a hundred rows and ten orders each, no value is off by more than a fiftieth of the largest."""
    rows = drawn(network, 1)
    exact = Explainer(network, rows, np.broadcast_to(all_orders(5)[:1], (100, 120, 5))).values(*patient)
    found = Explainer(network, rows).values(*patient)
    largest = max(abs(exact.image), np.abs(exact.variables).max())
    assert abs(found.image - exact.image) < largest / 50
    assert np.abs(found.variables - exact.variables).max() < largest / 50


def test_base_and_values_add_up_to_the_logit(
    network: MultimodalNetwork, patient: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """To 1e-5, whatever orders were drawn."""
    embedding, columns = patient
    with torch.no_grad():
        logit = float(network.head(embedding[None], columns[None]))
    for seed in range(3):
        found = Explainer(network, drawn(network, seed), antithetic(100, 2, 5, seed)).values(embedding, columns)
        assert found.base + found.variables.sum() + found.image == pytest.approx(logit, abs=1e-5)


def test_the_same_patient_has_the_same_values(
    network: MultimodalNetwork, background: Background, patient: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Two explainers give the same bits, and torch's and numpy's generators stay as they were."""
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tobytes()  # noqa: NPY002  what is guarded
    first, second = (Explainer(network, background).values(*patient) for _ in range(2))
    assert (first.base, first.image) == (second.base, second.image)
    assert np.array_equal(first.variables, second.variables)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tobytes() == numpy_state  # noqa: NPY002


def test_a_player_that_is_like_the_background_gets_nothing(network: MultimodalNetwork, background: Background) -> None:
    """A patient who equals every row in one variable owes nothing to it; one who equals them in all, nothing to any."""
    row = Background(background.embeddings[:1].expand(ROWS, -1), background.columns[:1].expand(ROWS, -1))
    found = Explainer(network, row).values(background.embeddings[0], background.columns[0])
    assert np.allclose([*found.variables, found.image], 0.0, atol=1e-6)
    other = background.columns[0].clone()
    other[0] += 1.0
    found = Explainer(network, row).values(background.embeddings[0], other)
    assert np.allclose([*found.variables[1:], found.image], 0.0, atol=1e-6)
    assert abs(found.variables[0]) > 1e-4


def test_orders_come_with_their_reverse() -> None:
    """Each row has orders of its own; the second half are the first half backwards, and all are permutations."""
    ranks = antithetic(3, 4, 6)
    assert ranks.shape == (3, 4, 6)
    assert np.array_equal(np.sort(ranks, axis=2), np.broadcast_to(np.arange(6), ranks.shape))
    assert np.array_equal(ranks[:, :2] + ranks[:, 2:], np.full((3, 2, 6), 5))
    assert not np.array_equal(ranks[0], ranks[1])


NAMES = [Contribution("age", 0.0, "66 years"), Contribution("cea", 0.0, "3 ng/mL", is_imputed=True)]


def test_an_attribution_names_the_largest_first() -> None:
    """Sizes decide, whichever the sign; the image stands among the variables, without an answer."""
    found = attribution(Shapley(0.5, np.array([0.1, -0.7]), 0.3), 0.2, NAMES)
    assert found.contributions == (
        Contribution("cea", -0.7, "3 ng/mL", is_imputed=True),
        Contribution(IMAGE, 0.3),
        Contribution("age", 0.1, "66 years"),
    )
    assert (found.base_logit, found.logit) == (0.5, 0.2)


@pytest.mark.parametrize("logit", [0.2001, math.nan])
def test_values_that_do_not_add_up_are_not_shown(logit: float) -> None:
    """The case is held for a person, with a code."""
    with pytest.raises(Quarantined, match=r"add up to 0\.200000") as held:
        attribution(Shapley(0.5, np.array([0.1, -0.7]), 0.3), logit, NAMES)
    assert held.value.reason.code is ReasonCode.INTERNAL


def test_rounding_of_a_large_logit_holds_nobody() -> None:
    """Two ways of computing the same in single precision; a thousandth off is no rounding."""
    found = Shapley(0.0, np.array([38.4098, 0.0]), 0.0)
    assert attribution(found, 38.4104, NAMES).logit == 38.4104
    with pytest.raises(Quarantined, match="add up to"):
        attribution(found, 38.4482, NAMES)
