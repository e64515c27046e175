"""BatchNorm in short trainings."""

import torch
from torch import nn

from models.training.norms import norms_of, re_estimate, set_momentum


def test_the_momentum_is_set_everywhere() -> None:
    """In one and in three dimensions."""
    network = nn.Sequential(nn.BatchNorm1d(2, momentum=0.01), nn.Sequential(nn.BatchNorm3d(2, momentum=0.02)))
    set_momentum(network, 0.1)
    assert [norm.momentum for norm in norms_of(network)] == [0.1, 0.1]


def test_statistics_are_those_of_the_cases() -> None:
    """Whatever they were before: the mean over the batches, and the network is left in evaluation mode."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    norm = norms_of(network)[0]
    rows = torch.randn(40, 3) * torch.tensor([1.0, 2.0, 3.0]) + 5.0
    network(rows + 100.0)
    re_estimate(network, [lambda at=at: network(rows[at : at + 10]) for at in range(0, 40, 10)])  # type: ignore[misc]
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, rows.mean(dim=0))
    assert not network.training
    assert norm.momentum == 0.1


def test_weights_stay() -> None:
    """Nothing is learnt meanwhile."""
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = [parameter.clone() for parameter in network.parameters()]
    re_estimate(network, [lambda: network(torch.randn(8, 2))])
    assert all(torch.equal(one, other) for one, other in zip(before, network.parameters(), strict=True))


def test_what_is_frozen_keeps_its_statistics() -> None:
    """A branch that is not trained is none of training's business."""
    network = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    network[0].requires_grad_(requires_grad=False)
    assert norms_of(network) == [network[1]]
