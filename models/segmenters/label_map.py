"""From a label map that some program made to lesions: largest first, with what was measured beside them."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.segmenters.attenuation import means_hu
from models.segmenters.lesions import near, pieces, touches_edge
from node.domain.coding import Anatomy
from node.domain.imaging import CUBIC_MILLIMETRES_PER_MILLILITRE, Roi, Volume, each_with_others
from node.domain.parts import Part, lesion_part, organ_part
from node.domain.reasons import ReasonCode
from node.errors import Refused

LEAST_ML: Final = 0.1
"""Smaller pieces are specks."""
REACH_MM: Final = 10.0
"""How far from its organ, where the program marks that too, a lesion may lie."""

Labels = npt.NDArray[np.uint8]


def rois_of(
    labels: Labels,
    volume: Volume,
    meaning: Mapping[int, Part],
    organs: Sequence[Anatomy],
    source: str,
    made_by: str,
) -> tuple[Roi, ...]:
    """The lesions of ``organs`` in ``labels``, which lie on the grid of ``volume``, largest first; empty without any.

    Raises Refused(ROI_UNCERTAIN) when the largest reaches the edge of the images: it may go on outside.
    """
    shape = volume.geometry.shape_zyx
    fewest = max(1, round(LEAST_ML * CUBIC_MILLIMETRES_PER_MILLILITRE / volume.geometry.voxel_volume_mm3))
    spacing = volume.geometry.spacing_xyz_mm[::-1]
    reach = (round(REACH_MM / spacing[0]), round(REACH_MM / spacing[1]), round(REACH_MM / spacing[2]))
    found = []
    for organ in organs:
        lesions = pieces(_mask(labels, meaning, lesion_part(organ)), fewest)
        itself = _mask(labels, meaning, organ_part(organ))
        plausible = near(lesions, itself, reach) if itself.any() else lesions
        found += [(organ, lesion) for lesion in plausible]
    found.sort(key=lambda each: -each[1].voxels)
    if not found:
        return ()
    if touches_edge(found[0][1], shape):
        raise Refused(ReasonCode.ROI_UNCERTAIN, f"{source}: the lesion reaches the edge of the images")
    means = means_hu(volume.hu, labels, {number: part for number, part in meaning.items() if part.lesion_of is None})
    rois = [
        Roi(
            mask=lesion.on(shape),
            geometry=volume.geometry,
            anatomy=organ,
            label=f"Lesion {number} in the {organ.key}",
            source=source,
            made_by=made_by,
            means_hu=means,
        )
        for number, (organ, lesion) in enumerate(found, start=1)
    ]
    return each_with_others(rois)


def _mask(labels: Labels, meaning: Mapping[int, Part], part: Part) -> npt.NDArray[np.bool_]:
    return np.isin(labels, [number for number, named in meaning.items() if named is part])
