"""The HU window: what lies outside is clipped to its ends."""

import numpy as np

from node.domain.imaging import HuArray


def clip(hu: HuArray, window: tuple[float, float]) -> HuArray:
    """``hu`` clipped to [low, high] HU; PORCELAIN uses [40, 350] (methods, "CECT images acquisition")."""
    low, high = window
    return np.clip(hu, np.float32(low), np.float32(high))
