"""A network of three tensors and a counter: what a checkpoint in the tests is of, where its size does not matter."""

from collections import OrderedDict

import torch
from torch import nn


class SmallNetwork(nn.Module):
    """A linear layer and a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.bn = nn.BatchNorm1d(2)


ENTRY = f"{SmallNetwork.__module__}:{SmallNetwork.__name__}"


def state() -> OrderedDict[str, torch.Tensor]:
    """Its tensors, the same every time."""
    torch.manual_seed(0)
    return OrderedDict(SmallNetwork().state_dict())
