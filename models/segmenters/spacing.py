"""Whether a stack of drawn slices is whole: with holes between them a lesion would be measured and shown wrongly."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from node.domain.reasons import ReasonCode
from node.errors import Refused

STACK: Final = 3
"""From this many drawn slices on, a rhythm can be told from two separate parts."""


def refuse_gaps(slices: Iterable[int]) -> None:
    """Refuse (ROI_GEOMETRY) three or more drawn slices of which no two are neighbours: drawn on another spacing."""
    ordered = sorted(set(slices))
    gaps = [after - before for before, after in pairwise(ordered)]
    if len(ordered) >= STACK and min(gaps) > 1:
        raise Refused(
            ReasonCode.ROI_GEOMETRY, f"the region is drawn on every {min(gaps)} slices: it was made for another spacing"
        )
