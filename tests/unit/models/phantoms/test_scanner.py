"""Scanners: the ranges of GTRNet's Table 4, and noise that follows from thickness, kernel and current."""

from collections import defaultdict

import numpy as np
import pytest

from models.phantoms.scanner import PROFILES, Profile, Scanner, Sharpness, draw, noise_of

TOSHIBA, PHILIPS, INGENUITY = PROFILES[:3]


def many(profile: Profile, count: int = 400) -> list[Scanner]:
    """Studies of one centre."""
    rng = np.random.default_rng(8)
    return [draw(rng, profile, 400.0) for _ in range(count)]


@pytest.mark.parametrize(
    ("profile", "maker", "thickness_mm", "delay_s"),
    [
        (TOSHIBA, "TOSHIBA", (1.0, 5.0), (45.0, 60.0)),
        (PHILIPS, "Philips", (3.0, 3.0), (69.0, 71.0)),
        (INGENUITY, "Philips", (1.0, 2.0), (65.0, 70.0)),
    ],
)
def test_the_three_centres_are_those_of_table_4(
    profile: Profile, maker: str, thickness_mm: tuple[float, float], delay_s: tuple[float, float]
) -> None:
    """Maker, thickness, delay, and 120 kV."""
    studies = many(profile)
    drawn = {one.thickness_mm for one in studies}
    assert (min(drawn), max(drawn)) == thickness_mm
    assert {one.manufacturer for one in studies} == {maker}
    assert {one.kilovolts for one in studies} == {120}
    assert profile.portal_delay_s is not None
    assert delay_s[0] <= profile.portal_delay_s[0] < profile.portal_delay_s[1] <= delay_s[1]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda one: one.model)
def test_a_study_is_one_that_its_scanner_makes(profile: Profile) -> None:
    """Kernel, thickness and voltage of the profile; slices abut or overlap, never leave gaps, and thin ones abut."""
    for one in many(profile, 100):
        assert one.kernel in profile.kernels
        assert one.thickness_mm in profile.thicknesses_mm
        assert one.kilovolts in profile.kilovolts
        assert 0.79 * one.thickness_mm < one.slice_spacing_mm <= one.thickness_mm
        assert one.thickness_mm > 1.0 or one.slice_spacing_mm == one.thickness_mm
        assert one.pixel_spacing_mm == pytest.approx(400.0 / 512.0, abs=1e-4)
        assert 170 <= one.tube_current_ma <= 210


def test_some_studies_overlap() -> None:
    """About one in five."""
    share = np.mean([one.slice_spacing_mm < one.thickness_mm for one in many(PHILIPS)])
    assert 0.12 < share < 0.28


def test_noise_grows_with_thinner_slices_and_sharper_kernels() -> None:
    """In the mean of many studies."""
    by_thickness, by_kernel = defaultdict(list), defaultdict(list)
    for one in many(TOSHIBA) + many(INGENUITY):
        if one.kernel.sharpness is Sharpness.STANDARD:
            by_thickness[one.thickness_mm].append(one.noise_hu)
        if one.thickness_mm == 1.0:
            by_kernel[one.kernel.sharpness].append(one.noise_hu)
    thinning = [float(np.mean(by_thickness[thickness])) for thickness in (5.0, 3.0, 2.0, 1.0)]
    sharper = [float(np.mean(by_kernel[sharpness])) for sharpness in Sharpness]
    assert thinning == sorted(thinning)
    assert sharper == sorted(sharper)
    assert thinning[-1] / thinning[0] == pytest.approx(noise_of(1.0) / noise_of(5.0), rel=0.06)


def test_noise_falls_with_the_square_root_of_the_current() -> None:
    """Two studies alike but for the current: as photons are counted."""
    noise, current = np.array([(one.noise_hu, one.tube_current_ma) for one in many(PHILIPS, 4000)]).T
    slope = np.polyfit(np.log(current), np.log(noise), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.15)


def test_noise_at_a_thickness_is_relative_to_3_mm() -> None:
    """Thinner is noisier, by less than the square root."""
    assert noise_of(3.0) == 1.0
    assert 1.0 < noise_of(1.0) < 3.0**0.5
