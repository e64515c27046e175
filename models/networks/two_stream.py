"""GTRNet's network as the paper draws it: a max-pool stream for context and a centre-crop stream for detail.

Source: GTRNet (doi 10.1038/s41746-025-02002-5), methods, "Deep learning model: GTRNet": "parallel max-pooling and
center-cropping streams in the early network layers, allowing the network to focus on both local tumor detail and wider
contextual information"; Fig. 6B. The paper does not say how the streams meet. Here they are added.
"""

from typing import Final

import torch
from torch import Tensor, nn

from models.networks.gtrnet import FULL, INPUT, Blocks, GtrNet

EARLY_CHANNELS: Final = 64
EARLY_SIZE: Final = INPUT[1] // 2
"""Rows and columns of the map that both streams read: 112."""
POOLED_SIZE: Final = EARLY_SIZE // 2
"""Rows and columns of what both streams give: 56."""
_DEEPER: Final = ("layer1", "layer2", "layer3", "layer4")


class DetailStream(nn.Module):
    """A crop of the early map at its full resolution through a 1 x 1 convolution that starts at zero.

    The weight is a plain parameter, so that nothing that draws convolutions at random touches it: at zero the stream
    is silent, and the network is the plain one until training has found a use for the detail.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(EARLY_CHANNELS, EARLY_CHANNELS, 1, 1))

    def forward(self, early: Tensor, corners: Tensor, size: int) -> Tensor:
        """(n, 64, r, c) and the crops' first rows and columns (n, 2) to (n, 64, size, size)."""
        steps = torch.arange(size, device=early.device)
        rows = (corners[:, :1] + steps)[:, None, :, None]
        columns = (corners[:, 1:] + steps)[:, None, None, :]
        images = torch.arange(early.shape[0], device=early.device)[:, None, None, None]
        channels = torch.arange(early.shape[1], device=early.device)[None, :, None, None]
        return nn.functional.conv2d(early[images, channels, rows, columns], self.weight)


class TwoStreamGtrNet(GtrNet):
    """(n, 3, 224, 224) slices and (n, 2) corners to (n, 4) logits.

    The state dict is that of the plain network and ``detail.weight``: weights of the plain network load into it.
    """

    def __init__(self, blocks: Blocks = FULL) -> None:
        super().__init__(blocks)
        self.detail = DetailStream()

    def examples(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Those of the plain network, with the crop in the middle."""
        (slices,) = super().examples(generator)
        return slices, *self.aims((0.5, 0.5), slices.shape[0])

    def aims(self, centre: tuple[float, float], count: int) -> tuple[Tensor, ...]:
        """The corners (count, 2) of crops about ``centre``, shifted where they would leave the map."""
        corner = [min(max(round(part * EARLY_SIZE) - POOLED_SIZE // 2, 0), EARLY_SIZE - POOLED_SIZE) for part in centre]
        return (torch.tensor([corner] * count, dtype=torch.int64),)

    def maps(self, slices: Tensor, corners: Tensor | None = None) -> Tensor:
        """The last map: (n, 3, 224, 224) to (n, 2048, 7, 7). Without ``corners`` the crop is the middle."""
        if corners is None:
            corners = self.aims((0.5, 0.5), slices.shape[0])[0].to(slices.device)
        early: Tensor = slices
        for name in ("conv1", "bn1", "act"):
            early = self.get_submodule(name)(early)
        context: Tensor = self.get_submodule("maxpool")(early)
        features: Tensor = context + self.detail(early, corners, POOLED_SIZE)
        for name in _DEEPER:
            features = self.get_submodule(name)(features)
        return features
