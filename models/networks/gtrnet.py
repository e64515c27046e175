"""GTRNet's network: a ResNet-152 with four outputs, T1 to T4, as its authors published it; and a smaller relative.

Source: GTRNet (doi 10.1038/s41746-025-02002-5), methods, "Deep learning model: GTRNet"; the published checkpoint has
the size of the plain architecture. The state dict has the keys of the torchvision layout. The streams that the paper
draws beside it are in ``models.networks.two_stream``.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import torch
from torch import Tensor, nn

from models.networks.initial import Network, noise
from models.networks.monai_parts import ResNet, ResNetBottleneck

INPUT: Final = (3, 224, 224)
"""Channels, rows, columns."""
CLASSES: Final = 4
EXAMPLES: Final = 4
MAP_CHANNELS: Final = 2048

Blocks = tuple[int, int, int, int]
FULL: Final[Blocks] = (3, 8, 36, 3)
"""Bottleneck blocks a stage of a ResNet-152 (He et al. 2016, Table 1)."""
SMALL: Final[Blocks] = (1, 1, 1, 1)
"""One block a stage: what a CPU can train on phantoms. It is not the published network and is named as what it is."""

# A black pixel after the ImageNet normalisation, and the part of the half image that a body fills.
BLACK: Final = -2.0
BODY_RADIUS: Final = 0.8
_WIDTHS: Final = (64, 128, 256, 512)
_TRUNK: Final = ("conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4")
_ADDED_BLOCK: Final = re.compile(r"layer\d\.[1-9]\d*\.")
_BRANCH_END: Final = ("bn3.weight", "bn3.bias")


class GtrNet(Network):
    """(n, 3, 224, 224) slices to (n, 4) logits of T1 to T4.

    MONAI's network under its own names, opened between the last map and the pooling: that map is what a class
    activation map is made of, and its mean over the cells is what the Rad-score reads.
    """

    def __init__(self, blocks: Blocks = FULL) -> None:
        super().__init__()
        # MONAI's defaults differ from the torchvision layout in the stride and in the bias of the shortcuts.
        plain = ResNet(
            "bottleneck",
            list(blocks),
            list(_WIDTHS),
            spatial_dims=2,
            n_input_channels=INPUT[0],
            num_classes=CLASSES,
            conv1_t_stride=2,
            bias_downsample=False,
        )
        for name in (*_TRUNK, "fc"):
            self.add_module(name, plain.get_submodule(name))
        self.fc: nn.Linear

    def examples(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Grey noise in a disc on black: the three channels are alike and the border is empty, as in a CT slice."""
        rows = torch.linspace(-1.0, 1.0, INPUT[1])
        body = (rows[:, None] ** 2 + rows**2 < BODY_RADIUS**2).float()
        tissue = noise(generator, (EXAMPLES, 1, *INPUT[1:]), fine_share=0.1)
        return ((tissue * body + BLACK * (1.0 - body)).expand(-1, INPUT[0], -1, -1),)

    def residual_norms(self) -> Iterator[nn.BatchNorm2d]:
        """The last BatchNorm of each residual branch."""
        return (module.bn3 for module in self.modules() if isinstance(module, ResNetBottleneck))

    def aims(self, centre: tuple[float, float], count: int) -> tuple[Tensor, ...]:  # noqa: ARG002  see two_stream
        """What ``maps`` takes beside ``count`` slices whose lesion lies at ``centre``: nothing for this network.

        ``centre`` is a row and a column as fractions of the picture.
        """
        return ()

    def maps(self, slices: Tensor) -> Tensor:
        """The last map: (n, 3, 224, 224) to (n, 2048, 7, 7)."""
        features = slices
        for name in _TRUNK:
            features = self.get_submodule(name)(features)
        return features

    def pooled(self, maps: Tensor) -> Tensor:
        """The penultimate features: (n, 2048, 7, 7) to their means (n, 2048)."""
        return maps.mean(dim=(2, 3))

    def logits(self, pooled: Tensor) -> Tensor:
        """The linear layer: (n, 2048) to (n, 4)."""
        logits: Tensor = self.fc(pooled)
        return logits

    def classify(self, maps: Tensor) -> Tensor:
        """Global average pooling and the linear layer: (n, 2048, 7, 7) to logits (n, 4)."""
        return self.logits(self.pooled(maps))

    def forward(self, slices: Tensor, *aims: Tensor) -> Tensor:
        """(n, 3, 224, 224) to (n, 4); ``aims`` as the method of that name gives them."""
        return self.classify(self.maps(slices, *aims))


def embed(small: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of the ``FULL`` network that computes what the ``SMALL`` network with state ``small`` computes.

    Every block that the small network has not becomes the identity: its branch ends in a BatchNorm of weight and bias
    0, and what it is added to is not negative, so the ReLU behind leaves it alone. The other weights of those blocks
    keep their random start (He et al. 2015), from which they can be trained. Raises KeyError naming a tensor that
    ``small`` lacks.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        full: dict[str, Tensor] = GtrNet(FULL).state_dict()
    # What only the small network has is of no block: the detail stream of models.networks.two_stream.
    full |= {name: tensor for name, tensor in small.items() if name not in full}
    return {name: _embedded(name, start, small) for name, start in full.items()}


def _embedded(name: str, start: Tensor, small: Mapping[str, Tensor]) -> Tensor:
    """One tensor of the embedding."""
    if not _ADDED_BLOCK.match(name):
        return small[name].clone()
    return torch.zeros_like(start) if name.endswith(_BRANCH_END) else start
