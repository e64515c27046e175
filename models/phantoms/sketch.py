"""A whole study at a fraction of its cost: pixels and thin slices are taken several at once, as an average of them.

For whoever looks at a study on a coarser grid anyway. Edges are as soft as the cells are wide; the noise is that of the
study itself, averaged over each cell. The kernel's blur, narrower than a cell, is left out.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.phantoms import acquisition
from models.phantoms.lattice import Plane
from models.phantoms.render import HIGHEST_HU, LOWEST_HU, Renderer
from models.phantoms.scanner import MATRIX
from models.phantoms.spec import PhantomSpec, Stream

PIXELS: Final = 2
"""Along a row or column, in one cell."""
_THICKEST_MM: Final = 2.0
"""Slices are put together up to this much."""
_PROFILED_MM: Final = 2.4
"""Thicker slices are seen through their profile, as in ``render``."""


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """A phantom on a coarser grid; arrays and axes as in ``models.phantoms.render``."""

    spec: PhantomSpec
    hu: npt.NDArray[np.int16]
    organs: npt.NDArray[np.uint8]
    lesions: npt.NDArray[np.uint8]
    spacing_zyx_mm: tuple[float, float, float]


def sketch(spec: PhantomSpec) -> Sketch:
    """The study of ``spec``, coarsely; slices that are left over at the top are dropped."""
    renderer, (step, pixel, _) = Renderer(spec), spec.grid.spacing_zyx_mm
    together = max(1, int(_THICKEST_MM / step)) if spec.scanner.thickness_mm <= _PROFILED_MM else 1
    count, side = max(1, spec.grid.slices // together), MATRIX // PIXELS
    places_mm = pixel * (PIXELS * np.arange(side, dtype=np.float64) + 0.5 * (PIXELS - 1))
    rows, columns = (np.asarray(first + places_mm, np.float64) for first in spec.grid.first_zyx_mm[1:])
    shape = (count, side, side)
    hu, organs, lesions = np.empty(shape, np.int16), np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    soft_mm, half_mm = PIXELS * pixel, 0.5 * spec.scanner.thickness_mm
    for k in range(count):
        z_mm = spec.grid.first_zyx_mm[0] + step * (together * k + 0.5 * (together - 1))
        middle = renderer.plane(z_mm, rows, columns, soft_mm)
        seen = middle.hu
        if spec.scanner.thickness_mm > _PROFILED_MM:
            sides = [renderer.plane(z_mm + end, rows, columns, soft_mm).hu for end in (-half_mm, half_mm)]
            seen = np.float32(0.5) * seen + np.float32(0.25) * (sides[0] + sides[1])
        noise = sum(_noise(spec, together * k + index) for index in range(together)) / np.float32(together)
        hu[k] = np.clip(np.rint(seen + noise), LOWEST_HU, HIGHEST_HU).astype(np.int16)
        organs[k], lesions[k] = middle.organs, middle.lesions
    return Sketch(spec, hu, organs, lesions, (step * together, PIXELS * pixel, PIXELS * pixel))


def _noise(spec: PhantomSpec, index: int) -> Plane:
    """The noise of one slice, averaged over cells."""
    whole = acquisition.noise(spec.scanner, spec.stream(Stream.NOISE, index), slice(0, MATRIX), slice(0, MATRIX))
    side = MATRIX // PIXELS
    averaged: Plane = whole.reshape(side, PIXELS, side, PIXELS).mean(axis=(1, 3))
    return averaged
