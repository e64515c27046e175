"""Seeded random weights for networks that nobody has trained: finite, unsaturated, and the same for the same seed."""

from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor, nn

# A residual branch that starts small keeps fifty blocks from amplifying what the examples did not foresee.
RESIDUAL_GAMMA: Final = 0.2


class Network(nn.Module):
    """A network that knows what its inputs look like."""

    def examples(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Random inputs, a few of each, shaped and scaled like prepared ones."""
        raise NotImplementedError

    def residual_norms(self) -> Iterable[nn.BatchNorm2d | nn.BatchNorm3d]:
        """The last BatchNorm of each residual branch that is to start small."""
        return ()


def draw(network: Network, seed: int) -> None:
    """Draw all weights of ``network`` in place; torch's global generator stays as it was.

    Convolutions and linear layers by He et al. 2015. The statistics of the convolutions' BatchNorm layers are then
    taken from one batch of examples: with the usual zero mean and unit variance the signal of a network this deep
    dies out (EN-PCT) or overflows (ResNet-152), and neither map nor output depends on the image any more.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
                module.weight.normal_(0.0, (2.0 / module.weight[0].numel()) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                module.reset_parameters()
        for norm in network.residual_norms():
            nn.init.constant_(norm.weight, RESIDUAL_GAMMA)
        _calibrate(network, network.examples(generator))


def noise(generator: torch.Generator, shape: tuple[int, ...], fine_share: float) -> Tensor:
    """(n, c, *spatial) noise with unit variance; ``fine_share`` of the variance is from voxel to voxel."""
    coarse_shape = (*shape[:2], *(max(size // 8, 1) for size in shape[2:]))
    coarse = torch.randn(coarse_shape, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=shape[2:])
    fine = torch.randn(shape, generator=generator)
    mixed: Tensor = (1.0 - fine_share) ** 0.5 * smooth + fine_share**0.5 * fine
    return mixed


def _calibrate(network: nn.Module, examples: tuple[Tensor, ...]) -> None:
    """Set the statistics of the convolutions' BatchNorm layers to those of ``examples``; leaves evaluation mode."""
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # a plain average over the batches seen since the reset
        norm.train()
    network(*examples)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
