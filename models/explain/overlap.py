"""How far an explanation lies on the lesion.

Source: GTRNet (doi 10.1038/s41746-025-02002-5), results: Dice of the binarised Grad-CAM with the region of interest.
"""

from typing import Final

import numpy as np

from node.domain.imaging import BoolArray, FloatArray

HALF: Final = 0.5
"""The share of the map's maximum from which a voxel counts as looked at."""


def dice(saliency: FloatArray, start_zyx: tuple[int, int, int], mask: BoolArray) -> float:
    """The Dice coefficient, in [0, 1], of a map binarised at half its maximum with the region.

    ``saliency`` [slice, row, column] is not negative and covers the part of ``mask`` (the whole volume) that begins at
    ``start_zyx``; outside it the map is zero. 0 for a map without evidence.
    """
    peak = saliency.max(initial=0.0)
    total = int(np.count_nonzero(mask))
    if peak <= 0 or total == 0:
        return 0.0
    seen = saliency >= HALF * peak
    under = mask[tuple(slice(start, start + size) for start, size in zip(start_zyx, saliency.shape, strict=True))]
    return 2.0 * int(np.count_nonzero(seen & under)) / (int(np.count_nonzero(seen)) + total)
