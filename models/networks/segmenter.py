"""The segmentation networks: two small 3-D U-Nets, one for the whole abdomen and one for the box around an organ.

A U-Net (Falk et al. 2019, "U-Net: deep learning for cell counting, detection, and morphometry") of MONAI's blocks with
instance normalisation, so that a batch of two volumes trains it. Its first and last step fold 2 x 2 x 2 voxels into
channels and back (Shi et al. 2016, "Real-time single image and video super-resolution using an efficient sub-pixel
convolutional neural network"): no voxel is lost, and all that happens between costs an eighth.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from models.networks.initial import Network, noise
from models.networks.monai_parts import Down, TwoConv, UpCat

FOLD: Final = 2
"""Voxels along each axis that become channels."""
DIVISOR: Final = 16
"""Each side of an input is a multiple of it: folded, and three times halved."""
FEATURES: Final = (16, 32, 64, 96)
"""Channels of the four levels."""
_ACTIVATION: Final = ("LeakyReLU", {"negative_slope": 0.1, "inplace": True})
_NORM: Final = ("instance", {"affine": True})
_EXAMPLE_SIDE: Final = 32
_EXAMPLE_SHARE: Final = 0.3


class UNet(Network):
    """Windows (n, 1, z, y, x), scaled to -1 … 1, to logits (n, classes, z, y, x)."""

    def __init__(self, classes: int, features: Sequence[int] = FEATURES) -> None:
        super().__init__()
        first, second, third, last = features
        folded = FOLD**3

        def down(before: int, after: int) -> Down:
            return Down(3, before, after, _ACTIVATION, _NORM, bias=True)

        def up(below: int, beside: int) -> UpCat:
            return UpCat(3, below, beside, beside, _ACTIVATION, _NORM, bias=True, upsample="deconv", halves=False)

        self.entry = TwoConv(3, folded, first, _ACTIVATION, _NORM, bias=True)
        self.downs = nn.ModuleList((down(first, second), down(second, third), down(third, last)))
        self.ups = nn.ModuleList((up(last, third), up(third, second), up(second, first)))
        self.head = nn.Conv3d(first, folded * classes, 1)
        self.bottleneck_channels = int(last)

    def forward(self, image: Tensor) -> Tensor:
        """The logits."""
        return self.with_features(image)[0]

    def with_features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and the bottleneck's mean over space (n, channels)."""
        levels = [self.entry(_folded(image))]
        for down in self.downs:
            levels.append(down(levels[-1]))
        bottleneck = levels.pop()
        found = bottleneck
        for up in self.ups:
            found = up(found, levels.pop())
        return _unfolded(self.head(found)), bottleneck.mean(dim=(2, 3, 4))

    def examples(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Two windows of noise."""
        return (noise(generator, (2, 1, *(_EXAMPLE_SIDE,) * 3), _EXAMPLE_SHARE).clamp(-1.0, 1.0),)


def _folded(image: Tensor) -> Tensor:
    """(n, c, z, y, x) to (n, 8 c, z / 2, y / 2, x / 2)."""
    n, channels, z, y, x = image.shape
    split = image.reshape(n, channels, z // FOLD, FOLD, y // FOLD, FOLD, x // FOLD, FOLD)
    return split.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, channels * FOLD**3, z // FOLD, y // FOLD, x // FOLD)


def _unfolded(maps: Tensor) -> Tensor:
    """The inverse of ``_folded``."""
    n, channels, z, y, x = maps.shape
    split = maps.reshape(n, channels // FOLD**3, FOLD, FOLD, FOLD, z, y, x)
    return split.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(n, channels // FOLD**3, z * FOLD, y * FOLD, x * FOLD)


class Outliers(nn.Module):
    """What familiar images look like, as ``models.segmenters.outliers.Familiar`` has it: tensors of the same file."""

    mean: Tensor
    precision: Tensor
    threshold: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("precision", torch.eye(channels))
        self.register_buffer("threshold", torch.ones(1))


class CoarseToFine(nn.Module):
    """Everything that the shipped segmenter has learnt: its networks and the statistics of familiar images."""

    def __init__(
        self,
        coarse_classes: int,
        fine_classes: int,
        coarse_features: Sequence[int] = FEATURES,
        fine_features: Sequence[int] = FEATURES,
    ) -> None:
        super().__init__()
        self.coarse = UNet(coarse_classes, coarse_features)
        self.fine = UNet(fine_classes, fine_features)
        self.outliers = Outliers(self.coarse.bottleneck_channels)
