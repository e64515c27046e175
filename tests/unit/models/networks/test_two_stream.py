"""The network as GTRNet's paper draws it: a max-pool stream and a centre-crop stream."""

import pytest
import torch
from torch import Tensor

from models.networks.gtrnet import GtrNet
from models.networks.initial import draw
from models.networks.two_stream import DetailStream, TwoStreamGtrNet


@pytest.fixture(scope="module")
def plain() -> GtrNet:
    """The plain network with drawn weights."""
    network = GtrNet()
    draw(network, 7)
    return network


@pytest.fixture(scope="module")
def both(plain: GtrNet) -> TwoStreamGtrNet:
    """The two-stream network with the plain one's weights."""
    network = TwoStreamGtrNet().eval()
    network.load_state_dict(plain.state_dict(), strict=False)
    return network


@pytest.fixture
def slices() -> Tensor:
    """Two examples."""
    found = TwoStreamGtrNet.examples(TwoStreamGtrNet(), torch.Generator().manual_seed(12))
    return found[0][:2]


def test_it_has_one_tensor_more_than_the_plain_network(plain: GtrNet) -> None:
    """Methods, "Deep learning model: GTRNet", Fig. 6B: a stream beside max-pooling, here 64 x 64 weights."""
    network = TwoStreamGtrNet()
    missing = network.load_state_dict(plain.state_dict(), strict=False)
    assert missing.missing_keys == ["detail.weight"]
    assert missing.unexpected_keys == []
    assert network.detail.weight.shape == (64, 64, 1, 1)
    assert sum(parameter.numel() for parameter in network.parameters()) == 58_152_004 + 4_096


def test_both_streams_meet_before_the_first_stage(both: TwoStreamGtrNet, slices: Tensor) -> None:
    """The crop reads the 112 x 112 map that is pooled, and gives 56 x 56 as pooling does."""
    sizes: dict[str, tuple[int, ...]] = {}
    hooks = [
        both.get_submodule(name).register_forward_hook(
            lambda _, given, out, name=name: sizes.update({name: (*given[0].shape[1:], *out.shape[1:])})
        )
        for name in ("maxpool", "detail", "layer1")
    ]
    with torch.no_grad():
        assert both(slices).shape == (2, 4)
    for hook in hooks:
        hook.remove()
    assert sizes == {
        "maxpool": (64, 112, 112, 64, 56, 56),
        "detail": (64, 112, 112, 64, 56, 56),
        "layer1": (64, 56, 56, 256, 56, 56),
    }


def test_at_the_start_it_is_the_plain_network(plain: GtrNet, both: TwoStreamGtrNet, slices: Tensor) -> None:
    """With the plain weights and a silent stream the logits are the same, wherever the crop lies."""
    with torch.no_grad():
        expected = plain(slices)
        for centre in ((0.5, 0.5), (0.1, 0.9)):
            assert torch.equal(both(slices, *both.aims(centre, 2)), expected)


def test_drawn_weights_leave_the_stream_silent(plain: GtrNet) -> None:
    """The same seed gives the same weights as for the plain network, and zeros for the stream."""
    network = TwoStreamGtrNet()
    draw(network, 7)
    assert not network.detail.weight.any()
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in plain.state_dict().items())


def test_a_stream_that_speaks_is_heard_and_hears(both: TwoStreamGtrNet, slices: Tensor) -> None:
    """Once its weights are not zero, where it looks changes the logits, and training reaches its weights from zero."""
    network = TwoStreamGtrNet().eval()
    network.load_state_dict(both.state_dict())
    network.requires_grad_(requires_grad=False)
    network.detail.requires_grad_()
    silent = network(slices[:1], *network.aims((0.3, 0.3), 1))
    silent.sum().backward()
    assert network.detail.weight.grad is not None
    assert network.detail.weight.grad.abs().max() > 0
    with torch.no_grad():
        network.detail.weight.normal_(0.0, 0.05, generator=torch.Generator().manual_seed(1))
        here, there = (network(slices[:1], *network.aims(centre, 1)) for centre in ((0.3, 0.3), (0.6, 0.6)))
        assert (here - silent).abs().max() > 1e-3
        assert (here - there).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("centre", "corner"),
    [((0.5, 0.5), (28, 28)), ((0.25, 0.75), (0, 56)), ((0.0, 1.0), (0, 56)), ((0.4, 0.6), (17, 39))],
)
def test_the_crop_follows_the_lesion(centre: tuple[float, float], corner: tuple[int, int]) -> None:
    """A crop of 56 about the lesion's place on the 112 x 112 map; at the border it stays inside."""
    (corners,) = TwoStreamGtrNet().aims(centre, 3)
    assert corners.tolist() == [list(corner)] * 3


def test_each_image_has_its_own_crop() -> None:
    """Rows are rows and columns columns: an identity for weights gives back the pixels under the crop."""
    stream = DetailStream()
    with torch.no_grad():
        stream.weight.copy_(torch.eye(64)[:, :, None, None])
        early = torch.rand(2, 64, 112, 112)
        crops = stream(early, torch.tensor([[3, 40], [56, 0]]), 56)
    assert torch.allclose(crops[0], early[0, :, 3:59, 40:96])
    assert torch.allclose(crops[1], early[1, :, 56:112, 0:56])
