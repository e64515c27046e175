"""Augmentation as published."""

import numpy as np
import pytest
import torch

from models.training import augmentation
from models.training.augmentation import GTRNET, PORCELAIN, Change, applied, drawn, moved

STILL = Change(angle_deg=0.0, flips_rows=False, flips_columns=False, brightness=1.0, scale=1.0)


def changes(how: augmentation.Augmentation) -> list[Change]:
    """Four thousand draws."""
    return [drawn(how, 0, epoch, case) for epoch in range(40) for case in range(100)]


@pytest.mark.parametrize("how", [PORCELAIN, GTRNET])
def test_it_is_as_published(how: augmentation.Augmentation) -> None:
    """Rotation evenly within 15 degrees, each flip every second time, brightness within 10 %."""
    found = changes(how)
    angles = np.array([each.angle_deg for each in found])
    factors = np.array([each.brightness for each in found])
    assert np.abs(angles).max() <= 15.0
    assert angles.std() == pytest.approx(15.0 / np.sqrt(3.0), rel=0.05)
    assert np.abs(factors - 1.0).max() <= 0.1
    assert factors.std() == pytest.approx(0.1 / np.sqrt(3.0), rel=0.05)
    assert np.mean([each.flips_rows for each in found]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([each.flips_columns for each in found]) == pytest.approx(0.5, abs=0.03)


def test_gtrnet_alone_is_scaled() -> None:
    """Within 10 %; PORCELAIN's paper names no scaling."""
    assert {each.scale for each in changes(PORCELAIN)} == {1.0}
    scales = np.array([each.scale for each in changes(GTRNET)])
    assert np.abs(scales - 1.0).max() <= 0.1
    assert scales.std() > 0.05


def test_a_draw_follows_from_seed_epoch_and_case() -> None:
    """The same three the same change; another one of them another change."""
    first = drawn(GTRNET, 1, 2, 3)
    assert drawn(GTRNET, 1, 2, 3) == first
    assert len({first, drawn(GTRNET, 2, 2, 3), drawn(GTRNET, 1, 3, 3), drawn(GTRNET, 1, 2, 4)}) == 4


def test_nothing_changes_nothing() -> None:
    """The still change gives the image back."""
    image = torch.randn(1, 2, 8, 8)
    torch.testing.assert_close(applied(image, [STILL], "zeros"), image)


def test_flips_are_exact() -> None:
    """Rows and columns turned round, as torch does it."""
    image = torch.randn(2, 1, 8, 8)
    rows = Change(angle_deg=0.0, flips_rows=True, flips_columns=False, brightness=1.0, scale=1.0)
    columns = Change(angle_deg=0.0, flips_rows=False, flips_columns=True, brightness=1.0, scale=1.0)
    found = applied(image, [rows, columns], "zeros")
    torch.testing.assert_close(found[0], image[0].flip(1))
    torch.testing.assert_close(found[1], image[1].flip(2))


def test_brightness_multiplies() -> None:
    """What is 0 outside a lesion stays 0."""
    image = torch.randn(1, 1, 8, 8)
    image[..., :4] = 0.0
    bright = Change(angle_deg=0.0, flips_rows=False, flips_columns=False, brightness=1.1, scale=1.0)
    torch.testing.assert_close(applied(image, [bright], "zeros"), 1.1 * image)


@pytest.mark.parametrize("seed", range(5))
def test_a_place_moves_with_the_image(seed: int) -> None:
    """A bright spot lies where ``moved`` says."""
    change = drawn(GTRNET, seed, 0, 0)
    image = torch.zeros(1, 1, 101, 101)
    image[0, 0, 38:41, 58:61] = 1.0
    after = applied(image, [change], "border")[0, 0]
    weights = after / after.sum()
    axis = (torch.arange(101) + 0.5) / 101
    found = float((weights.sum(dim=1) * axis).sum()), float((weights.sum(dim=0) * axis).sum())
    assert moved((39.5 / 101, 59.5 / 101), change) == pytest.approx(found, abs=2e-3)


def test_a_place_stays_inside() -> None:
    """A corner that is turned out of the image is at its edge."""
    change = Change(angle_deg=15.0, flips_rows=False, flips_columns=False, brightness=1.0, scale=1.1)
    assert all(0.0 <= each <= 1.0 for each in moved((0.0, 1.0), change))
