"""GTRNet's network is the plain ResNet-152 that the published checkpoint fits."""

import pytest
import torch
from monai.networks.nets.resnet import resnet152

from models.networks.gtrnet import GtrNet


@pytest.fixture(scope="module")
def network() -> GtrNet:
    """The network in evaluation mode."""
    return GtrNet().eval()


def test_it_has_the_size_of_the_published_checkpoint(network: GtrNet) -> None:
    """The published file has 233,519,033 bytes: those of these tensors and less than 0.4 MB for its format."""
    assert sum(parameter.numel() for parameter in network.parameters()) == 58_152_004
    stored = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    assert 0 < 233_519_033 - stored < 400_000


def test_it_has_the_names_of_the_torchvision_layout(network: GtrNet) -> None:
    """Keys are those of torchvision's resnet152: no prefix, and no bias in the shortcuts."""
    names = list(network.state_dict())
    assert names[:2] == ["conv1.weight", "bn1.weight"]
    assert names[-2:] == ["fc.weight", "fc.bias"]
    assert "layer3.35.bn3.running_var" in names
    assert "layer1.0.downsample.0.weight" in names
    assert "layer1.0.downsample.0.bias" not in names
    assert len(names) == 932


def test_the_first_convolution_halves_the_picture(network: GtrNet) -> None:
    """224 x 224 gives maps of 7 x 7, as the torchvision layout does."""
    assert network.get_submodule("conv1").stride == (2, 2)
    with torch.no_grad():
        assert network.maps(torch.zeros(1, 3, 224, 224)).shape == (1, 2048, 7, 7)


def test_opened_it_is_still_the_same_network(network: GtrNet) -> None:
    """Maps and classification together give what MONAI's network gives with the same weights."""
    generator = torch.Generator().manual_seed(0)
    plain = resnet152(spatial_dims=2, n_input_channels=3, num_classes=4, conv1_t_stride=2, bias_downsample=False).eval()
    plain.load_state_dict(network.state_dict(), strict=True)
    slices = torch.randn(1, 3, 64, 64, generator=generator)
    with torch.no_grad():
        assert torch.allclose(network(slices), plain(slices), rtol=1e-5)
