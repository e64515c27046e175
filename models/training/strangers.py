"""Images that no training saw, made of familiar ones: what an out-of-distribution score has to catch."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Hu = npt.NDArray[np.float32]
Stranger = Callable[[Hu], Hu]
"""From a familiar study [slice, row, column], slices from the feet up, to a strange one."""

_RESCALE_HU: Final = 1000.0
_DARK_HU: Final = 300.0
_SEED: Final = 0x57A


def _without_rescale(hu: Hu) -> Hu:
    """Stored values taken for HU: all a thousand too high."""
    return hu + np.float32(_RESCALE_HU)


def _dark(hu: Hu) -> Hu:
    return hu - np.float32(_DARK_HU)


def _like_mr(hu: Hu) -> Hu:
    """Fat bright, muscle grey, bone and air dark, in the arbitrary units of a T1-weighted sequence."""
    bright = np.interp(hu, (-1000.0, -400.0, -100.0, 40.0, 150.0, 400.0), (0.0, 0.0, 900.0, 450.0, 550.0, 50.0))
    return bright.astype(np.float32)


def _noise(hu: Hu) -> Hu:
    drawn: Hu = np.random.default_rng(_SEED).normal(0.0, 150.0, hu.shape).astype(np.float32)
    return drawn


def _upside_down(hu: Hu) -> Hu:
    """Head and feet exchanged, as a wrong header has it."""
    return hu[::-1]


def _mirrored(hu: Hu) -> Hu:
    """Left and right exchanged."""
    return hu[:, :, ::-1]


def _thigh(hu: Hu) -> Hu:
    """Two cylinders of muscle around bone in the study's own air and noise: not an abdomen."""
    rows, columns = (np.linspace(-1.0, 1.0, size, dtype=np.float32) for size in hu.shape[1:])
    plane = np.full(hu.shape[1:], -1000.0, np.float32)
    for middle in (-0.4, 0.4):
        radius = np.hypot(rows[:, None], columns[None] - middle)
        for size, value in ((0.38, -100.0), (0.33, 60.0), (0.09, 900.0), (0.05, 50.0)):
            plane[radius < size] = value
    noise = np.random.default_rng(_SEED).normal(0.0, 12.0, hu.shape).astype(np.float32)
    return plane[None] + noise


STRANGERS: Final[Mapping[str, Stranger]] = MappingProxyType(
    {
        "without rescale (+1000 HU)": _without_rescale,
        "300 HU too dark": _dark,
        "contrasts of T1-weighted MR": _like_mr,
        "noise alone": _noise,
        "thighs": _thigh,
        "head and feet exchanged": _upside_down,
        "left and right exchanged": _mirrored,
    }
)
"""By what a card calls them."""


def strange(name: str, hu: npt.NDArray[Any]) -> Hu:
    """The stranger ``name`` made of a study; a copy or a view."""
    return STRANGERS[name](np.asarray(hu, dtype=np.float32))
