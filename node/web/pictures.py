"""Pictures of a case: CT slices in a window, the outline of the region, and the evidence map, each a PNG of its own.

What was received is decoded in the sandbox. Pictures are kept in memory for as long as there is room.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from node import log
from node.dicom.overlays import read_overlay
from node.dicom.sandbox import Decoder
from node.domain.identifiers import SeriesUID
from node.domain.imaging import FloatArray, HuArray, Instance
from node.domain.reasons import ReasonCode
from node.domain.reporting import ObjectKind
from node.errors import Fatal, Rejected
from node.stores import Stores

T = TypeVar("T")

_MOST_BYTES: Final = 128 * 2**20
_MOST_CASES: Final = 16
_LARGEST_SIDE: Final = 1024
_GREY: Final = 255.0
_OUTLINE: Final = (110, 255, 140)
_RAMP: Final = np.array([(60, 0, 10), (190, 40, 10), (250, 150, 20), (255, 245, 190)], dtype=np.float32)
"""From dark red over orange to pale yellow, lighter all the way: the same as in the key images."""
_SQUARE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Window:
    """Which Hounsfield units are shown, from black to white."""

    key: str
    name: str
    low_hu: float
    high_hu: float

    @property
    def words(self) -> str:
        """As a reader says it: ``W 350 L 50``."""
        return f"W {self.high_hu - self.low_hu:g} L {(self.low_hu + self.high_hu) / 2:g}"


WINDOWS: Final = {
    window.key: window
    for window in (
        Window("abdomen", "Abdomen", -125.0, 225.0),  # W 350 L 50
        Window("model", "As the model sees it", 40.0, 350.0),  # PORCELAIN, doi 10.1038/s41746-025-02303-9, methods
        Window("liver", "Liver", 15.0, 165.0),
        Window("lung", "Lung", -1350.0, 150.0),
        Window("bone", "Bone", -450.0, 1050.0),
    )
}
"""The presets, the first one first."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The slices of a case in the order of its volume, and how they lie."""

    instances: tuple[Instance, ...]

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Between rows, then between columns."""
        return (self.instances[0].pixel_spacing_mm if self.instances else None) or (1.0, 1.0)

    @property
    def edges(self) -> tuple[str, str, str, str]:
        """The patient's direction at the left, right, upper and lower edge (PS3.3 section C.7.6.1.1.1)."""
        found = self.instances[0].image_orientation if self.instances else None
        if found is None:
            return ("", "", "", "")
        row, column = found[:3], found[3:]
        return (_towards(row, -1), _towards(row, 1), _towards(column, -1), _towards(column, 1))

    def height_mm(self, index: int) -> float | None:
        """Where slice ``index`` lies along the patient (z of LPS); None when it does not say."""
        position = self.instances[index].image_position_mm
        return position[2] if position else None


def _towards(direction: Sequence[float], sign: int) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return (("L", "R"), ("P", "A"), ("H", "F"))[axis][0 if direction[axis] * sign > 0 else 1]


class NoPicture(Exception):
    """There is nothing to show: the slice is not there, was pruned, or cannot be decoded."""


class DamagedOverlay(Exception):
    """An object of our own cannot be read any more: what lies on a slice is not known, and is not nothing."""


