"""From a plan to voxels: a whole study, or any box of it, voxel for voxel the same.

Arrays are [slice, row, column], slices from the feet up, rows from front to back, columns from the patient's right to
left.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from models.phantoms import acquisition, tumours
from models.phantoms.anatomy import Anatomy, Organ, build
from models.phantoms.canvas import Canvas
from models.phantoms.lattice import Axis, Lattice, Plane
from models.phantoms.painting import Painter, Textures
from models.phantoms.scanner import MATRIX
from models.phantoms.shapes import Extent
from models.phantoms.spec import Kind, PhantomSpec, Stream

PORCELAIN_BOX: Final = (30, 100, 100)
"""Slices, rows and columns of PORCELAIN's input."""
GTRNET_BOX: Final = (3, 224, 224)
"""The key slice and its neighbours, 224 x 224 native pixels around the stomach's tumour."""
LOWEST_HU: Final = -1024
HIGHEST_HU: Final = 3071
_BEND_STEP_MM: Final = 46.0
_BEND_MM: Final = (3.2, 3.4, 3.4)
"""Standard deviation of the patient's own bending in z, y and x."""
_FINE_MM: Final = 5.0
_COARSE_MM: Final = 13.0
_THIN_MM: Final = 2.4
"""Thinner slices are taken as planes."""
_BENT_BY_MM: Final = 16.0
"""How far bending moves a lesion from its planned place: beyond four standard deviations and turning."""
_SEARCH_MM: Final = 3.0
_SEARCH_STEP: Final = 3


