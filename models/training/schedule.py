"""Learning rates as pure functions of progress: nothing to store, so an interrupted training goes on exactly.

Source: PORCELAIN, methods: "cosine annealing with warm restarts (SGDR)" (Loshchilov & Hutter 2017, eq. 5).
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from models.training.hyper import Hyper


def sgdr(epochs: float, first_cycle: float, growth: float) -> float:
    """The factor of the learning rate after ``epochs`` (fractions count); each cycle is ``growth`` times the last."""
    length, passed = first_cycle, epochs
    while passed >= length:
        passed -= length
        length *= growth
    return 0.5 * (1.0 + math.cos(math.pi * (passed / length)))


def _sgdr(hyper: Hyper, epochs: float) -> float:
    return sgdr(epochs, hyper.cycle_epochs, hyper.cycle_growth)


def _constant(hyper: Hyper, epochs: float) -> float:  # noqa: ARG001  the same for every schedule
    return 1.0


def _cosine(hyper: Hyper, epochs: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, epochs / hyper.epochs)))


SCHEDULES: Final[Mapping[str, Callable[[Hyper, float], float]]] = MappingProxyType(
    {"sgdr": _sgdr, "constant": _constant, "cosine": _cosine}
)


def learning_rate(hyper: Hyper, epochs: float) -> float:
    """The learning rate after ``epochs``; rises linearly over ``warm_up_epochs`` at the very start."""
    warm = min(1.0, (epochs + _FIRST) / hyper.warm_up_epochs) if hyper.warm_up_epochs else 1.0
    return hyper.learning_rate * warm * SCHEDULES[hyper.schedule](hyper, epochs)


_FIRST: Final = 0.01
"""So that the very first step of a warm-up does something."""
