"""EN-PCT: the image encoder of PORCELAIN, a 3-D EfficientNet-B0 with two added squeeze-and-excitation blocks.

Source: PORCELAIN (doi 10.1038/s41746-025-02303-9), methods, "Imaging branch" and eq. 2; Tan & Le 2019 for the backbone.
"""

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor, nn

from models.networks.depthwise import Depthwise3d, is_depthwise
from models.networks.initial import noise
from models.networks.monai_parts import ChannelSELayer, EfficientNetBN, MBConvBlock

INPUT: Final = (1, 100, 100, 30)
"""Channels, rows, columns, slices."""
EMBEDDING: Final = 256
# Short trainings never reach the statistics that EfficientNet's own momentum of 0.01 would give.
NORM: Final = ("batch", {"eps": 1e-3, "momentum": 0.1})
# Tan & Le count the stem as stage 1, so the paper's stages 2 and 3 are the ones with 16 and 24 channels.
SE_AFTER: Final = {0: 16, 1: 24}
SE_REDUCTION: Final = 4
# The last stage whose map is at least 7x7x2 for an input of 100x100x30; what Grad-CAM shows.
MAP_STAGE: Final = 4
MAP_CHANNELS: Final = 112
HEAD_CHANNELS: Final = 1280
DROPOUT: Final = 0.3
# Voxels of nothing around the examples: in rows and columns, in slices. The first is an ordinary lesion.
EXAMPLE_MARGINS: Final = ((30, 8), (40, 12), (15, 0), (0, 0))


class EnPct(nn.Module):
    """The encoder: (n, 1, 100, 100, 30) image as rows, columns, slices to (n, 256) embedding z_img (eq. 2).

    Cut in two so that Grad-CAM needs gradients in the tail alone: ``trunk`` ends at the (n, 112, 7, 7, 2) map.
    """

    def __init__(self) -> None:
        super().__init__()
        backbone = EfficientNetBN(
            "efficientnet-b0", pretrained=False, spatial_dims=3, in_channels=1, num_classes=1, norm=NORM
        )
        _pad_symmetrically(backbone)
        self.stem = nn.Sequential(backbone._conv_stem, backbone._bn0, nn.SiLU())  # noqa: SLF001  MONAI has no accessor
        self.stages = nn.ModuleList(_with_se(i, stage) for i, stage in enumerate(backbone._blocks))  # noqa: SLF001
        self.head = nn.Sequential(backbone._conv_head, backbone._bn1, nn.SiLU())  # noqa: SLF001
        self.embed = nn.Sequential(
            nn.Dropout(DROPOUT), nn.Linear(HEAD_CHANNELS, EMBEDDING), nn.ReLU(), nn.BatchNorm1d(EMBEDDING)
        )

    def residual_norms(self) -> Iterator[nn.BatchNorm3d]:
        """The last BatchNorm of each residual branch."""
        blocks = (module for module in self.modules() if isinstance(module, MBConvBlock))
        return (block._bn2 for block in blocks if block.stride == 1 and block.in_channels == block.out_channels)  # noqa: SLF001

    def trunk(self, image: Tensor) -> Tensor:
        """The stem and the stages up to the map: (n, 1, 100, 100, 30) to (n, 112, 7, 7, 2)."""
        features: Tensor = self.stem(image)
        for stage in self.stages[: MAP_STAGE + 1]:
            features = stage(features)
        return features

    def tail(self, features: Tensor) -> Tensor:
        """The rest: (n, 112, 7, 7, 2) to the embedding (n, 256)."""
        for stage in self.stages[MAP_STAGE + 1 :]:
            features = stage(features)
        pooled = self.head(features).mean(dim=(2, 3, 4))
        embedding: Tensor = self.embed(pooled)
        return embedding

    def forward(self, image: Tensor) -> Tensor:
        """(n, 1, 100, 100, 30) to (n, 256)."""
        return self.tail(self.trunk(image))


def examples(generator: torch.Generator) -> Tensor:
    """(4, 1, 100, 100, 30): noise in boxes of several sizes in the middle of nothing, as lesions are."""
    channels, rows, columns, slices = INPUT
    image = torch.zeros(len(EXAMPLE_MARGINS), channels, rows, columns, slices)
    for single, (across, along) in zip(image, EXAMPLE_MARGINS, strict=True):
        inside = single[None, :, across : rows - across, across : columns - across, along : slices - along]
        inside.copy_(noise(generator, tuple(inside.shape), fine_share=0.5))
    return image


def _with_se(index: int, stage: nn.Module) -> nn.Module:
    """The stage, followed by its added squeeze-and-excitation block where the paper puts one."""
    if index not in SE_AFTER:
        return stage
    return nn.Sequential(stage, ChannelSELayer(spatial_dims=3, in_channels=SE_AFTER[index], r=SE_REDUCTION))


def _pad_symmetrically(backbone: nn.Module) -> None:
    """Put (k-1)//2 padding into each convolution: MONAI pads for a cube of 224, which fails on 100x100x30."""
    for module in list(backbone.modules()):
        for name, child in list(module.named_children()):
            if name.endswith("_padding"):
                setattr(module, name, nn.Identity())
            elif name == "_swish":
                setattr(module, name, nn.SiLU())
            elif isinstance(child, nn.Conv3d):
                child.padding = tuple((size - 1) // 2 for size in child.kernel_size)
                if is_depthwise(child):
                    setattr(module, name, Depthwise3d.of(child))
