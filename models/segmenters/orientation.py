"""The patient's own axes: a volume turned, without copying, so that indices grow to the head, the back and the left.

Networks have learnt bodies that lie so. Feet-first, prone and decubitus series are stored otherwise.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from node.domain.imaging import Geometry
from node.domain.reasons import ReasonCode
from node.errors import Refused

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """How the axes of a volume [slice, row, column] become [to the head, to the back, to the left]."""

    order: tuple[int, int, int]
    """Which axis of the volume each of the patient's is."""
    is_flipped: tuple[bool, bool, bool]
    spacing_zyx_mm: tuple[float, float, float]
    """Of the turned volume."""

    @classmethod
    def of(cls, geometry: Geometry) -> Self:
        """The turn that brings each axis to the patient's axis that it is nearest to.

        Raises Refused(ROI_GEOMETRY) when two are nearest to the same.
        """
        steps = np.asarray(geometry.direction, dtype=np.float64)[::-1, ::-1]  # rows: z, y, x of the array; in z, y, x
        nearest = np.abs(steps).argmax(axis=1).tolist()
        if sorted(nearest) != [0, 1, 2]:
            raise Refused(ReasonCode.ROI_GEOMETRY, "the series lies askew in the patient's axes")
        order = tuple(nearest.index(axis) for axis in range(3))
        spacing = geometry.spacing_xyz_mm[::-1]
        return cls(
            order=(order[0], order[1], order[2]),
            is_flipped=(
                bool(steps[order[0], 0] < 0),
                bool(steps[order[1], 1] < 0),
                bool(steps[order[2], 2] < 0),
            ),
            spacing_zyx_mm=(spacing[order[0]], spacing[order[1]], spacing[order[2]]),
        )

    def to_patient(self, array: Array) -> Array:
        """``array`` [slice, row, column] in the patient's axes: a view of it."""
        return array.transpose(self.order)[self._flips]

    @property
    def _flips(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flipped else 1) for flipped in self.is_flipped)
