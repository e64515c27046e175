"""A CT slice as the picture that GTRNet reads: window, size, and the normalisation of either chain.

Source: GTRNet (doi 10.1038/s41746-025-02002-5), methods, "CT imaging protocol and image preprocessing": abdominal
window WL 50 / WW 350, 224 x 224, z-score. The published slices are windowed 8-bit pictures, and the ImageNet weights
that training began from fix the normalisation of the published checkpoint.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.preprocessing.planes import resized
from node.domain.imaging import FloatArray, HuArray
from node.domain.reasons import ReasonCode
from node.errors import Refused

ImageArray = npt.NDArray[np.uint8]

CHANNEL_MEAN: Final = np.array((0.485, 0.456, 0.406), dtype=np.float32)
CHANNEL_SD: Final = np.array((0.229, 0.224, 0.225), dtype=np.float32)
_CHANNELS: Final = 3
_WHITE: Final = 255.0


def grey(hu: HuArray, level: float, width: float) -> FloatArray:
    """HU as grey in [0, 1]: black at ``level - width/2``, white at ``level + width/2``."""
    fraction = (hu - np.float32(level - width / 2)) / np.float32(width)
    clipped: FloatArray = np.clip(fraction, np.float32(0), np.float32(1))
    return clipped


def windowed(hu: HuArray, level: float, width: float) -> ImageArray:
    """[row, column] HU as 8-bit grey."""
    picture: ImageArray = np.rint(grey(hu, level, width) * np.float32(_WHITE)).astype(np.uint8)
    return picture


def network_image(picture: ImageArray, size: tuple[int, int]) -> FloatArray:
    """8-bit grey [row, column] as [3, rows, columns] of ``size``, resized bilinearly and normalised for ImageNet."""
    rows, columns = size
    small = Image.fromarray(picture).resize((columns, rows), Image.Resampling.BILINEAR)
    unit = np.asarray(small, dtype=np.float32) / np.float32(_WHITE)
    image: FloatArray = (unit[None] - CHANNEL_MEAN[:, None, None]) / CHANNEL_SD[:, None, None]
    return image


def standardised_image(picture: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Grey [row, column] as [3, rows, columns] of ``size``, resized bilinearly, its mean 0 and its deviation 1.

    Mean and deviation are those of the resized slice itself. Raises Refused(INPUT_CONTRACT) when it has one value only.
    """
    small = resized(picture, size).astype(np.float64)
    deviation = small.std()
    if deviation == 0.0:
        raise Refused(ReasonCode.INPUT_CONTRACT, "all pixels of a slice are equal after windowing")
    standard = ((small - small.mean()) / deviation).astype(np.float32)
    return np.repeat(standard[None], _CHANNELS, axis=0)
