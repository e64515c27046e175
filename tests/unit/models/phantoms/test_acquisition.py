"""The scanner's picture: blurred by its kernel without loss, and noisy as planned."""

from dataclasses import replace

import numpy as np
import pytest

from models.phantoms.acquisition import blurred, margin_px, noise
from models.phantoms.lattice import Plane
from models.phantoms.scanner import MATRIX, PROFILES, Kernel, Scanner, Sharpness, draw

WHOLE = slice(0, MATRIX)


def scanner(sharpness: Sharpness = Sharpness.STANDARD, noise_hu: float = 10.0) -> Scanner:
    """One with the kernel and noise asked for."""
    drawn = draw(np.random.default_rng(1), PROFILES[1], 400.0)
    return replace(drawn, kernel=Kernel("K", sharpness), noise_hu=noise_hu)


def grain(seed: int = 1, sharpness: Sharpness = Sharpness.STANDARD, noise_hu: float = 10.0) -> Plane:
    """The noise of a slice."""
    return noise(scanner(sharpness, noise_hu), np.random.default_rng(seed), WHOLE, WHOLE)


def edge(sharpness: Sharpness) -> Plane:
    """A step of 100 HU through a kernel, across."""
    step = np.zeros((40, 40), np.float32)
    step[:, 20:] = 100.0
    return blurred(step, scanner(sharpness))[20]


@pytest.mark.parametrize("sharpness", Sharpness)
@pytest.mark.parametrize("noise_hu", [6.0, 18.0])
def test_noise_is_as_strong_as_planned(sharpness: Sharpness, noise_hu: float) -> None:
    """Standard deviation within 5 %, mean zero, in each kernel."""
    made = grain(3, sharpness, noise_hu)
    assert made.std() == pytest.approx(noise_hu, rel=0.05)
    assert made.mean() == pytest.approx(0.0, abs=0.02 * noise_hu)


def test_a_sharper_kernel_has_finer_grain() -> None:
    """Neighbouring pixels are less alike."""
    alike = [np.corrcoef(one[:, :-1].ravel(), one[:, 1:].ravel())[0, 1] for one in (grain(2, k) for k in Sharpness)]
    assert alike == sorted(alike, reverse=True)
    assert alike[0] - alike[2] > 0.2


def test_noise_belongs_to_its_slice() -> None:
    """The same stream the same noise; two slices have nothing in common."""
    assert np.array_equal(grain(1), grain(1))
    assert abs(np.corrcoef(grain(1).ravel(), grain(2).ravel())[0, 1]) < 0.05


def test_the_noise_of_a_window_is_that_of_the_whole() -> None:
    """Each pixel has its own."""
    rows, columns = slice(100, 180), slice(430, 512)
    part = noise(scanner(), np.random.default_rng(1), rows, columns)
    assert np.array_equal(part, grain(1)[rows, columns])


@pytest.mark.parametrize("sharpness", Sharpness)
def test_a_kernel_keeps_the_mean(sharpness: Sharpness) -> None:
    """An even plane stays as it is, a spot only spreads."""
    seen = scanner(sharpness)
    even = np.full((30, 30), 70.0, np.float32)
    spot = np.zeros((41, 41), np.float32)
    spot[20, 20] = 1000.0
    spread = blurred(spot, seen)
    assert blurred(even, seen) == pytest.approx(even, abs=1e-3)
    assert float(spread.sum()) == pytest.approx(1000.0, rel=1e-4)
    assert spread[20, 20] < 900.0


def test_a_sharp_kernel_overshoots_and_the_others_do_not() -> None:
    """As radiologists know from lung kernels."""
    assert edge(Sharpness.SHARP).max() > 102.0
    assert all(edge(one).max() <= 100.001 for one in (Sharpness.SMOOTH, Sharpness.STANDARD))


def test_a_sharper_kernel_has_steeper_edges() -> None:
    """From pixel to pixel."""
    steepest = [np.diff(edge(one)).max() for one in Sharpness]
    assert steepest == sorted(steepest)
    assert steepest[0] < steepest[2] - 5.0


@pytest.mark.parametrize("sharpness", Sharpness)
def test_the_margin_is_as_wide_as_the_kernel(sharpness: Sharpness) -> None:
    """A part with its margin, blurred, is the whole, blurred; with less it is not."""
    seen = scanner(sharpness)
    plane = np.random.default_rng(1).normal(0.0, 100.0, (60, 60)).astype(np.float32)
    whole, margin = blurred(plane, seen), margin_px(seen)

    def part(around: int) -> Plane:
        cut = blurred(plane[20 - around : 40 + around, 20 - around : 40 + around], seen)
        return cut[around : around + 20, around : around + 20]

    assert np.array_equal(part(margin), whole[20:40, 20:40])
    assert not np.array_equal(part(margin - 1), whole[20:40, 20:40])
