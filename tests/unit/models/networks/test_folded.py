"""The folded head gives the numbers of the network's own head."""

import pytest
import torch
from pytorch_tabnet.sparsemax import sparsemax as by_library

from models.networks.folded import FoldedHead, sparsemax
from models.networks.fusion import MultimodalNetwork
from models.networks.initial import draw

GROUPS = (1, 2, 1, 4, 3, 2, *(1,) * 21)


def trained_looking(groups: tuple[int, ...], seed: int) -> MultimodalNetwork:
    """A network whose BatchNorm layers all have statistics and weights of their own."""
    network = MultimodalNetwork(groups)
    draw(network, seed)
    generator = torch.Generator().manual_seed(seed)
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm1d)):
        norm.running_mean.normal_(0.0, 0.3, generator=generator)
        norm.running_var.uniform_(0.5, 2.0, generator=generator)
        with torch.no_grad():
            norm.weight.uniform_(0.5, 1.5, generator=generator)
            norm.bias.normal_(0.0, 0.3, generator=generator)
    return network


@pytest.mark.parametrize("groups", [GROUPS, (1,), (1, 1, 2)])
@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_the_head(groups: tuple[int, ...], seed: int) -> None:
    """For many embeddings and columns the logits agree to rounding, and they are far from alike."""
    network = trained_looking(groups, seed)
    folded = FoldedHead(network)
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(200, 256, generator=generator)
    columns = torch.randn(200, sum(groups), generator=generator)
    with torch.no_grad():
        expected = network.head(embeddings, columns)
        found = folded.logits(folded.clinical(columns.T.contiguous()) + folded.image(embeddings))
    assert expected.std() > 0.1
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max().clamp(min=1.0)


def test_the_parts_of_the_hidden_layer_add_up() -> None:
    """One image beside many clinical rows needs its part once."""
    network = trained_looking(GROUPS, 3)
    folded = FoldedHead(network)
    embedding, columns = torch.randn(1, 256), torch.randn(50, 34)
    with torch.no_grad():
        found = folded.logits((folded.clinical(columns.T.contiguous()) + folded.image(embedding)).unflatten(1, (5, 10)))
        expected = network.head(embedding.expand(50, -1), columns)
    assert found.shape == (5, 10)
    assert torch.allclose(found.flatten(), expected, atol=1e-4)


@pytest.mark.parametrize("players", [1, 2, 27])
@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
def test_sparsemax_is_that_of_the_library(players: int, spread: float) -> None:
    """Without sorting the same numbers come out, few or many of them zero; each column sums to one."""
    values = torch.randn(players, 500, generator=torch.Generator().manual_seed(4)) * spread
    found = sparsemax(values)
    assert torch.allclose(found, by_library(values.T.clone(), -1).T, atol=2e-6 * max(spread, 1.0))
    assert torch.allclose(found.sum(dim=0), torch.ones(500), atol=1e-5 * max(spread, 1.0))


def test_ties_are_shared() -> None:
    """Equal values get equal shares."""
    assert torch.allclose(sparsemax(torch.zeros(4, 2)), torch.full((4, 2), 0.25))
