"""Augmentation as published: in-plane rotation, flips, brightness; for GTRNet also scaling.

Source: PORCELAIN (doi 10.1038/s41746-025-02303-9), methods: "random rotations (±15°), horizontal and vertical flips
(probability 0.5), and brightness jitter (±10%)". GTRNet (doi 10.1038/s41746-025-02002-5), methods: "random flipping,
rotation, scaling, and intensity perturbation" without numbers; PORCELAIN's stand in, and ±10 % for the scale.

What is drawn follows from seed, epoch and case alone, so a training that was interrupted draws the same again.
Brightness multiplies the normalised values: what is 0 outside a lesion stays 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

_STREAM: Final = 0xA06


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far each change may go; all zero: none."""

    rotation_deg: float = 15.0
    flip_probability: float = 0.5
    brightness: float = 0.1
    scale: float = 0.0
    outside: Literal["zeros", "border"] = "zeros"
    """What comes in at the edges: nothing, or what the edge shows (the air around a patient)."""


PORCELAIN: Final = Augmentation()
GTRNET: Final = Augmentation(scale=0.1, outside="border")


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to one image."""

    angle_deg: float
    flips_rows: bool
    flips_columns: bool
    brightness: float
    """A factor."""
    scale: float
    """A factor; above 1 the image is magnified."""

    def matrix(self) -> list[list[float]]:
        """From where, in [-1, 1], each place of a square image is taken: two rows (x, y) of an affine matrix."""
        angle = np.deg2rad(self.angle_deg)
        cos, sin = float(np.cos(angle)) / self.scale, float(np.sin(angle)) / self.scale
        x, y = (-1.0 if self.flips_columns else 1.0), (-1.0 if self.flips_rows else 1.0)
        return [[cos * x, -sin * y, 0.0], [sin * x, cos * y, 0.0]]


def drawn(augmentation: Augmentation, seed: int, epoch: int, case: int) -> Change:
    """What is done to case number ``case`` in an epoch."""
    rng = np.random.default_rng((_STREAM, seed, epoch, case))
    angle, brightness, scale = rng.uniform(-1.0, 1.0, 3)
    rows, columns = rng.random(2) < augmentation.flip_probability
    return Change(
        angle_deg=float(angle) * augmentation.rotation_deg,
        flips_rows=bool(rows),
        flips_columns=bool(columns),
        brightness=1.0 + float(brightness) * augmentation.brightness,
        scale=1.0 + float(scale) * augmentation.scale,
    )


def applied(images: Tensor, changes: Sequence[Change], outside: str) -> Tensor:
    """(n, c, size, size), one change an image, interpolated bilinearly."""
    matrices = torch.tensor([change.matrix() for change in changes], dtype=images.dtype, device=images.device)
    places = affine_grid(matrices, list(images.shape), align_corners=False)
    moved = grid_sample(images, places, mode="bilinear", padding_mode=outside, align_corners=False)
    factors = torch.tensor([change.brightness for change in changes], dtype=images.dtype, device=images.device)
    return moved * factors[:, None, None, None]


def moved(centre: tuple[float, float], change: Change) -> tuple[float, float]:
    """Where a place (row, column, as fractions of the image) comes to lie, inside the image."""
    matrix = np.array(change.matrix())[:, :2]
    x, y = np.linalg.solve(matrix, [2.0 * centre[1] - 1.0, 2.0 * centre[0] - 1.0])
    row, column = (float(np.clip(0.5 * (each + 1.0), 0.0, 1.0)) for each in (y, x))
    return row, column
