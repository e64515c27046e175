"""GTRNet as published: a plain ResNet-152 with four outputs, T1 to T4.

Source: GTRNet (doi 10.1038/s41746-025-02002-5), methods, "Deep learning model: GTRNet"; the published checkpoint has
the size of the plain architecture. The state dict has the keys of the torchvision layout.
"""

from collections.abc import Iterator
from typing import Final

import torch
from monai.networks.nets.resnet import ResNetBottleneck, resnet152
from torch import Tensor, nn

from models.networks.initial import Network, noise

INPUT: Final = (3, 224, 224)
"""Channels, rows, columns."""
CLASSES: Final = 4
EXAMPLES: Final = 4
MAP_CHANNELS: Final = 2048
# A black pixel after the ImageNet normalisation, and the part of the half image that a body fills.
BLACK: Final = -2.0
BODY_RADIUS: Final = 0.8
_TRUNK: Final = ("conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4")


class GtrNet(Network):
    """(n, 3, 224, 224) slices to (n, 4) logits of T1 to T4.

    MONAI's network under its own names, opened between the last map and the pooling: that map is what a class
    activation map is made of.
    """

    def __init__(self) -> None:
        super().__init__()
        # MONAI's defaults differ from the torchvision layout in the last two arguments.
        plain = resnet152(
            spatial_dims=2, n_input_channels=3, num_classes=CLASSES, conv1_t_stride=2, bias_downsample=False
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

    def maps(self, slices: Tensor) -> Tensor:
        """The last map: (n, 3, 224, 224) to (n, 2048, 7, 7)."""
        features = slices
        for name in _TRUNK:
            features = self.get_submodule(name)(features)
        return features

    def classify(self, maps: Tensor) -> Tensor:
        """Global average pooling and the linear layer: (n, 2048, 7, 7) to logits (n, 4)."""
        logits: Tensor = self.fc(maps.mean(dim=(2, 3)))
        return logits

    def forward(self, slices: Tensor) -> Tensor:
        """(n, 3, 224, 224) to (n, 4)."""
        return self.classify(self.maps(slices))
