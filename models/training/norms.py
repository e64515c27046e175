"""BatchNorm in short trainings: a quick momentum while training, and exact statistics at the end.

With EfficientNet's momentum of 0.01 the running statistics lag so far behind that accuracy is at chance while the AUC
is not. After training the statistics are taken anew, as plain averages over the training cases without augmentation.
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Norms = list[_BatchNorm]


def norms_of(network: nn.Module) -> Norms:
    """Every BatchNorm of a network that training changes, once: what is frozen keeps its statistics."""
    return [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and any(weight.requires_grad for weight in module.parameters())
    ]


def set_momentum(network: nn.Module, momentum: float) -> None:
    """For every BatchNorm of ``network``."""
    for norm in norms_of(network):
        norm.momentum = momentum


def re_estimate(network: nn.Module, batches: Iterable[Callable[[], object]]) -> None:
    """Take the statistics anew from ``batches``, each a call that runs the network; leaves evaluation mode.

    Dropout is off meanwhile, so that each layer sees what it will see when it is used.
    """
    norms = norms_of(network)
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
        norm.train()
    with torch.no_grad():
        for run in batches:
            run()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
