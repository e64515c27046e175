"""The sliding window: every voxel once, blended, in strips."""

import numpy as np
import numpy.typing as npt
import pytest

from models.segmenters.windows import starts, sweep

Image = npt.NDArray[np.float32]


def itself(window: Image) -> Image:
    """Two classes whose probabilities follow from the voxel alone."""
    return np.stack([window, 1.0 - window])


@pytest.mark.parametrize("shape", [(8, 8, 8), (20, 9, 31), (3, 40, 5), (33, 8, 8)])
def test_what_depends_on_a_voxel_alone_comes_back_unchanged(shape: tuple[int, int, int]) -> None:
    """Larger or smaller than the window, strips in order and without gaps."""
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    strips = list(sweep(lambda first, stop: image[first:stop], shape, (8, 8, 8), itself))
    assert [strip.first for strip in strips] == np.cumsum(
        [0, *(s.probabilities.shape[1] for s in strips[:-1])]
    ).tolist()
    whole = np.concatenate([strip.probabilities for strip in strips], axis=1)
    assert np.allclose(whole[0], image, atol=1e-6)
    assert np.allclose(whole.sum(axis=0), 1.0, atol=1e-6)


def test_only_what_the_window_needs_is_read() -> None:
    """Never more planes at once than the window is deep, however long the series."""
    image, asked = np.zeros((100, 8, 8), np.float32), []

    def read(first: int, stop: int) -> Image:
        asked.append(stop - first)
        return image[first:stop]

    for _ in sweep(read, image.shape, (8, 8, 8), itself):  # type: ignore[arg-type]  # a triple
        pass
    assert max(asked) == 8


def test_windows_cover_an_axis_and_end_with_it() -> None:
    """One window for what is shorter than one."""
    places = starts(100, 32)
    assert places[0] == 0
    assert places[-1] + 32 == 100
    assert max(np.diff(places)) <= 24
    assert starts(20, 32) == (0,)


def test_an_image_without_a_voxel_is_an_error() -> None:
    """Not an empty answer that looks like one."""
    with pytest.raises(ValueError, match="without a voxel"):
        list(sweep(lambda first, stop: np.zeros((stop - first, 0, 4), np.float32), (4, 0, 4), (4, 4, 4), itself))
