"""A CT slice as the picture that an ImageNet network reads: the chain of GTRNet's published checkpoint.

Source: GTRNet, methods (abdominal window WL 50 / WW 350, 224 x 224); the published slices are windowed 8-bit pictures,
and the ImageNet weights that training began from fix the normalisation.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from node.domain.imaging import FloatArray, HuArray

ImageArray = npt.NDArray[np.uint8]

CHANNEL_MEAN: Final = np.array((0.485, 0.456, 0.406), dtype=np.float32)
CHANNEL_SD: Final = np.array((0.229, 0.224, 0.225), dtype=np.float32)
_WHITE: Final = 255.0


def windowed(hu: HuArray, level: float, width: float) -> ImageArray:
    """[row, column] HU as 8-bit grey: black at ``level - width/2``, white at ``level + width/2``."""
    fraction = (hu - np.float32(level - width / 2)) / np.float32(width)
    return np.rint(np.clip(fraction, 0.0, 1.0) * _WHITE).astype(np.uint8)


def network_image(grey: ImageArray, size: tuple[int, int]) -> FloatArray:
    """8-bit grey [row, column] as [3, rows, columns] of ``size``, resized bilinearly and normalised for ImageNet."""
    rows, columns = size
    resized = Image.fromarray(grey).resize((columns, rows), Image.Resampling.BILINEAR)
    unit = np.asarray(resized, dtype=np.float32) / np.float32(_WHITE)
    image: FloatArray = (unit[None] - CHANNEL_MEAN[:, None, None]) / CHANNEL_SD[:, None, None]
    return image
