"""The two chains that GTRNet's weights can ask for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.fields import Fields
from models.preprocessing.bias_field import BiasField, corrected
from models.preprocessing.planes import at_spacing
from models.preprocessing.profiles import Paper, PublishedCheckpoint, read_profile
from models.preprocessing.slice_image import CHANNEL_MEAN, CHANNEL_SD, standardised_image
from node.domain.imaging import FloatArray
from node.errors import BundleError

PAPER = {
    "profile": "paper",
    "window_level_hu": 50,
    "window_width_hu": 350,
    "spacing_mm": 1,
    "clip_hu": [-1024, 1024],
    "n4": {"shrink": 4, "levels": 4, "iterations": 10, "body_hu": -300},
}
PUBLISHED = {"profile": "published-checkpoint", "window_level_hu": 50, "window_width_hu": 350}


def fields(values: dict[str, Any]) -> Fields:
    """Parameters as a bundle has them."""
    return Fields(Path("metadata.json"), values, "celadon.parameters.")


def planes() -> FloatArray:
    """Three slices of a body in air, with bone and something brighter than any tissue."""
    rows, columns = np.mgrid[-1:1:128j, -1:1:96j]
    hu = np.where(np.hypot(rows, columns) < 0.8, 60.0 + 30.0 * np.sin(8 * columns), -1000.0)
    hu[60:64, 40:44] = 3000.0
    made: FloatArray = (hu + np.random.default_rng(0).normal(0.0, 8.0, (3, 128, 96))).astype(np.float32)
    return made


def test_each_name_is_one_chain() -> None:
    """The bundle's word decides, with its numbers."""
    assert read_profile(fields(PUBLISHED)) == PublishedCheckpoint(50.0, 350.0)
    assert read_profile(fields(PAPER)) == Paper(50.0, 350.0, 1.0, (-1024.0, 1024.0), BiasField(4, 4, 10, -300.0))


@pytest.mark.parametrize("values", [PUBLISHED, PAPER], ids=["published-checkpoint", "paper"])
def test_both_give_what_the_network_reads(values: dict[str, Any]) -> None:
    """(n, 3, 224, 224) float32, contiguous, each slice for itself, for as many slices as there are."""
    profile = read_profile(fields(values))
    images = profile.images(planes(), 1, (0.9, 0.8))
    assert (images.shape, images.dtype) == ((3, 3, 224, 224), np.float32)
    assert images.flags["C_CONTIGUOUS"]
    assert np.isfinite(images).all()
    assert not np.array_equal(images[0], images[1])
    assert profile.images(planes()[:2], 0, (0.9, 0.8)).shape == (2, 3, 224, 224)


def test_the_published_chain_does_not_look_at_the_spacing() -> None:
    """The published pictures carry none: a pixel is a pixel, and white is ImageNet's white."""
    profile = PublishedCheckpoint(50.0, 350.0)
    images = profile.images(planes(), 1, (0.9, 0.8))
    assert np.array_equal(images, profile.images(planes(), 1, (0.5, 0.5)))
    assert np.allclose(images.max(axis=(0, 2, 3)), (1.0 - CHANNEL_MEAN) / CHANNEL_SD)


def test_the_papers_chain_is_its_steps_in_order() -> None:
    """1 mm, clip to -1024...1024, N4, window, 224 x 224, z-score: the same as the steps one by one."""
    hu = np.clip(at_spacing(planes(), (0.9, 0.8), 1.0), -1024.0, 1024.0).astype(np.float32)
    assert hu.shape == (3, 115, 77)
    even = corrected(hu, BiasField(4, 4, 10, -300.0).estimate(hu[1]))
    window = [np.clip((plane + 125.0) / 350.0, 0.0, 1.0).astype(np.float32) for plane in even]
    expected = np.stack([standardised_image(plane, (224, 224)) for plane in window])
    assert np.allclose(read_profile(fields(PAPER)).images(planes(), 1, (0.9, 0.8)), expected, atol=1e-4)


def test_the_bias_field_is_that_of_the_key_slice() -> None:
    """One field for all slices, from the key slice: another key slice gives other pictures."""
    hu = planes()
    hu[2] += 200.0 * np.linspace(-1.0, 1.0, 96, dtype=np.float32)
    profile = read_profile(fields(PAPER))
    assert np.abs(profile.images(hu, 0, (0.9, 0.8))[1] - profile.images(hu, 2, (0.9, 0.8))[1]).max() > 0.1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"profile": "papre"}, "profile is 'papre', not one of published-checkpoint, paper"),
        ({"window_width_hu": 0}, "window_width_hu is 0"),
        ({"spacing_mm": -1}, "spacing_mm is -1"),
        ({"clip_hu": [1024, -1024]}, "clip_hu"),
        ({"n4": None}, "n4 is missing"),
        ({"n4": {"shrink": 4}}, "n4.levels is missing"),
    ],
)
def test_what_a_bundle_gets_wrong_is_named(change: dict[str, Any], named: str) -> None:
    """A chain that cannot be built names the file and the field."""
    with pytest.raises(BundleError, match=r"metadata\.json.*" + named):
        read_profile(fields(PAPER | change))
