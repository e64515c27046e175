"""What a scanner does to a picture: the point-spread function of its kernel and its noise.

Noise is drawn from a bank of tiles with the ramp-like spectrum of filtered back-projection; each slice of each
phantom is the sum of two tiles at random offsets, so that it depends on the pixel's place alone and a crop has the
noise of the whole. Neighbouring slices are independent: true of slices that do not overlap. Noise is stationary,
there are no streaks.
"""

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from models.phantoms.lattice import Plane
from models.phantoms.scanner import MATRIX, Scanner, Sharpness

_BLUR_MM: Final = {Sharpness.SMOOTH: 0.66, Sharpness.STANDARD: 0.52, Sharpness.SHARP: 0.4}
"""Standard deviation of the point-spread function in the plane."""
_OVERSHOOT: Final = {Sharpness.SMOOTH: 0.0, Sharpness.STANDARD: 0.0, Sharpness.SHARP: 0.35}
"""What a sharp kernel takes off around an edge."""
_NOISE_FREQUENCY: Final = {Sharpness.SMOOTH: 0.10, Sharpness.STANDARD: 0.15, Sharpness.SHARP: 0.23}
"""Cycles a pixel at which the noise is strongest."""
_WIDE: Final = 2.0
_REACH: Final = 3.0
_TILES: Final = 12
_BANK_SEED: Final = 20260


def margin_px(scanner: Scanner) -> int:
    """How many pixels around a crop must be rendered for its edge to be that of the whole."""
    return max(len(taps) // 2 for taps in _taps(scanner))


def blurred(plane: Plane, scanner: Scanner) -> Plane:
    """The plane through the kernel of the scanner."""
    fine, wide = _taps(scanner)
    sharp = _convolved(plane, fine)
    share = np.float32(_OVERSHOOT[scanner.kernel.sharpness])
    if not share:
        return sharp
    result: Plane = (1 + share) * sharp - share * _convolved(plane, wide)
    return result


def noise(scanner: Scanner, rng: np.random.Generator, rows: slice, columns: slice) -> Plane:
    """The noise of one slice in a window of the 512 x 512 matrix, in HU; ``rng`` belongs to the slice."""
    bank = _bank(scanner.kernel.sharpness)
    first, second = rng.permutation(_TILES)[:2]
    offsets = rng.integers(0, MATRIX, (2, 2))
    total = _rolled(bank[first], offsets[0], rows, columns) + _rolled(bank[second], offsets[1], rows, columns)
    scaled: Plane = total * np.float32(scanner.noise_hu / 2.0**0.5)
    return scaled


def _rolled(tile: Plane, offset: npt.NDArray[np.int64], rows: slice, columns: slice) -> Plane:
    at_rows = (np.arange(rows.start, rows.stop) + int(offset[0])) % MATRIX
    at_columns = (np.arange(columns.start, columns.stop) + int(offset[1])) % MATRIX
    window: Plane = tile[at_rows[:, None], at_columns]
    return window


@lru_cache(maxsize=len(Sharpness))
def _bank(sharpness: Sharpness) -> npt.NDArray[np.float32]:
    """Tiles [tile, row, column] of unit standard deviation, periodic."""
    rng = np.random.Generator(np.random.PCG64(_BANK_SEED))
    white = rng.standard_normal((_TILES, MATRIX, MATRIX)).astype(np.float32)
    along = np.fft.fftfreq(MATRIX)
    square = along[:, None] ** 2 + along[None, : MATRIX // 2 + 1] ** 2
    peak = _NOISE_FREQUENCY[sharpness]
    gain = np.sqrt(square) * np.exp(-square / (2.0 * peak**2))
    tiles = np.fft.irfft2(np.fft.rfft2(white, axes=(1, 2)) * gain, s=(MATRIX, MATRIX), axes=(1, 2))
    tiles /= tiles.std(axis=(1, 2), keepdims=True)
    bank: npt.NDArray[np.float32] = tiles.astype(np.float32)
    bank.setflags(write=False)
    return bank


def _taps(scanner: Scanner) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    sigma = _BLUR_MM[scanner.kernel.sharpness] / scanner.pixel_spacing_mm
    fine = _gaussian(sigma)
    return fine, _gaussian(sigma * _WIDE) if _OVERSHOOT[scanner.kernel.sharpness] else fine


def _gaussian(sigma_px: float) -> npt.NDArray[np.float32]:
    reach = max(1, int(_REACH * sigma_px + 0.5))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    normalised: npt.NDArray[np.float32] = (taps / taps.sum()).astype(np.float32)
    return normalised


def _convolved(plane: Plane, taps: npt.NDArray[np.float32]) -> Plane:
    """Both axes in turn, edges repeated; plain sums, so every pixel is the same in every crop."""
    reach = len(taps) // 2
    for axis in (0, 1):
        widths = [(0, 0), (0, 0)]
        widths[axis] = (reach, reach)
        padded = np.pad(plane, widths, mode="edge")
        count = plane.shape[axis]
        total = np.zeros_like(plane)
        for k, tap in enumerate(taps):
            total += tap * (padded[k : k + count] if axis == 0 else padded[:, k : k + count])
        plane = total
    return plane
