"""An image looked at several times, each time turned and scaled a little, and what is said of it averaged.

A network errs otherwise in each view, and what is in the image stays: averaged over views, a lesion stands out more
from what only looked like one. Of the views that training draws from, since others are strange to the network.

Wang et al. 2019, "Aleatoric uncertainty estimation with test-time augmentation for medical image segmentation with
convolutional neural networks", section 3.2.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from models.fields import Fields
from models.segmenters import windows
from models.segmenters.windows import FloatArray, Run

_MOST_DEGREES: Final = 45.0
_SCALES: Final = (0.5, 2.0)
_MOST_VIEWS: Final = 16

Plane = tuple[int, int]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class View:
    """How the planes of an image are seen: turned about the patient's axis, then larger or smaller."""

    degrees: float = 0.0
    scale: float = 1.0
    """Above 1 the image has more, smaller voxels."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """Raises BundleError."""
        degrees, scale = fields.number("degrees"), fields.number("scale")
        if abs(degrees) > _MOST_DEGREES:
            raise fields.wrong("degrees", f"is {degrees:g}, beyond {_MOST_DEGREES:g} to either side")
        if not _SCALES[0] <= scale <= _SCALES[1]:
            raise fields.wrong("scale", f"is {scale:g}, not {_SCALES[0]:g} to {_SCALES[1]:g}")
        return cls(degrees, scale)

    @property
    def is_plain(self) -> bool:
        """Whether the image is seen as it is."""
        return self == PLAIN

    def of(self, image: FloatArray) -> FloatArray:
        """The planes of ``image`` [slice, row, column] in this view; beyond its edges its last voxels are repeated."""
        return image if self.is_plain else _resampled(image, self._steps(), self._size(image.shape[1:]))

    def back(self, maps: FloatArray, rows: int, columns: int) -> FloatArray:
        """Maps [class, slice, row, column] of this view on the rows and columns of the image that it is of."""
        if self.is_plain:
            return maps
        classes, slices = maps.shape[:2]
        planes = maps.reshape(classes * slices, *maps.shape[2:])
        found = _resampled(planes, np.linalg.inv(self._steps()).astype(np.float64), (rows, columns))
        return found.reshape(classes, slices, rows, columns)

    def _size(self, plane: Sequence[int]) -> Plane:
        rows, columns = (max(1, round(side * self.scale)) for side in plane)
        return rows, columns

    def _steps(self) -> Matrix:
        """(2, 2): from steps in this view, row and column, to steps in the image."""
        angle = np.radians(self.degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        steps: Matrix = turn / self.scale
        return steps


PLAIN: Final = View()


def read(fields: Fields, name: str) -> tuple[View, ...]:
    """The views in the field ``name``; where there is no such field, the plain one. Raises BundleError."""
    if not fields.has(name):
        return (PLAIN,)
    found = tuple(View.read(view) for view in fields.children(name))
    if not 0 < len(found) <= _MOST_VIEWS:
        raise fields.wrong(name, f"has {len(found)} views, not 1 to {_MOST_VIEWS}")
    return found


def averaged(image: FloatArray, views: Sequence[View], window_zyx: tuple[int, int, int], run: Run) -> FloatArray:
    """The mean over ``views`` of what ``run`` says of the windows of ``image`` [slice, row, column].

    [class, slice, row, column]: probabilities. Raises ValueError for an image without a voxel.
    """
    slices, rows, columns = image.shape
    total: FloatArray | None = None
    for view in views:
        for strip in _strips(view.of(image), window_zyx, run):
            found = view.back(strip.probabilities, rows, columns)
            if total is None:
                total = np.zeros((found.shape[0], slices, rows, columns), dtype=np.float32)
            total[:, strip.first : strip.first + found.shape[1]] += found
    if total is None:
        raise ValueError("no view, nothing said")
    total /= np.float32(len(views))
    return total


def _strips(image: FloatArray, window_zyx: tuple[int, int, int], run: Run) -> Iterator[windows.Strip]:
    shape = (image.shape[0], image.shape[1], image.shape[2])
    return windows.sweep(lambda first, stop: image[first:stop], shape, window_zyx, run)


def _resampled(planes: FloatArray, steps: Matrix, size: Plane) -> FloatArray:
    """(n, rows, columns) on planes of ``size`` about the same middle, bilinearly; ``steps`` as of ``View``."""
    row, column = (torch.arange(side, dtype=torch.float64) - 0.5 * (side - 1) for side in size)
    along = torch.stack(torch.meshgrid(row, column, indexing="ij"))
    rows, columns = torch.tensordot(torch.from_numpy(steps), along, dims=1)
    # As torch counts: -1 and 1 are the outer edges, and the column comes first.
    at = torch.stack([columns * (2.0 / planes.shape[2]), rows * (2.0 / planes.shape[1])], dim=-1)
    image = torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32))[None]
    found = functional.grid_sample(
        image, at[None].to(image.dtype), mode="bilinear", padding_mode="border", align_corners=False
    )
    resampled: FloatArray = found[0].numpy()
    return resampled
