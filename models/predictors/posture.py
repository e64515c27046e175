"""Posture: a case turned to the patient's own axes for the networks, and what they say turned back.

Networks have learnt bodies whose indices grow to the left, the back and the head. A series that is stored feet first,
prone or from the head down is flipped along those axes, so that the same patient gets the same answer.
"""

from dataclasses import replace

import numpy as np

from models.segmenters.orientation import Turn
from node.domain.imaging import Geometry
from node.domain.prediction import Case, Prediction
from node.errors import Refused

Flips = tuple[bool, bool, bool]
"""Of slices, rows and columns."""
_UPRIGHT: Flips = (False, False, False)


def flips_of(geometry: Geometry) -> Flips:
    """Along which axes a volume is stored against the patient's; none for slices that are not axial."""
    try:
        turn = Turn.of(geometry)
    except Refused:
        return _UPRIGHT
    return turn.is_flipped if turn.order == (0, 1, 2) else _UPRIGHT


def turned(case: Case, flips: Flips) -> Case:
    """The case flipped; the same voxels at the same places in the patient."""
    if flips == _UPRIGHT:
        return case
    steps = tuple(slice(None, None, -1 if one else 1) for one in flips)
    geometry = _flipped(case.volume.geometry, flips)
    uids = case.volume.instance_uids[::-1] if flips[0] else case.volume.instance_uids
    volume = replace(case.volume, hu=np.ascontiguousarray(case.volume.hu[steps]), geometry=geometry, instance_uids=uids)
    roi = replace(case.roi, mask=np.ascontiguousarray(case.roi.mask[steps]), geometry=geometry)
    return replace(case, volume=volume, roi=roi)


def turned_back(prediction: Prediction, shape_zyx: tuple[int, int, int], flips: Flips) -> Prediction:
    """What was said of the turned case, on the grid as it is stored."""
    if flips == _UPRIGHT:
        return prediction
    explanation = prediction.explanation
    steps = tuple(slice(None, None, -1 if one else 1) for one in flips)
    parts = zip(flips, shape_zyx, explanation.start_zyx, explanation.saliency.shape, strict=True)
    z, y, x = (size - first - length if flip else first for flip, size, first, length in parts)
    keys = tuple(shape_zyx[0] - 1 - key for key in explanation.key_slices) if flips[0] else explanation.key_slices
    saliency = np.ascontiguousarray(explanation.saliency[steps])
    return replace(
        prediction, explanation=replace(explanation, saliency=saliency, start_zyx=(z, y, x), key_slices=keys)
    )


def _flipped(geometry: Geometry, flips: Flips) -> Geometry:
    along = flips[::-1]
    last = np.array([[size - 1 if one else 0 for one, size in zip(along, geometry.shape_zyx[::-1], strict=True)]])
    x, y, z = (float(one) for one in geometry.to_lps_mm(last.astype(np.float64))[0])
    right, back, head = (
        (sign * a, sign * b, sign * c)
        for sign, (a, b, c) in zip((-1.0 if one else 1.0 for one in along), geometry.direction, strict=True)
    )
    return replace(geometry, origin_lps_mm=(x, y, z), direction=(right, back, head))
