"""From a mask to lesions: pieces, their order, and which are plausible."""

import numpy as np

from models.segmenters.lesions import box_of, near, pieces, touches_edge


def mask_of(*boxes: tuple[slice, slice, slice], shape: tuple[int, int, int] = (20, 20, 20)) -> np.ndarray:
    """A mask with these boxes set."""
    mask = np.zeros(shape, dtype=np.bool_)
    for box in boxes:
        mask[box] = True
    return mask


SMALL = (slice(2, 4), slice(2, 4), slice(2, 4))
LARGE = (slice(10, 15), slice(10, 14), slice(10, 14))


def test_pieces_come_largest_first() -> None:
    """Each with its box and its voxels; together they are the mask."""
    mask = mask_of(SMALL, LARGE)
    first, second = pieces(mask)
    assert (first.voxels, second.voxels) == (80, 8)
    assert first.box == LARGE
    assert np.array_equal(first.on(mask.shape) | second.on(mask.shape), mask)


def test_of_two_of_a_size_the_lower_one_comes_first() -> None:
    """The same order on every run."""
    lower, upper = (slice(1, 3),) * 3, (slice(6, 8),) * 3
    assert [piece.box for piece in pieces(mask_of(upper, lower))] == [lower, upper]


def test_pieces_that_touch_at_a_corner_are_one() -> None:
    """A lesion is not split by the grid."""
    assert len(pieces(mask_of((slice(0, 2),) * 3, (slice(2, 4),) * 3))) == 1


def test_specks_are_left_out() -> None:
    """Below the fewest voxels a piece is noise; an empty mask has none."""
    assert [piece.voxels for piece in pieces(mask_of(SMALL, LARGE), 9)] == [80]
    assert pieces(mask_of()) == ()


def test_a_lesion_lies_in_its_organ_or_beside_it() -> None:
    """What is farther away than the reach is something else."""
    organ = mask_of((slice(10, 15), slice(4, 8), slice(10, 14)))
    found = pieces(mask_of(SMALL, LARGE))
    assert near(found, organ, (1, 3, 1)) == (found[0],)
    assert near(found, organ, (1, 2, 1)) == ()
    assert near(found, mask_of(), (30, 30, 30)) == ()


def test_the_edge_is_touched_on_every_face() -> None:
    """More of such a lesion may lie outside."""
    assert not touches_edge(pieces(mask_of(LARGE))[0], (20, 20, 20))
    for axis in range(3):
        for side in (slice(0, 3), slice(17, 20)):
            box = [slice(5, 8)] * 3
            box[axis] = side
            assert touches_edge(pieces(mask_of((box[0], box[1], box[2])))[0], (20, 20, 20))


def test_a_box_is_the_smallest_one() -> None:
    """None around nothing."""
    assert box_of(mask_of(SMALL, LARGE)) == (slice(2, 15), slice(2, 14), slice(2, 14))
    assert box_of(mask_of()) is None
