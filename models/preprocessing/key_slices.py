"""The key slices of GTRNet: "the slices immediately above and below the key slice ... along with the key slice"."""

from node.domain.imaging import Roi

NEIGHBOURS = 1


def key_slices(roi: Roi) -> tuple[int, ...]:
    """The slice where ``roi`` is largest and its two native neighbours, in order, as far as they exist."""
    middle = roi.largest_slice
    last = roi.mask.shape[0] - 1
    return tuple(range(max(0, middle - NEIGHBOURS), min(last, middle + NEIGHBOURS) + 1))
