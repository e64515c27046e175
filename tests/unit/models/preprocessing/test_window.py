"""The HU window of PORCELAIN."""

import numpy as np

from models.preprocessing.window import clip


def test_values_outside_the_window_are_clipped_to_its_ends() -> None:
    """Below 40 becomes 40, above 350 becomes 350, between nothing changes; the input stays as it was."""
    hu = np.array([-1000, 40, 41.5, 350, 3000], dtype=np.float32)
    assert clip(hu, (40.0, 350.0)).tolist() == [40, 40, 41.5, 350, 350]
    assert clip(hu, (40.0, 350.0)).dtype == np.float32
    assert hu[0] == -1000
