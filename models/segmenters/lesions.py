"""From a mask of everything that looks like a lesion to the lesions: connected pieces, the plausible ones, in order."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from node.domain.imaging import BoolArray

_EVERY_NEIGHBOUR: Final = np.ones((3, 3, 3), dtype=np.bool_)
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """One connected piece of a mask."""

    box: Box
    """Where it lies in the mask."""
    mask: BoolArray
    """[slice, row, column] within the box."""
    voxels: int

    def on(self, shape: tuple[int, int, int]) -> BoolArray:
        """The piece alone, as a mask of ``shape``."""
        whole = np.zeros(shape, dtype=np.bool_)
        whole[self.box] = self.mask
        return whole


def pieces(mask: BoolArray, fewest_voxels: int = 1) -> tuple[Lesion, ...]:
    """The connected pieces (by faces, edges and corners) of at least ``fewest_voxels``, largest first."""
    bounds = box_of(mask)
    if bounds is None:
        return ()
    numbered, _ = ndimage.label(mask[bounds], structure=_EVERY_NEIGHBOUR)
    found = []
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        piece: BoolArray = numbered[box] == number
        moved = tuple(slice(a.start + b.start, a.start + b.stop) for a, b in zip(bounds, box, strict=True))
        found.append(Lesion((moved[0], moved[1], moved[2]), piece, int(np.count_nonzero(piece))))
    kept = [piece for piece in found if piece.voxels >= fewest_voxels]
    # Of two of a size the lower one, so that the order is the same on every run.
    kept.sort(key=lambda piece: (-piece.voxels, *(side.start for side in piece.box)))
    return tuple(kept)


def near(lesions: tuple[Lesion, ...], organ: BoolArray, reach_zyx: tuple[int, int, int]) -> tuple[Lesion, ...]:
    """Those of ``lesions`` with a voxel no farther than ``reach_zyx`` voxels from ``organ``, along each axis.

    A tumour of an organ lies in it or beside it; what looks like one elsewhere is something else.
    """
    return tuple(lesion for lesion in lesions if _touches(lesion, organ, reach_zyx))


def box_of(mask: BoolArray) -> Box | None:
    """The smallest box around the set voxels; None when there are none."""
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        at = np.flatnonzero(mask.any(axis=others))
        if not len(at):
            return None
        sides.append(slice(int(at[0]), int(at[-1]) + 1))
    return sides[0], sides[1], sides[2]


def touches_edge(lesion: Lesion, shape: tuple[int, int, int]) -> bool:
    """Whether the piece reaches a face of a grid of ``shape``: more of it may lie outside."""
    return any(side.start == 0 or side.stop == size for side, size in zip(lesion.box, shape, strict=True))


def _touches(lesion: Lesion, organ: npt.NDArray[np.bool_], reach_zyx: tuple[int, int, int]) -> bool:
    starts = [max(0, side.start - reach) for side, reach in zip(lesion.box, reach_zyx, strict=True)]
    stops = [side.stop + reach for side, reach in zip(lesion.box, reach_zyx, strict=True)]
    around = organ[starts[0] : stops[0], starts[1] : stops[1], starts[2] : stops[2]]
    if not around.any():
        return False
    window = tuple(2 * reach + 1 for reach in reach_zyx)
    widened = ndimage.maximum_filter(around, size=window, mode="constant", cval=False)
    inside = tuple(slice(side.start - start, side.stop - start) for side, start in zip(lesion.box, starts, strict=True))
    return bool((widened[inside] & lesion.mask).any())
