"""The clinical encoder has the shape that the paper gives (PORCELAIN, methods, "Clinical branch")."""

import pytest
import torch

from models.networks.tabnet import ClinicalEncoder


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
