"""GTRNet's network is the plain ResNet-152 that the published checkpoint fits, and a smaller one embeds in it."""

import pytest
import torch
from torch import Tensor, nn

from models.networks.gtrnet import FULL, SMALL, Blocks, GtrNet, embed
from models.networks.initial import draw


class Bottleneck(nn.Module):
    """A residual block written from He et al. 2016, Fig. 5 (right), with the stride in its 3 x 3 convolution."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.downsample = nn.Identity()
        if stride != 1 or inside != 4 * width:
            shortcut = nn.Conv2d(inside, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        """The shortcut and the branch, added."""
        branch = torch.relu(self.bn1(self.conv1(x)))
        branch = torch.relu(self.bn2(self.conv2(branch)))
        return torch.relu(self.downsample(x) + self.bn3(self.conv3(branch)))


class IndependentResNet(nn.Module):
    """A bottleneck ResNet of plain torch, with the names of the torchvision layout."""

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inside = 64
        for stage, count in enumerate(blocks):
            width, layers = 64 * 2**stage, []
            for block in range(count):
                layers.append(Bottleneck(inside, width, 2 if stage and not block else 1))
                inside = 4 * width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(2048, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures to logits."""
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{stage}")(x)
        logits: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


def drawn(blocks: Blocks) -> GtrNet:
    """A network with weights that pass the signal on."""
    network = GtrNet(blocks)
    draw(network, 5)
    return network


def pictures() -> Tensor:
    """Two examples that the weights were not calibrated on."""
    (slices,) = GtrNet(SMALL).examples(torch.Generator().manual_seed(12))
    return slices[:2]


@pytest.fixture(scope="module")
def network() -> GtrNet:
    """The published network with drawn weights."""
    return drawn(FULL)


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


def test_its_layers_come_in_order_and_have_the_known_shapes() -> None:
    """Methods, "Deep learning model: GTRNet": a ResNet-152 (3, 8, 36, 3 blocks a stage) with four outputs."""
    network, sizes = GtrNet(FULL).eval(), {}
    order = [name for name, _ in network.named_children()]
    assert order == ["conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4", "fc"]
    for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        network.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: sizes.update({name: tuple(out.shape[1:])})
        )
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 4)
    assert sizes == {
        "conv1": (64, 112, 112),
        "maxpool": (64, 56, 56),
        "layer1": (256, 56, 56),
        "layer2": (512, 28, 28),
        "layer3": (1024, 14, 14),
        "layer4": (2048, 7, 7),
    }
    assert tuple(len(network.get_submodule(f"layer{stage}")) for stage in (1, 2, 3, 4)) == (3, 8, 36, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("blocks", [FULL, SMALL], ids=["full", "small"])
def test_an_independent_network_gives_the_same_numbers(blocks: Blocks) -> None:
    """A ResNet written here from the paper of He et al. takes the same state, strictly, and gives the same logits."""
    ours, theirs = drawn(blocks), IndependentResNet(blocks).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    with torch.no_grad():
        expected, logits = theirs(pictures()), ours(pictures())
    assert expected.std() > 0.01
    assert (logits - expected).abs().max() < 1e-5


def test_what_follows_the_last_map_is_made_from_it_alone(network: GtrNet) -> None:
    """The features are the map's means, the logits a linear layer of the features: one pass of the trunk is enough."""
    with torch.no_grad():
        maps = network.maps(pictures())
        pooled = network.pooled(maps)
        assert pooled.shape == (2, 2048)
        assert torch.equal(pooled, maps.mean(dim=(2, 3)))
        assert torch.equal(network.logits(pooled), network.classify(maps))
        assert torch.equal(network.classify(maps), network(pictures()))


def test_the_small_network_has_a_block_a_stage() -> None:
    """8.0 million parameters, an order of magnitude fewer, and each name also in the full network."""
    small = GtrNet(SMALL)
    assert sum(parameter.numel() for parameter in small.parameters()) == 8_024_132
    assert set(small.state_dict()) < set(GtrNet(FULL).state_dict())


def test_the_small_network_embeds_exactly_in_the_published_one() -> None:
    """The embedding computes the same logits; its other blocks are the identity, but not dead: they have weights."""
    small, full = drawn(SMALL), GtrNet(FULL).eval()
    full.load_state_dict(embed(small.state_dict()), strict=True)
    with torch.no_grad():
        expected = small(pictures())
        assert expected.std() > 0.01
        assert (full(pictures()) - expected).abs().max() <= 1e-5
        maps = [full.get_submodule(f"layer3.{block}") for block in (1, 35)]
    for block in maps:
        x = torch.rand(1, 1024, 14, 14)
        with torch.no_grad():
            assert torch.equal(block(x), x)
        assert block.get_submodule("conv1").weight.std() > 0


def test_embedding_needs_every_tensor_and_leaves_the_generator_alone() -> None:
    """A state without its linear layer is named as such; nobody's random numbers are used up."""
    state = GtrNet(SMALL).state_dict()
    before = torch.random.get_rng_state()
    first, second = embed(state), embed(state)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    del state["fc.bias"]
    with pytest.raises(KeyError, match=r"fc\.bias"):
        embed(state)


def test_the_plain_network_aims_at_nothing(network: GtrNet) -> None:
    """It takes slices alone, wherever the lesion is."""
    assert network.aims((0.2, 0.7), 3) == ()
