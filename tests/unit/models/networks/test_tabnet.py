"""The clinical encoder has the shape that the paper gives (PORCELAIN, methods, "Clinical branch")."""

import pytest
import torch
from pytorch_tabnet.tab_network import TabNet
from pytorch_tabnet.utils import create_group_matrix

from models.networks.tabnet import EMBEDDING, SPARSITY, ClinicalEncoder


@pytest.fixture(scope="module")
def network() -> ClinicalEncoder:
    """An encoder for two numbers and one category with two columns, in evaluation mode."""
    return ClinicalEncoder((1, 1, 2)).eval()


def test_it_has_the_settings_of_the_paper(network: ClinicalEncoder) -> None:
    """Three decision steps, width 64, relaxation 1.5, embedding 128, dropout 0.4 (eq. 3)."""
    tabnet = network.network
    assert (tabnet.n_steps, tabnet.n_d, tabnet.n_a, tabnet.gamma, tabnet.output_dim) == (3, 64, 64, 1.5, 128)
    assert network.dropout.p == 0.4
    assert sum(parameter.numel() for parameter in network.parameters()) == 312_930


@pytest.mark.parametrize("is_training", [False, True])
def test_it_is_the_librarys_tabnet(is_training: bool) -> None:
    """A TabNet built by the library from the paper's numbers, with its own group matrix, gives the same embedding.

    In training the attention's entropy and the gradients agree as well, dropout aside.
    """
    groups = (1, 2, 3)
    ours = ClinicalEncoder(groups).train(is_training)
    ours.dropout.eval()
    matrix = create_group_matrix([[1, 2], [3, 4, 5]], 6)
    matrix = matrix[(matrix > 0).int().argmax(dim=1).argsort()]  # the library puts grouped columns first
    theirs = TabNet(6, 128, n_d=64, n_a=64, n_steps=3, gamma=1.5, group_attention_matrix=matrix).train(is_training)
    theirs.load_state_dict(ours.network.state_dict())
    columns = torch.randn(8, 6)
    (embedding, entropy), (expected, expected_entropy) = ours.attend(columns), theirs(columns)
    assert embedding.shape == (8, EMBEDDING)
    assert torch.allclose(embedding, expected, atol=1e-6)
    assert torch.allclose(entropy, expected_entropy, atol=1e-6)
    loss = embedding.square().mean() - SPARSITY * entropy
    loss.backward()
    (expected.square().mean() - 1e-3 * expected_entropy).backward()
    pairs = zip(ours.network.named_parameters(), theirs.parameters(), strict=True)
    learning = [(mine.grad, other.grad) for (_, mine), other in pairs if mine.grad is not None]
    assert len(learning) > 40
    assert all(other is not None and torch.allclose(mine, other, atol=1e-6) for mine, other in learning)


def test_sparse_attention_is_rewarded() -> None:
    """Training subtracts 1e-3 times the negated entropy: attention to one variable costs nothing, to many more."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        _, alone = ClinicalEncoder((1,)).eval().attend(torch.randn(5, 1))
        _, spread = ClinicalEncoder((1,) * 8).eval().attend(torch.randn(5, 8))
    assert abs(float(alone)) < 1e-6
    assert float(spread) < -0.01
    assert SPARSITY == 1e-3


def test_columns_become_an_embedding(network: ClinicalEncoder) -> None:
    """(n, 4) gives (n, 128), one row not depending on another."""
    columns = torch.randn(3, 4)
    with torch.no_grad():
        embedding = network(columns)
        assert embedding.shape == (3, 128)
        assert torch.allclose(embedding[1:2], network(columns[1:2]), atol=1e-3)


def test_attention_is_paid_to_variables(network: ClinicalEncoder) -> None:
    """The columns of a one-hot code share one attention weight, spread evenly."""
    assert network.groups.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.5, 0.5]]
    assert network.network.tabnet.encoder.attention_dim == 3


def test_the_groups_move_with_the_module() -> None:
    """What the library keeps as a plain attribute follows the module to another device or precision."""
    moved = ClinicalEncoder((1, 2)).eval().double()
    assert moved.network.tabnet.encoder.group_attention_matrix.dtype is torch.float64
    assert "groups" not in moved.state_dict()
