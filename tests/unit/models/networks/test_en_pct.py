"""EN-PCT has the shape that the paper gives (PORCELAIN, methods, "Imaging branch")."""

import pytest
import torch
from monai.networks.blocks.squeeze_and_excitation import ChannelSELayer
from torch import nn

from models.networks.en_pct import EnPct


@pytest.fixture(scope="module")
def network() -> EnPct:
    """The encoder in evaluation mode."""
    return EnPct().eval()


def test_it_has_the_parameters_of_a_3d_efficientnet_b0(network: EnPct) -> None:
    """5.02 million parameters with the 256-d embedding; the paper says 5.3 million."""
    assert sum(parameter.numel() for parameter in network.parameters()) == 5_017_294


def test_the_input_of_the_paper_passes_through(network: EnPct) -> None:
    """1 x 100 x 100 x 30 gives a map of 112 x 7 x 7 x 2 and an embedding of 256 (eq. 2)."""
    image = torch.randn(1, 1, 100, 100, 30)
    with torch.no_grad():
        features = network.trunk(image)
        assert features.shape == (1, 112, 7, 7, 2)
        assert torch.equal(network.tail(features), network(image))
        assert network(image).shape == (1, 256)


def test_the_explained_map_is_the_deepest_of_its_size(network: EnPct) -> None:
    """The next stage's map is 4 x 4 x 1, too coarse to show."""
    with torch.no_grad():
        deeper = network.stages[5](network.trunk(torch.zeros(1, 1, 100, 100, 30)))
    assert deeper.shape[2:] == (4, 4, 1)


def test_squeeze_and_excitation_follows_the_16_and_24_channel_stages(network: EnPct) -> None:
    """The paper's stages 2 and 3, counted as Tan & Le do, each end in an added block with reduction 4."""
    added = {i: m for i, stage in enumerate(network.stages) for m in stage.modules() if isinstance(m, ChannelSELayer)}
    assert {i: (block.fc[0].in_features, block.fc[0].out_features) for i, block in added.items()} == {
        0: (16, 4),
        1: (24, 6),
    }


def test_padding_is_symmetric_everywhere(network: EnPct) -> None:
    """Each convolution pads (k-1)//2 on both sides, so the map lies centred over the image."""
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv3d)]
    assert len(convolutions) == 81
    assert all(c.padding == tuple((size - 1) // 2 for size in c.kernel_size) for c in convolutions)


def test_the_embedding_is_norm_of_relu_of_linear_of_dropout(network: EnPct) -> None:
    """The head is dropout 0.3, FC 256, ReLU, BatchNorm, in this order (eq. 2), and BatchNorm learns at 0.1."""
    assert [type(module) for module in network.embed] == [nn.Dropout, nn.Linear, nn.ReLU, nn.BatchNorm1d]
    assert network.embed[0].p == 0.3
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm3d)]
    assert {norm.momentum for norm in norms} == {0.1}


def test_the_names_of_the_weights_are_fixed(network: EnPct) -> None:
    """Weight files hold on to these names."""
    names = set(network.state_dict())
    assert {
        "stem.0.weight",
        "stages.0.0.0._depthwise_conv.weight",
        "stages.0.1.fc.0.weight",
        "stages.6.15._project_conv.weight",
        "head.0.weight",
        "embed.1.weight",
        "embed.3.running_mean",
    } <= names
    assert len(names) == 373