class Pictures:
    """The pictures of all cases."""

    def __init__(self, stores: Stores, decoder: Decoder) -> None:
        """``decoder``: of what was received."""
        self._stores = stores
        self._decoder = decoder
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._bytes = 0
        self._cases: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def stack(self, series_uid: str, uids: Sequence[str] | None) -> Stack:
        """The slices of a series: those in ``uids`` in that order, or all in the order in which they lie.

        Raises:
            NoPicture: nothing is here of the series.
        """
        # A series that is still being received has more slices the next time.
        if not (count := self._stores.inbox.count(SeriesUID(series_uid))):
            raise NoPicture

        def find() -> Stack:
            instances = self._stores.inbox.series(SeriesUID(series_uid)).instances
            if uids is None:
                return Stack(tuple(sorted(instances, key=_along)))
            known = {one.uid: one for one in instances}
            return Stack(tuple(known[uid] for uid in uids if uid in known))  # type: ignore[index]  # a text is one

        return self._case(("stack", series_uid, count if uids is None else tuple(uids)), find)

    def slice(self, instance: Instance, window: Window) -> bytes:
        """One CT slice as a grey PNG.

        Raises:
            NoPicture: its bytes are gone, or cannot be decoded.
        """

        def draw() -> bytes:
            hu = self._hounsfield(instance)
            grey = np.clip((hu - window.low_hu) / (window.high_hu - window.low_hu), 0.0, 1.0) * _GREY
            picture = Image.fromarray(np.rint(grey).astype(np.uint8))
            return _png(_square(picture, instance, Image.Resampling.BILINEAR))

        return self._picture((instance.uid, window.key), draw)

    def outline(self, job_id: str, instance: Instance) -> bytes:
        """The edge of the region on a slice as a transparent PNG.

        Raises:
            NoPicture: the region is not on it.
            DamagedOverlay: where it is cannot be read.
        """

        def draw() -> bytes:
            mask = self._overlay(job_id, ObjectKind.SEGMENTATION, instance) > 0
            # Drawn on the picture at twice its size: the line lies just outside of the region and hides nothing of it.
            large = np.kron(mask, np.ones((2, 2), dtype=bool))
            edge = _grown(large) & ~large
            return _png(_square(_coloured(edge, _OUTLINE), instance, Image.Resampling.NEAREST))

        return self._picture((job_id, "outline", instance.uid), draw)

    def evidence(self, job_id: str, instance: Instance) -> bytes:
        """The evidence map on a slice as a transparent PNG: the more evidence, the lighter and the less transparent.

        Raises:
            NoPicture: there is none on it.
            DamagedOverlay: it cannot be read.
        """

        def draw() -> bytes:
            levels = self._overlay(job_id, ObjectKind.PARAMETRIC_MAP, instance)
            stops = np.linspace(0.0, 1.0, len(_RAMP))
            channels = [np.interp(levels, stops, _RAMP[:, channel]) for channel in range(3)]
            pixels = np.stack([*channels, levels * _GREY], axis=-1)
            picture = Image.fromarray(np.rint(pixels).astype(np.uint8), "RGBA")
            return _png(_square(picture, instance, Image.Resampling.BILINEAR))

        return self._picture((job_id, "evidence", instance.uid), draw)

    def shown_on(self, job_id: str, kind: ObjectKind) -> frozenset[str]:
        """The images that an overlay has something on.

        Raises:
            DamagedOverlay: that cannot be read.
        """
        return frozenset(self._overlays(job_id, kind))

    def _hounsfield(self, instance: Instance) -> HuArray:
        if instance.path is None:
            raise NoPicture
        self._stores.blobs.bring((instance.path,))
        if not instance.path.is_file():
            raise NoPicture
        try:
            hu = self._decoder.read_hounsfield(instance.path)
        except (Rejected, OSError) as exc:
            # What somebody has sent cannot be shown, and the page goes on; a decoder of ours that fails is told.
            raise NoPicture from exc
        if hu.shape[0] > 4 * _LARGEST_SIDE or hu.shape[1] > 4 * _LARGEST_SIDE:
            raise NoPicture
        return hu

    def _overlay(self, job_id: str, kind: ObjectKind, instance: Instance) -> FloatArray:
        found = self._overlays(job_id, kind).get(instance.uid)
        if found is None:
            raise NoPicture
        return found

    def _overlays(self, job_id: str, kind: ObjectKind) -> dict[str, FloatArray]:
        def find() -> dict[str, FloatArray]:
            made = [one for one in self._stores.results.of(job_id) if one.kind is kind and one.pruned_at is None]
            self._stores.blobs.bring(one.path for one in made[:1])
            return _read(made[0].path, job_id) if made else {}

        return self._case((job_id, kind), find)

    def _case(self, key: Hashable, find: Callable[[], T]) -> T:
        """What is the same for every slice of a case, found once for the last few cases.

        Nothing is looked for again: an analysis that is under way will have a region and a map.
        """
        with self._lock:
            if key in self._cases:
                self._cases.move_to_end(key)
                kept: T = self._cases[key]
                return kept
        if not (found := find()):
            return found
        with self._lock:
            self._cases[key] = found
            while len(self._cases) > _MOST_CASES:
                self._cases.popitem(last=False)
        return found

    def _picture(self, key: Hashable, draw: Callable[[], bytes]) -> bytes:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        drawn = draw()
        with self._lock:
            if key not in self._kept:
                self._bytes += len(drawn)
            self._kept[key] = drawn
            while self._bytes > _MOST_BYTES:
                _, old = self._kept.popitem(last=False)
                self._bytes -= len(old)
        return drawn


def _read(path: Path, job_id: str) -> dict[str, FloatArray]:
    try:
        return read_overlay(path)
    except OSError:
        return {}
    except Fatal as exc:
        log.get().error(log.OVERLAY_DAMAGED, job_id=job_id, reason=ReasonCode.STORED_FILE_DAMAGED.name, path=str(path))
        raise DamagedOverlay from exc


def _along(instance: Instance) -> tuple[float, str]:
    """Where an image lies along the normal of its plane."""
    position, orientation = instance.image_position_mm, instance.image_orientation
    if position is None or orientation is None:
        return 0.0, instance.attributes.get("InstanceNumber", "").zfill(8)
    return float(np.dot(np.cross(orientation[:3], orientation[3:]), position)), ""


def _grown(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """``mask`` with its neighbours in rows and columns."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def _coloured(mask: npt.NDArray[np.bool_], colour: tuple[int, int, int]) -> Image.Image:
    pixels = np.zeros((*mask.shape, 4), dtype=np.uint8)
    pixels[mask] = (*colour, 255)
    return Image.fromarray(pixels, "RGBA")


def _square(picture: Image.Image, instance: Instance, how: Image.Resampling) -> Image.Image:
    """The picture with pixels that are as high as wide in millimetres."""
    rows_mm, columns_mm = instance.pixel_spacing_mm or (1.0, 1.0)
    if abs(rows_mm / columns_mm - 1) < _SQUARE:
        return picture
    if rows_mm > columns_mm:
        size = (picture.width, round(picture.height * rows_mm / columns_mm))
    else:
        size = (round(picture.width * columns_mm / rows_mm), picture.height)
    return picture.resize(size, how)


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
