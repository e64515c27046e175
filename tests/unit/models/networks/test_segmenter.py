"""The segmentation networks: shapes, and that folding loses nothing."""

import pytest
import torch

from models.networks.segmenter import DIVISOR, CoarseToFine, UNet, _folded, _unfolded

SMALL = (4, 6, 8, 10)


def test_a_window_becomes_logits_of_every_class() -> None:
    """As large as the window, whose sides are any multiples of the divisor."""
    image = torch.zeros(2, 1, DIVISOR, 2 * DIVISOR, DIVISOR)
    logits, pooled = UNet(5, SMALL).with_features(image)
    assert logits.shape == (2, 5, *image.shape[2:])
    assert pooled.shape == (2, SMALL[-1])


def test_a_window_of_another_size_is_an_error() -> None:
    """It is never cut or filled up in silence."""
    with pytest.raises(RuntimeError):
        UNet(3, SMALL)(torch.zeros(1, 1, DIVISOR + 1, DIVISOR, DIVISOR))


def test_folding_is_undone_exactly() -> None:
    """Each voxel comes back to its own place."""
    maps = torch.arange(2 * 3 * 4 * 6 * 8, dtype=torch.float32).reshape(2, 3, 4, 6, 8)
    folded = _folded(maps)
    assert folded.shape == (2, 24, 2, 3, 4)
    assert torch.equal(_unfolded(folded), maps)


def test_examples_are_windows_that_the_network_takes() -> None:
    """Finite, within -1 and 1, the same for the same seed."""
    network = UNet(2, SMALL)
    (first,), (second,) = (network.examples(torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert float(first.abs().max()) <= 1.0
    assert torch.isfinite(network(first)).all()


def test_statistics_of_familiar_images_travel_with_the_weights() -> None:
    """One file has all that was learnt."""
    names = set(CoarseToFine(3, 4, SMALL, SMALL).state_dict())
    assert {"outliers.mean", "outliers.precision", "outliers.threshold"} <= names
    assert any(name.startswith("coarse.") for name in names)
    assert any(name.startswith("fine.") for name in names)