@dataclass(frozen=True, slots=True)
class Box:
    """A box of voxels of a study: half-open ranges of slices, rows and columns."""

    slices: tuple[int, int]
    rows: tuple[int, int] = (0, MATRIX)
    columns: tuple[int, int] = (0, MATRIX)

    @classmethod
    def around(cls, centre_zyx: tuple[int, int, int], shape_zyx: tuple[int, int, int], spec: PhantomSpec) -> Self:
        """The box of ``shape_zyx`` around a voxel, moved to lie within the study and cut where the study is smaller."""
        ranges = []
        for centre, length, limit in zip(centre_zyx, shape_zyx, spec.grid.shape_zyx, strict=True):
            first = max(0, min(centre - length // 2, limit - length))
            ranges.append((first, min(first + length, limit)))
        return cls(*ranges)

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return (
            self.slices[1] - self.slices[0],
            self.rows[1] - self.rows[0],
            self.columns[1] - self.columns[0],
        )

    @property
    def index(self) -> tuple[slice, slice, slice]:
        """What cuts it out of the arrays of the whole study."""
        return slice(*self.slices), slice(*self.rows), slice(*self.columns)


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A synthetic CT with known answers; ``spec`` has the truth: status, stage, records, phase, scanner."""

    spec: PhantomSpec
    box: Box
    """Which part of the study the arrays are."""
    hu: npt.NDArray[np.int16]
    organs: npt.NDArray[np.uint8]
    """``Organ`` values."""
    lesions: npt.NDArray[np.uint8]
    """The number of the lesion (1 is the first and largest), 0 elsewhere."""

    def organ(self, *which: Organ) -> npt.NDArray[np.bool_]:
        """The voxels of one or more organs."""
        mask: npt.NDArray[np.bool_] = np.isin(self.organs, which)
        return mask

    def lesion(self, number: int = 1) -> npt.NDArray[np.bool_]:
        """The voxels of one lesion."""
        mask: npt.NDArray[np.bool_] = self.lesions == number
        return mask

    def window(self, level: float = 50.0, width: float = 350.0) -> npt.NDArray[np.uint8]:
        """The study as a reader sees it, 0 to 255."""
        shown = (self.hu.astype(np.float32) - np.float32(level - width / 2.0)) * np.float32(255.0 / width)
        grey: npt.NDArray[np.uint8] = np.clip(shown, 0.0, 255.0).astype(np.uint8)
        return grey


def render(spec: PhantomSpec, box: Box | None = None) -> Phantom:
    """The phantom of ``spec``, or the part of it in ``box``."""
    return Renderer(spec).render(box)


class Renderer:
    """Renders boxes of one phantom; what they share is built once."""

    def __init__(self, spec: PhantomSpec) -> None:
        self.spec = spec
        grid = spec.grid
        self._z, self._y, self._x = (
            np.asarray(first + step * np.arange(count), np.float64)
            for first, step, count in zip(grid.first_zyx_mm, grid.spacing_zyx_mm, grid.shape_zyx, strict=True)
        )
        low = (float(self._z[0]) - 10.0, float(self._y[0]), float(self._x[0]))
        high = (float(self._z[-1]) + 10.0, -low[1], -low[2])
        bend, texture = spec.stream(Stream.WARP), spec.stream(Stream.TEXTURE)
        self._bend = tuple(Lattice.drawn(bend, _BEND_STEP_MM, low, high) for _ in range(3))
        self._fine = Lattice.drawn(texture, _FINE_MM, low, high)
        self._kept: tuple[tuple[float, int, int, int, int], Plane] | None = None
        self._coarse = Lattice.drawn(texture, _COARSE_MM, low, high)

    @cached_property
    def anatomy(self) -> Anatomy:
        """The organs before the patient's bending."""
        return build(self.spec)

    @cached_property
    def _painter(self) -> Painter:
        spec, anatomy = self.spec, self.anatomy
        numbers = range(1, len(spec.lesions) + 1)
        pancreatic: tuple[tumours.PancreaticTumour, ...] = ()
        gastric: tuple[tumours.GastricTumour, ...] = ()
        if spec.kind is Kind.PANCREATIC and spec.ntr is not None:
            pancreatic = tuple(tumours.pancreatic(spec, number, anatomy.pancreas, spec.ntr) for number in numbers)
        elif spec.kind is Kind.GASTRIC:
            gastric = tuple(tumours.gastric(spec, number, anatomy.stomach) for number in numbers)
        return Painter(spec, anatomy, pancreatic, gastric)

    def render(self, box: Box | None = None) -> Phantom:
        """The voxels of ``box``, of the whole study without it."""
        asked = box or Box((0, self.spec.grid.slices))
        hu = np.empty(asked.shape_zyx, np.int16)
        organs, lesions = np.empty(asked.shape_zyx, np.uint8), np.empty(asked.shape_zyx, np.uint8)
        for k, index in enumerate(range(*asked.slices)):
            hu[k], organs[k], lesions[k] = self._slice(index, asked)
        return Phantom(self.spec, asked, hu, organs, lesions)

    def labels(self, index: int, box: Box, step: int = 1) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Organs and lesions of one slice in the rows and columns of ``box``, every ``step``-th pixel; no scanner."""
        canvas = self._plane(float(self._z[index]), slice(*box.rows, step), slice(*box.columns, step))
        return canvas.organs, canvas.lesions

    def planned_extent(self, number: int) -> Extent | None:
        """Where a lesion is planned, before the patient's bending; None where there is none."""
        painter = self._painter
        planned: tuple[tumours.PancreaticTumour | tumours.GastricTumour, ...] = (*painter.pancreatic, *painter.gastric)
        return next((one.extent for one in planned if one.number == number), None)

    def _slice(
        self, index: int, box: Box
    ) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        scanner, margin = self.spec.scanner, acquisition.margin_px(self.spec.scanner)
        rows, inner_rows = _widened(box.rows, margin)
        columns, inner_columns = _widened(box.columns, margin)
        inner = (inner_rows, inner_columns)
        middle = self._plane(float(self._z[index]), rows, columns)
        seen = middle.hu
        if scanner.thickness_mm > _THIN_MM:
            # A triangular slice profile: the middle counts twice; abutting slices share the planes between them.
            below, above = (self._edge_plane(index, side, rows, columns) for side in (-0.5, 0.5))
            seen = np.float32(0.5) * seen + np.float32(0.25) * (below + above)
        seen = acquisition.blurred(seen, scanner)[inner]
        noise = acquisition.noise(scanner, self.spec.stream(Stream.NOISE, index), slice(*box.rows), slice(*box.columns))
        hu = np.clip(np.rint(seen + noise), LOWEST_HU, HIGHEST_HU).astype(np.int16)
        return hu, middle.organs[inner], middle.lesions[inner]

    def _edge_plane(self, index: int, side: float, rows: slice, columns: slice) -> Plane:
        """What lies half a thickness below or above the middle of a slice; the last one is kept for the next slice."""
        z_mm = round(float(self._z[index]) + side * self.spec.scanner.thickness_mm, 6)
        key = (z_mm, rows.start, rows.stop, columns.start, columns.stop)
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, self._plane(z_mm, rows, columns).hu)
        return self._kept[1]

    def _plane(self, z_mm: float, rows: slice, columns: slice) -> Canvas:
        """One infinitely thin plane, before the scanner."""
        return self.plane(z_mm, self._y[rows], self._x[columns], self.spec.grid.spacing_zyx_mm[1])

    def plane(self, z_mm: float, y: Axis, x: Axis, soft_mm: float) -> Canvas:
        """One infinitely thin plane at any points (mm) of two axes, edges ``soft_mm`` wide, before the scanner."""
        canvas = Canvas(x, y, self._patient(z_mm, y, x), soft_mm)
        textures = Textures(self._fine.plane(z_mm, y, x), self._coarse.plane(z_mm, y, x))
        self._painter.paint(canvas, textures, z_mm)
        return canvas

    def _patient(self, z_mm: float, y_mm: Axis, x_mm: Axis) -> tuple[Plane, Plane, Plane]:
        """Where each pixel lies in the patient before turning and bending: x, y, z."""
        dz, dy, dx = (
            np.float32(size) * lattice.plane(z_mm, y_mm, x_mm)
            for size, lattice in zip(_BEND_MM, self._bend, strict=True)
        )
        turn = np.float32(self.spec.habitus.turn)
        x, y = x_mm.astype(np.float32)[None, :], y_mm.astype(np.float32)[:, None]
        return dx + x + turn * y, dy + y - turn * x, dz + np.float32(z_mm)


def _widened(range_px: tuple[int, int], margin: int) -> tuple[slice, slice]:
    """A range with a margin as far as the matrix goes, and where the range lies in it."""
    first, last = max(0, range_px[0] - margin), min(MATRIX, range_px[1] + margin)
    return slice(first, last), slice(range_px[0] - first, range_px[1] - first)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a lesion came to lie."""

    centre_zyx: tuple[int, int, int]
    """The voxel in the middle of its box, within two pixels and a slice."""
    key_slice: int
    """The slice with its largest area; the first of several."""


@lru_cache(maxsize=256)
def lesion_place(spec: PhantomSpec, number: int = 1) -> Place:
    """Where lesion ``number`` of a study lies, found with labels alone around its planned place.

    Raises:
        ValueError: the study has no such lesion, or it is hidden behind other organs.
    """
    renderer = Renderer(spec)
    extent = renderer.planned_extent(number)
    if extent is None:
        raise ValueError(f"phantom {spec.seed} has no lesion {number}")
    box = _around_plan(spec, extent)
    stride = max(1, round(_SEARCH_MM / spec.grid.spacing_zyx_mm[0]))
    areas: dict[int, int] = {}
    low, high = np.full(3, 10**6), np.full(3, -1)
    for index in range(box.slices[0], box.slices[1], stride):
        mask = renderer.labels(index, box, _SEARCH_STEP)[1] == number
        areas[index] = int(mask.sum())
        if areas[index]:
            rows, columns = np.nonzero(mask)
            low = np.minimum(low, (index, rows.min(), columns.min()))
            high = np.maximum(high, (index, rows.max(), columns.max()))
    if not any(areas.values()):
        raise ValueError(f"lesion {number} of phantom {spec.seed} shows on no slice")
    middle = (low + high) // 2
    row, column = (int(at) * _SEARCH_STEP + start for at, start in zip(middle[1:], (box.rows[0], box.columns[0])))  # noqa: B905 — both pairs
    about = max(areas, key=lambda index: areas[index])
    near = range(max(box.slices[0], about - stride + 1), min(box.slices[1], about + stride))
    key = max(near, key=lambda index: int((renderer.labels(index, box)[1] == number).sum()))
    return Place((int(middle[0]), row, column), key)


def lesion_box(spec: PhantomSpec, shape_zyx: tuple[int, int, int] = PORCELAIN_BOX, number: int = 1) -> Box:
    """The box of ``shape_zyx`` around a lesion. ValueError as ``lesion_place``."""
    return Box.around(lesion_place(spec, number).centre_zyx, shape_zyx, spec)


def stomach_box(spec: PhantomSpec, shape_zyx: tuple[int, int, int] = GTRNET_BOX, number: int = 1) -> Box:
    """The box around a gastric tumour, its middle slice the one of the largest area. ValueError as ``lesion_place``."""
    place = lesion_place(spec, number)
    return Box.around((place.key_slice, *place.centre_zyx[1:]), shape_zyx, spec)


def key_planes(spec: PhantomSpec, number: int = 1, neighbours: int = 1) -> Box:
    """Whole slices: the one with the largest area of a lesion, and its neighbours as far as there are any.

    Raises:
        ValueError: as ``lesion_place``.
    """
    key = lesion_place(spec, number).key_slice
    return Box((max(0, key - neighbours), min(spec.grid.slices, key + neighbours + 1)))


def _around_plan(spec: PhantomSpec, extent: Extent) -> Box:
    ranges = []
    for k, limit in enumerate(spec.grid.shape_zyx):
        first, step = spec.grid.first_zyx_mm[k], spec.grid.spacing_zyx_mm[k]
        start = int((extent.low[2 - k] - _BENT_BY_MM - first) / step)
        stop = int((extent.high[2 - k] + _BENT_BY_MM - first) / step) + 1
        start = min(max(0, start), limit - 1)
        ranges.append((start, max(start + 1, min(limit, stop))))
    return Box(*ranges)
