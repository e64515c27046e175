"""Holm's correction of p values for their number (1979, "A simple sequentially rejective multiple test procedure").

``statsmodels.stats.multitest.multipletests`` gives the same numbers, and collects the garbage of the whole process at
each call: half a second in one that has loaded models, for a handful of numbers.
"""

from collections.abc import Sequence

import numpy as np


def holm(values: Sequence[float]) -> tuple[float, ...]:
    """The p values, each corrected for all of them, in the order given: (n,) to (n,), at most 1."""
    p = np.asarray(values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    # The k-th smallest of n counts n - k times, and none is less than one that was smaller.
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return tuple(corrected.tolist())
